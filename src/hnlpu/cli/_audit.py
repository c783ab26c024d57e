"""`hnlpu audit`: the physics of a hardwired design, claim by claim."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from hnlpu.cli._app import app
from hnlpu.cli._cost import (
    ContextOption,
    GridOption,
    ModelOption,
    SlidingOption,
    SubjectArgument,
    SystemOption,
)
from hnlpu.cli._options import Json
from hnlpu.cli._output import out, print_json, waiting
from hnlpu.cli._schema import kinds_line

if TYPE_CHECKING:
    from hnlpu.system.audit import Audit


@app.command()
def audit(
    subject: SubjectArgument,
    model: ModelOption = None,
    system: SystemOption = None,
    context: ContextOption = None,
    tokens_per_second: Annotated[
        float | None, typer.Option(help="Claimed rate (default: what is published).")
    ] = None,
    sliding: SlidingOption = None,
    grid: GridOption = None,
    fit: Annotated[
        bool,
        typer.Option("--fit", help="Take as many chips as the model needs, nothing published."),
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if a claim fails.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say how each number was computed.")
    ] = False,
    json: Json = False,
) -> None:
    """Claims of a hardwired design: computed, claimed, margin and verdict."""
    from hnlpu.system.audit import audit as do_audit
    from hnlpu.system.catalog import regridded, resized
    from hnlpu.system.design import open_machine
    from hnlpu.system.machine import machine_target, parse_grid

    cells = None if grid is None else parse_grid(grid)
    found = open_machine(subject, model=model, system=system, grid=cells)
    machine, what = found.system, found.subject
    specification = None
    if fit and cells is not None:
        machine = regridded(machine, *cells)
    elif cells is not None:
        target = machine_target(machine, what.shape, what.bits, grid=cells)
        machine, specification = target.system, target.specification
        sliding = target.windows if sliding is None else sliding
    elif machine.array and (fit or machine.model != what.shape.name):
        machine = resized(machine, machine.chips_for(what.bits), what.shape.most_columns)
    with waiting("auditing"):
        result = do_audit(
            machine, what.shape, context, tokens_per_second, sliding, what.bits, what.digits,
            specification=specification,
        )  # fmt: skip
    if json:
        print_json(_facts(result))
    else:
        _print(result, explain)
        out.print(kinds_line("audit"))
    if strict and result.count()["fails"]:
        raise typer.Exit(1)


def _facts(result: Audit) -> dict[str, Any]:
    return {
        "system": result.system,
        "model": result.model,
        "context": result.context,
        "claimed_tokens_per_second": result.rate,
        "sliding": result.sliding,
        "verdicts": dict(result.count()),
        "claims": [
            {
                "topic": c.topic, "name": c.name, "sense": c.sense, "computed": c.computed,
                "low": c.low, "high": c.high, "claimed": c.claimed, "unit": c.unit,
                "margin": c.margin, "verdict": c.verdict, "how": c.how, "remark": c.remark,
            }
            for c in result.claims
        ],
        "conditions": [vars(c) | {"met": c.met} for c in result.conditions],
        "bounds": [vars(b) for b in result.bounds],
    }  # fmt: skip


def _print(result: Audit, explain: bool) -> None:
    out.print(f"{result.model} on {result.system}, {result.context:,} positions")
    table = Table("verdict", "claim", "computed", "claimed", "unit", "margin")
    for column in (table.columns[2], table.columns[3], table.columns[5]):
        column.justify = "right"
    topic = ""
    for c in result.claims:
        if c.topic != topic:
            table.add_section()
            topic = c.topic
        computed = f"{c.computed:,.4g}"
        if c.low < c.high:
            computed += f" ({c.low:,.3g} to {c.high:,.3g})"
        table.add_row(
            c.verdict.upper() if c.verdict == "fails" else c.verdict, f"{c.topic}: {c.name}",
            computed, f"{c.claimed:,.4g}", c.unit, margin_words(c.margin),
        )  # fmt: skip
    out.print(table)
    if explain:
        for c in result.claims:
            out.print(f"{c.topic}, {c.name}: {c.how}{'; ' + c.remark if c.remark else ''}")
    count = ", ".join(f"{n} {verdict}" for verdict, n in result.count().items())
    out.print(f"{len(result.claims)} claims: {count}")
    if result.conditions:
        out.print(f"what {result.rate:,.0f} tokens/s would take:")
        for condition in result.conditions:
            mark = "there" if condition.met else "MISSING"
            out.print(
                f"  {mark:<8} {condition.what}: {condition.wanted:,.4g} {condition.unit}, there "
                f"{condition.there:,.4g}"
            )
    for bound in result.bounds:
        out.print(
            f"at {bound.context:,} positions at most {bound.tokens_per_second:,.0f} tokens/s "
            f"({bound.resource})"
        )


def margin_words(margin: float) -> str:
    """A margin as a percentage, or as a factor where it is beyond a few hundred percent."""
    if margin >= 4:
        return f"x {margin + 1:,.3g}"
    return f"{margin:+.1%}".replace("-", "−")
