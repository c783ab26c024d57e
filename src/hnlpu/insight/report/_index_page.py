"""Entries of the hardwiring index -> its page: a chart of dollars a token, a table for each process, what failed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from hnlpu._version import __version__
from hnlpu.insight.report._plot import key, log_axis, short
from hnlpu.insight.report._sheet import Section, Sheet, render_sheet
from hnlpu.insight.report._svg import bar, drawing, line, text
from hnlpu.system.index import COLUMNS, Entry

SHOWN = (
    "model", "machine", "chips", "silicon_mm2", "chip_masks", "tokens_per_second", "limit", "nre_musd",
    "respin_musd", "usd_per_mtoken", "against", "pays_above",
)  # fmt: skip
WIDTH, LEFT = 460, 170


def render_index(entries: Sequence[Entry], trials: int) -> str:
    """The page; `trials` is how many designs were searched for each model."""
    sections = [
        Section(
            "Dollars a million tokens",
            ["Prompts and answers alike, one system over three years, always at work. Bars: the middle of the "
             "source's prices; whiskers: its low and its high."],
            figures=[("Models and processes", _dollars(entries), "On a logarithmic scale.")],
        ),
        *(_process(entries, name) for name in dict.fromkeys(e.technology for e in entries)),
        _machines(entries, trials), _refused(entries), _kinds(),
    ]  # fmt: skip
    held = [e for e in entries if not e.problem]
    paying = [e for e in held if e.pays_above is not None and math.isfinite(e.pays_above)]
    return render_sheet(
        Sheet(
            eyebrow="hardwiring index",
            title="What it takes to hardwire a model",
            lead=f"{len({e.model for e in entries})} models, {len({e.technology for e in entries})} processes: "
            "each on chips of its own, and on as many of the published chips as hold it.",
            tiles=[
                (f"{len(held)}", "machines sized and priced", f"of {len(entries)}"),
                (f"{len(paying)}", "pay at some volume", "against what is published, a model that lives a year"),
            ],
            sections=[s for s in sections if s.rows or s.figures or s.text],
            made=f"hnlpu {__version__} index. Formulas and sources: docs/design.md, docs/cost.md.",
        )
    )  # fmt: skip


def _process(entries: Sequence[Entry], technology: str) -> Section:
    rows = [
        [_cell(name, getattr(e, name)) for name in SHOWN]
        for e in entries if e.technology == technology and not e.problem
    ]  # fmt: skip
    columns = [COLUMNS[name][0] for name in SHOWN]
    return Section(f"In {technology}", columns=columns if rows else (), rows=rows)


def _machines(entries: Sequence[Entry], trials: int) -> Section:
    rows = [
        [e.model, "" if e.best_times_tokens_per_usd is None else f"{e.best_times_tokens_per_usd:.2f}",
         e.best_machine]
        for e in entries if e.best_machine
    ]  # fmt: skip
    words = (
        f"{trials} designs each, from the published machine, simulated with every resource shared."
    )
    columns = ["model", "times the tokens a dollar", "machine"]
    return Section(
        "Best machines found", [words] if rows else [], columns=columns if rows else (), rows=rows
    )


def _refused(entries: Sequence[Entry]) -> Section:
    rows = [[e.model, e.technology, e.machine, e.problem] for e in entries if e.problem]
    columns = ["model", "process", "machine", "why"]
    return Section("What makes no machine", columns=columns if rows else (), rows=rows)


def _kinds() -> Section:
    rows = [[heading, kind] for heading, kind in COLUMNS.values()]
    return Section(
        "Kinds of figures",
        ["Prices of wafers, masks, design and memory are published or estimates; the systems' and processes' files "
         "say of each which, with its source (hnlpu catalog show NAME)."],
        columns=["figure", "kind"], rows=rows,
    )  # fmt: skip


def _dollars(entries: Sequence[Entry]) -> Markup:
    shown = [e for e in entries if e.usd_per_mtoken]
    own = "own chips"
    values = [v for e in shown for v in (e.usd_per_mtoken_low or 1, e.usd_per_mtoken_high or 1)]
    row, top = 15, 8
    x = log_axis(values, LEFT, WIDTH - 44, room=1.3)
    foot = top + row * len(shown)
    parts = []
    for tick in x.ticks():
        parts.append(line(x.at(tick), top, x.at(tick), foot, "grid"))
        parts.append(text(x.at(tick), foot + 14, short(tick), "middle", "tick"))
    for i, e in enumerate(shown):
        y = top + row * i
        assert e.usd_per_mtoken
        assert e.usd_per_mtoken_low
        assert e.usd_per_mtoken_high
        hint = f"{e.model}, {e.machine}, {e.technology}: ${e.usd_per_mtoken:,.3g}"
        class_ = "part-0" if e.machine == own else "part-4"
        parts.append(text(LEFT - 6, y + 9, f"{e.model}, {e.technology}", "end", "tick"))
        parts.append(bar(LEFT, y, max(1.0, x.at(e.usd_per_mtoken) - LEFT), 11, class_, hint))
        low, high = x.at(e.usd_per_mtoken_low), x.at(e.usd_per_mtoken_high)
        parts.append(line(low, y + 5.5, high, y + 5.5, "whisker"))
        parts.append(text(high + 4, y + 9, short(e.usd_per_mtoken), "start", "tick"))
    parts.append(text(WIDTH - 8, foot + 28, "$ a million tokens, log scale", "end", "tick"))
    names, tall = key(
        [("part-0", "chips of its own"), ("part-4", "published chips")], 8, foot + 20, LEFT
    )
    return drawing(
        WIDTH, foot + 28 + tall, "Dollars a million tokens", "A bar for each machine.", *parts, names,
        table=(
            ("model", "process", "machine", "low, $", "value, $", "high, $"),
            [
                (e.model, e.technology, e.machine, e.usd_per_mtoken_low or 0.0, e.usd_per_mtoken or 0.0,
                 e.usd_per_mtoken_high or 0.0)
                for e in shown
            ],
        ),
    )  # fmt: skip


def _cell(name: str, value: object) -> str:
    if value is None:
        return "not known"
    if name == "pays_above" and isinstance(value, float):
        return f"{value:.2g}" if math.isfinite(value) else "at no volume"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
