"""`hnlpu rtl`: the arrays of a build as SystemVerilog, simulated, and counted by synthesis."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from hnlpu.cli._app import BuildArgument, Json, app
from hnlpu.cli._output import out, print_json, waiting


@app.command()
def rtl(
    directory: BuildArgument,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder to make (default: DIR.rtl).")
    ] = None,
    tile: Annotated[
        list[str] | None,
        typer.Option(
            "--tile", help="Only tiles of this name, each an array of its own; * fits all."
        ),
    ] = None,
    matrix: Annotated[
        list[str] | None,
        typer.Option("--matrix", help="Only arrays of this matrix; * fits all; may be repeated."),
    ] = None,
    neurons: Annotated[
        int | None, typer.Option(min=1, help="Only the first N neurons of each array.")
    ] = None,
    vectors: Annotated[
        int, typer.Option(min=0, help="Vectors of a bench; 0 writes no bench.")
    ] = 640,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the vectors.")] = 0,
    simulate: Annotated[
        bool,
        typer.Option("--simulate", help="Run each bench: every product to the golden integers."),
    ] = False,
    json: Json = False,
) -> None:
    """Write neuron arrays as SystemVerilog: silicon that no weight changes, and wiring."""
    from hnlpu._paths import absolute
    from hnlpu.errors import InvalidInput
    from hnlpu.hardwire import open_build
    from hnlpu.rtl import find_units, write_rtl
    from hnlpu.rtl import simulate as run_bench

    if simulate and not vectors:
        raise InvalidInput("--simulate needs vectors; give --vectors 64 or more")
    build = open_build(directory)
    target = absolute(output or Path(f"{build.directory}.rtl"))
    units = find_units(build, tiles=tile or (), matrices=matrix or (), neurons=neurons)
    began = time.monotonic()
    with waiting("writing"):
        written = write_rtl(build, target, units, vectors, seed)
    facts: dict[str, Any] = {
        "directory": str(target), **written.__dict__, "seconds": round(time.monotonic() - began, 3),
    }  # fmt: skip
    if not json:
        out.print(
            f"{target}: {written.arrays:,} arrays of {written.weights:,} weights, {written.tiles:,} "
            f"tiles, {written.wiring_bytes / 1e6:,.1f} MB of wiring, in {facts['seconds']:.1f} s"
        )
    found = []
    if simulate:
        for unit in units:
            with waiting(f"simulating {unit.name}"):
                found.append(run_bench(target, unit))
            if not json:
                _tell(found[-1])
        facts["simulated"] = [
            {**one.__dict__, "macs_per_second": round(one.macs_per_second)} for one in found
        ]
    if json:
        print_json(facts)
    if any(one.fault for one in found):
        raise typer.Exit(1)


def _tell(one: Any) -> None:
    if one.fault:
        out.print(f"failed  {one.name}: {one.fault}", markup=False)
        return
    out.print(
        f"ok      {one.name}: {one.vectors:,} vectors, {one.macs_per_second / 1e6:,.1f} M MAC/s, "
        f"built in {one.build_seconds:.0f} s"
    )
