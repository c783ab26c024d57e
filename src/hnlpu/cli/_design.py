"""`hnlpu design`: the chips of a model, right-sized, as a file that every command takes; `hnlpu catalog`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from hnlpu.cli._app import app
from hnlpu.cli._options import Json
from hnlpu.cli._output import out, print_json, waiting
from hnlpu.cli._schema import kinds_line


@app.command()
def design(
    model: Annotated[
        str,
        typer.Argument(
            help="A build, a checkpoint, its config.json, a Hub id, or a name of the catalog."
        ),
    ],
    system: Annotated[
        str | None, typer.Option(help="System that parts and prices are taken from.")
    ] = None,
    technology: Annotated[
        str | None,
        typer.Option(
            help="Process: n5, n7, n3, asap7, sky130, ihp-sg13g2, gf180, or a .toml file."
        ),
    ] = None,
    users: Annotated[
        int | None, typer.Option(help="Sequences at once (default: one for each slot).")
    ] = None,
    context: Annotated[
        int | None,
        typer.Option(help="Positions of each (default: 2048, or all that the model has)."),
    ] = None,
    chips: Annotated[
        int | None,
        typer.Option(
            help="Chips (default: the grid with the most tokens/s per mm2, of the fewest and half as many more)."
        ),
    ] = None,
    scheme: Annotated[str | None, typer.Option(help="Embedding: taps or regions.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="Bits of a weight: stored, two-digits or one-digit.")
    ] = None,
    exchange: Annotated[
        str | None,
        typer.Option(help="What crosses links: exact, vector, fp16, int8, or KIND=FORMAT,..."),
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write its file.")] = None,
    json: Json = False,
) -> None:
    """Size the chips of a model: arrays, vector unit, buffer, memory, links, pads, dies; and say why."""
    from hnlpu.system.design import design as do_design
    from hnlpu.system.design import write_design

    with waiting("sizing"):
        made = do_design(
            model, system=system, technology=technology, users=users, context=context, chips=chips,
            scheme=scheme, weights=weights, exchange=exchange,
        )  # fmt: skip
    facts = _facts(made)
    if output is not None:
        facts["file"] = str(write_design(made, output))
    if json:
        print_json(facts)
    else:
        _print(made, facts)
        out.print(kinds_line("design"))


def _facts(made: Any) -> dict[str, Any]:
    system, rate = made.system, made.rate()
    assert system.machine
    return {
        "model": made.subject.shape.name, "library": made.library, "technology": system.technology,
        "chips": system.chips, "grid": [system.machine.rows, system.machine.columns],
        "die_mm2": system.die.area.value, "power_w": system.power.system.value,
        "users": made.users, "context": made.context, "weight_bits": made.subject.bits,
        "weights_counted": made.subject.counted,
        "bound_tokens_per_second": rate.tokens_per_second, "limit": rate.resource,
        "values": made.values,
    }  # fmt: skip


def _print(made: Any, facts: dict[str, Any]) -> None:
    system = made.system
    chips = f"{system.chips} chip{'s' * (system.chips != 1)}"
    out.print(
        f"{facts['model']}: {chips} of {facts['die_mm2']:,.4g} mm2 in {facts['technology']}, "
        f"{facts['power_w']:,.3g} W, for {made.users:,} users with {made.context:,} positions each"
    )
    table = Table("part", "mm2", "W", "why")
    for column in table.columns[1:3]:
        column.justify = "right"
    for block in system.block:
        table.add_row(
            block.name, f"{block.area.value:,.4g}", f"{block.power.value:,.3g}", block.area.source
        )
    out.print(table)
    machine = system.machine
    for name, quantity in (
        ("vector unit, heads a cycle", machine.vector_unit.heads_per_cycle),
        ("buffer, MB", machine.buffer.capacity),
    ):
        out.print(f"{name}: {quantity.value:,.4g} ({quantity.source})")
    if machine.hbm is None:
        out.print("no memory beside the chips: the buffers hold everything")
    else:
        out.print(
            f"memory beside a chip: {machine.hbm.stacks} x {machine.hbm.capacity.value:g} GB at "
            f"{machine.hbm.bandwidth.value:g} GB/s"
        )
    if machine.link is None:
        out.print("no links: one chip")
    else:
        bandwidth = machine.link.bandwidth
        out.print(
            f"between chips: {bandwidth.value:g} GB/s each way ({machine.link.name}; {bandwidth.source}); "
            f"{machine.link.formats}"
        )
    out.print(
        f"at most {facts['bound_tokens_per_second']:,.0f} tokens/s, every token generated "
        f"({facts['limit']}); parts and prices of {made.library}"
    )
    if "file" in facts:
        out.print(f"written: {facts['file']}")
