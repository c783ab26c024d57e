"""`hnlpu cost`: what a hardwired system costs, emits, and is compared with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from hnlpu._paths import absolute
from hnlpu.cli._app import app
from hnlpu.cli._options import Json
from hnlpu.cli._output import out, print_json, waiting
from hnlpu.cli._schema import kinds_line
from hnlpu.errors import InvalidInput

if TYPE_CHECKING:
    from hnlpu.system.cost import Costing, Rival

SubjectArgument = Annotated[
    str,
    typer.Argument(
        metavar="SYSTEM|MODEL",
        help="System by name or file; or a model on chips designed for it: a build, a checkpoint, its "
        "config.json, a Hub id, a name of the catalog.",
    ),
]
ModelOption = Annotated[
    str | None, typer.Option(help="Model of a system: as MODEL (default: the system's own).")
]
SystemOption = Annotated[
    str | None,
    typer.Option(
        help="System that a model's chips take parts and prices from (default: by process)."
    ),
]
ContextOption = Annotated[
    int | None,
    typer.Option(
        help="Positions cached for each sequence (default: what the chips are designed for; else 2048, or "
        "all of the model's)."
    ),
]
SlidingOption = Annotated[
    bool | None, typer.Option("--sliding/--no-sliding", help="Use the model's windows.")
]
GridOption = Annotated[
    str | None, typer.Option(help="Rows x columns of chips (default: as the model needs).")
]


@app.command()
def cost(
    subject: SubjectArgument,
    model: ModelOption = None,
    system: SystemOption = None,
    systems: Annotated[int, typer.Option(help="Systems that are built.")] = 1,
    respins: Annotated[int, typer.Option(help="Re-spins of all systems over the years.")] = 0,
    weights: Annotated[
        str | None, typer.Option(help="Bits of a weight: stored, two-digits or one-digit.")
    ] = None,
    tokens_per_second: Annotated[
        float | None,
        typer.Option(help="Tokens/s that one system processes (default: what it can, computed)."),
    ] = None,
    context: ContextOption = None,
    users: Annotated[
        int | None,
        typer.Option(
            help="Sequences at once (default: the design's users; else one for each slot)."
        ),
    ] = None,
    sliding: SlidingOption = None,
    grid: GridOption = None,
    output_share: Annotated[float, typer.Option(help="Output among processed tokens.")] = 0.5,
    utilisation: Annotated[float, typer.Option(help="Share of time that a system works.")] = 1.0,
    paper_rounding: Annotated[
        bool, typer.Option("--paper-rounding", help="Round megawatts to three decimals.")
    ] = False,
    against: Annotated[str, typer.Option(help="Bought system to compare with.")] = "h100",
    trials: Annotated[int, typer.Option(help="Monte Carlo trials.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the trials.")] = 0,
    against_rate: Annotated[
        float | None,
        typer.Option(help="Output tokens/s of one --against system (default: published ones)."),
    ] = None,
    rent: Annotated[
        float | None,
        typer.Option(help="Rent of an --against system, $ an hour (default: its file's)."),
    ] = None,
    against_usd_per_mtoken: Annotated[
        float | None,
        typer.Option(help="Price of a million output tokens, $, from whoever sells them."),
    ] = None,
    chart: Annotated[
        Path | None,
        typer.Option(
            "--chart", "--svg", help="Write what moves the cost: .svg, .pdf, .png or .csv."
        ),
    ] = None,
    buyers_map: Annotated[
        Path | None,
        typer.Option(
            "--map",
            help="Write the map of volumes and lives where hardwiring pays: .svg, .pdf, .png or .csv.",
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Also write a page about it, in plain words.")
    ] = None,
    json: Json = False,
) -> None:
    """Silicon, masks, design, ownership and carbon of a hardwired system."""
    from hnlpu._charts import check_chart, write_chart
    from hnlpu.system.catalog import load_system
    from hnlpu.system.cost import OwnershipPlan, Rival, bought_facts, cost_facts, tornado_svg
    from hnlpu.system.cost import cost as do_cost
    from hnlpu.system.design import open_machine
    from hnlpu.system.machine import parse_grid

    if report is not None:
        from hnlpu.insight.report import check_page

        check_page(report)
    for file in (chart, buyers_map):
        if file is not None:
            check_chart(file)
    _check_apart({"--chart": chart, "--map": buyers_map, "--report": report})
    cells = None if grid is None else parse_grid(grid)
    found = open_machine(subject, model=model, system=system, weights=weights, grid=cells)
    machine, what = found.system, found.subject
    plan = OwnershipPlan(
        systems=systems, respins=respins, tokens_per_second=tokens_per_second, users=users,
        context=context, sliding=sliding, grid=cells,
        output_share=output_share, utilisation=utilisation, paper_rounding=paper_rounding,
    )  # fmt: skip
    if machine.prices is None:
        if report is not None:
            raise InvalidInput(
                f"--report {report}: {machine.name} is bought; a page is about chips"
            )
        asked = (chart, buyers_map, against_rate, rent, against_usd_per_mtoken)
        if asked != (None,) * len(asked):
            raise InvalidInput(
                f"{machine.name} is bought: --chart, --map, --rent, --against-rate and "
                "--against-usd-per-mtoken are about chips; leave them out"
            )
        facts = bought_facts(machine, what.shape.name, plan)
        if json:
            print_json(facts)
        else:
            _print_bought(facts)
            out.print(kinds_line("cost-bought"))
        return
    gpu = load_system(against)
    if gpu.price is None:
        raise InvalidInput(f"--against {against}: its file has no price; take h100 or hgx-h100")
    rival = Rival(gpu, against_rate, rent, against_usd_per_mtoken)
    rival.check(what.shape.name)
    with waiting("pricing"):
        costing = do_cost(machine, what, plan, trials, seed)
    facts = cost_facts(costing, rival)
    pays_map = None if buyers_map is None else _buyers_chart(costing, rival, buyers_map)
    if report is not None:
        from hnlpu.insight.report import cost_report

        facts["report"] = str(cost_report(costing, facts, report))
    if chart is not None:
        title = f"Cost of owning {machine.title} for {what.shape.title}"
        write_chart(
            chart, tornado_svg(costing.tornado[:12], float(costing.value.tco_musd), title, "M$")
        )
    if buyers_map is not None and pays_map is not None:
        write_chart(buyers_map, pays_map)
    if json:
        print_json(facts)
    else:
        _print_cost(costing, facts)
        out.print(kinds_line("cost"))


def _check_apart(files: dict[str, Path | None]) -> None:
    """Raise InvalidInput where two outputs are one file: the later would replace the earlier."""
    named: dict[Path, str] = {}
    for option, file in files.items():
        if file is None:
            continue
        place = absolute(file)
        if place in named:
            raise InvalidInput(f"{option} {file}: {named[place]} writes this file; name another")
        named[place] = option


def _buyers_chart(costing: Costing, rival: Rival, output: Path) -> str:
    """The map of where hardwiring pays; raises InvalidInput where nobody says what the other side costs."""
    from hnlpu.system.cost import buyers_svg, pays

    found = pays(costing, rival)
    if found is None:
        raise InvalidInput(
            f"--map {output}: nobody says what {rival.system.name} makes of {costing.subject.shape.name} or "
            "costs an hour; give --against-rate and --rent, or --against-usd-per-mtoken"
        )
    caption = (
        f"three years, against {found.words}; at work {costing.plan.utilisation:.0%} of the time"
    )
    title = f"Where hardwiring {costing.subject.shape.title} pays against renting"
    return buyers_svg(found.maps["value"], title, caption)


def _print_cost(c: Costing, facts: dict[str, Any]) -> None:
    v = c.value
    bits = f"{c.subject.bits / 1e9:,.3g} Gbit ({c.subject.counted})"
    out.print(
        f"{facts['model']} on {facts['system']}: {facts['weights']:,} weights, {bits}: "
        f"{_counted(facts['chips'], 'chip')} of {facts['die_mm2']:g} mm2, "
        f"{_power(facts['power_w'])}"
    )
    table = Table("", "low", "value", "high", "5 %", "median", "95 %", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, words, digits in (
        ("masks_musd", "masks, M$", 4),
        ("nre_musd", "masks and design, M$", 4),
        ("first_build_musd", f"first build of {c.plan.systems}, M$", 4),
        ("respin_musd", "a re-spin, M$", 4),
        ("tco_musd", f"{facts['years']:g} years, {_counted(c.plan.respins, 're-spin')}, M$", 4),
        ("tco2e", "tCO2e", 4),
        ("tco2e_with_masks", "tCO2e, masks too", 4),
    ):
        band = c.bands[name]
        numbers = (getattr(c.low, name), getattr(v, name), getattr(c.high, name),
                   band.low, band.median, band.high)  # fmt: skip
        table.add_row(words, *(_figures(float(n), digits) for n in numbers))
    band = c.bands["usd_per_mtoken"]
    ends = (c.usd_per_mtoken(c.low), c.usd_per_mtoken(v), c.usd_per_mtoken(c.high),
            band.low, band.median, band.high)  # fmt: skip
    table.add_row("$ a million tokens", *(_figures(n, 3) for n in ends))
    out.print(table)
    for plan in facts["mask_plans"]:
        out.print(_plan_words(plan))
    _print_rates(c, facts)
    for row in facts["against"]:
        out.print(
            f"against {row['gpus_for_same_output']:,.0f} {row['system']} at "
            f"{row['output_tokens_per_second']:,.0f} output tokens/s ({row['rate']}): the chips take "
            f"{1 / row['tco_ratio']:.3g} times the cost, {1 / row['energy_ratio']:.3g} times the energy, "
            f"{1 / row['carbon_ratio']:.3g} times the carbon"
        )
    if price := facts["against_price"]:
        times = price["times_the_price"]
        out.print(
            f"against output tokens at $ {price['usd_per_moutput_token']:g} a million: those of the chips "
            f"cost {times['value']:.3g} times that ({times['low']:.3g} to {times['high']:.3g})"
        )
    if buyers := facts["buyers"]:
        yearly = next(
            x for x in buyers["break_even_output_tokens_per_day"] if x["life_months"] == 12
        )
        words = (
            f"from {yearly['value']:.3g} output tokens a day on"
            if yearly["value"] < 1e14
            else "at no volume"
        )
        out.print(f"a model that lives a year pays {words}, against {buyers['what']}")
    if c.tornado:
        top = ", ".join(s.doubt.key for s in c.tornado[:3])
        out.print(f"what matters most: {top}")


def _print_rates(c: Costing, facts: dict[str, Any]) -> None:
    """What the machine does, and beside it what is published of it."""
    from hnlpu.system.cost import published_words

    rate = c.rate
    users = (
        f", {rate.tokens_per_second / rate.users:,.0f} for each of {rate.users:,} users"
        if rate.users
        else ""
    )
    out.print(f"{rate.tokens_per_second:,.0f} tokens/s processed{users} ({rate.source})")
    if rate.computed and rate.computed.output_share < 1:
        out.print(
            f"{rate.computed.generated_per_second:,.0f} tokens/s where all are output "
            "(the bound of hnlpu simulate)"
        )
    for each, found in zip(c.published, facts["published_rates"], strict=True):
        out.print(f"published: {published_words(each)}: $ {found['usd_per_mtoken']:.3g} a million")


def _plan_words(plan: dict[str, Any]) -> str:
    count = plan["programmable_masks"]
    doubt = f" ({count['low']} to {count['high']})" if count["low"] < count["high"] else ""
    names = {"stated": "masks as stated", "exposures": "the same layers as exposures"}
    return (
        f"{names.get(plan['name'], 'our ' + plan['name'])}: {count['value']}{doubt} a chip; masks and "
        f"design {plan['nre_musd']['value']:.4g} M$, a re-spin {plan['respin_musd']['value']:.4g} M$"
    )


def _print_bought(facts: dict[str, Any]) -> None:
    out.print(
        f"{facts['systems']} x {facts['system']}: CapEx {facts['capex_musd']:.4g} M$, electricity "
        f"{facts['electricity_musd']:.4g} M$, maintenance {facts['maintenance_musd']:.4g} M$, "
        f"in all {facts['tco_musd']:.4g} M$, {facts['tco2e']:.4g} tCO2e"
    )
    for rate in facts["rates"]:
        out.print(
            f"{rate['tokens_per_second']:,.0f} {rate['counts']} tokens/s ({rate['name']}): "
            f"{rate['usd_per_mtoken']:.3g} $ a million"
        )


def _power(watts: float) -> str:
    return f"{watts / 1e3:,.3g} kW" if watts >= 1e3 else f"{watts:,.3g} W"


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'s' * (number != 1)}"


def _figures(value: float, digits: int) -> str:
    return f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"
