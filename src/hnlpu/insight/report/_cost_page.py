"""A costing -> a page for people who do not know the jargon: what is built, what it costs, when it pays."""

from __future__ import annotations

from typing import Any

from hnlpu._version import __version__
from hnlpu.insight.report import _machine_charts as charts
from hnlpu.insight.report._machine_page import RETICLE_MM, money_section
from hnlpu.insight.report._sheet import Section, Sheet, render_sheet
from hnlpu.system.cost import Costing, published_words

SHOWN = 0.02
"""Share of the cost of owning from which a doubt is worth a row."""


def render_cost(found: Costing, facts: dict[str, Any]) -> str:
    """The page of `hnlpu cost`; `facts` are those of its JSON document, `buyers` among them."""
    system, v, rate = found.system, found.value, found.rate
    chips = int(v.chips)
    per = found.usd_per_mtoken(v)
    lowest, highest = found.bands["tco_musd"].low, found.bands["tco_musd"].high
    title = found.subject.shape.title
    sections = [
        Section(
            "What is built",
            [
                f"{facts['weights']:,} weights of {title} become metal on {_chips(chips)} of "
                f"{system.die.area.value:,.4g} mm2 each ({system.die.process}). The chips run this model and "
                f"no other; a new model takes new metal in the upper layers, a re-spin, which costs "
                f"${float(v.respin_musd):,.3g} million for one system with all of its chips.",
                f"At most {rate.tokens_per_second:,.0f} tokens pass in a second ({rate.source}).",
            ],
            figures=[(
                "A chip to scale", charts.floorplan(
                    {b.purpose: system.area_for(b.purpose) for b in system.block}, RETICLE_MM
                ), "In the largest field that a scanner prints. Areas are the design's; places are ours.",
            )],
        ),
        money_section(found),
        _when(found, facts),
        _matters(found),
    ]  # fmt: skip
    if found.published:
        sections.append(
            Section(
                "What is published",
                [f"{published_words(each)}; {each.tokens.source}" for each in found.published]
                + ["Shown for comparison. No figure above rests on it."],
            )
        )
    return render_sheet(
        Sheet(
            eyebrow="what it costs to hardwire a model",
            title=title,
            lead=f"{found.plan.systems:,} system{'s' * (found.plan.systems != 1)} of {_chips(chips)}, "
            f"{float(v.years):g} years, {found.plan.respins} re-spins, at work "
            f"{found.plan.utilisation:.0%} of the time.",
            tiles=[
                (f"${float(v.tco_musd):,.3g} M", "to build and own it",
                 f"${lowest:,.3g} M to ${highest:,.3g} M over every doubt"),
                (f"${per:,.3g}", "for a million tokens", "prompts and answers alike"),
                (f"${float(v.nre_musd):,.3g} M", "before the first chip", "masks and design"),
                (f"{float(v.power_w) / 1e3:,.3g} kW", "for a system", "chips, memory, losses"),
            ],
            sections=[section for section in sections if section.text or section.rows],
            made=f"hnlpu {__version__} cost. Formulas and sources: docs/cost.md, docs/design.md.",
        )
    )  # fmt: skip


def _chips(number: int) -> str:
    return f"{number:,} chip{'s' * (number != 1)}"


def _when(found: Costing, facts: dict[str, Any]) -> Section:
    """Against GPUs: how many times the cost, always hardwired over GPUs, and from which volume it pays."""
    text, rows = [], []
    for row in facts["against"]:
        ratio = 1 / row["tco_ratio"]
        rows.append([
            f"{row['system']} at {row['output_tokens_per_second']:,.0f} output tokens/s",
            f"{row['gpus_for_same_output']:,.0f}", f"{ratio:,.3g} times", f"{row['kind']}: {row['source']}",
        ])  # fmt: skip
    if price := facts["against_price"]:
        own, times = price["own_usd_per_moutput_token"], price["times_the_price"]
        text.append(
            f"A million output tokens cost ${own['value']:,.3g} from the chips and "
            f"${price['usd_per_moutput_token']:,.3g} where they are bought: the chips cost "
            f"{times['value']:,.3g} times that ({times['low']:,.3g} to {times['high']:,.3g}), if they are at "
            f"work {found.plan.utilisation:.0%} of the time."
        )
    if buyers := facts["buyers"]:
        text.append(f"The other side is {buyers['what']} ({buyers['kind']}).")
        for months in (12, 24, 36):
            found_at = next(
                x for x in buyers["break_even_output_tokens_per_day"] if x["life_months"] == months
            )
            text.append(
                f"A model that lives {months} months: hardwiring pays {_from(found_at['value'])} "
                f"(at the lowest prices {_from(found_at['low'])}, at the highest {_from(found_at['high'])})."
            )
    if not rows and not text:
        text.append(
            f"No rate of {found.subject.shape.title} is known for the GPUs compared with, so nothing is said of "
            "when it pays, unless you state a rate or a price of tokens (docs/cost.md)."
        )
    columns = ["the same output from", "GPUs", "the chips cost", "source of the rate"]
    return Section("When it pays", text, columns=columns if rows else (), rows=rows)


def _from(volume: float) -> str:
    return f"above {volume:.2g} output tokens a day" if volume < 1e14 else "at no volume"


def _matters(found: Costing) -> Section:
    """The doubts that move the cost of owning, the largest first."""
    whole = float(found.value.tco_musd)
    rows = [
        [
            s.doubt.key, f"{s.doubt.low:,.4g} to {s.doubt.high:,.4g} {s.doubt.unit}",
            f"${min(s.at_low, s.at_high):,.3g} M to ${max(s.at_low, s.at_high):,.3g} M", s.doubt.source,
        ]
        for s in found.tornado
        if abs(s.at_high - s.at_low) >= SHOWN * whole
    ]  # fmt: skip
    text = [
        f"Doubts that move the cost of owning by {SHOWN:.0%} and more, each alone; the others hardly show."
    ]
    columns = ["what", "from and to", "then it costs", "source"]
    return Section("What matters most", text, columns=columns, rows=rows)
