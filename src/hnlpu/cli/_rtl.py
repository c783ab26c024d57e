"""`hnlpu rtl`: the arrays of a build as SystemVerilog, simulated, and counted by synthesis."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from hnlpu.cli._app import app
from hnlpu.cli._options import BuildArgument, Json
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
    fold: Annotated[
        int,
        typer.Option(
            min=1, max=64, help="Ports of a taps array take turns: F phases on 1/F of the adders."
        ),
    ] = 1,
    vectors: Annotated[
        int, typer.Option(min=0, help="Vectors of a bench; 0 writes no bench.")
    ] = 640,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the vectors.")] = 0,
    simulate: Annotated[
        bool,
        typer.Option("--simulate", help="Run each bench: every product to the golden integers."),
    ] = False,
    coverage: Annotated[
        bool,
        typer.Option(
            "--coverage", help="Run each bench and count what of the silicon it exercises."
        ),
    ] = False,
    synth: Annotated[
        bool, typer.Option("--synth", help="Count transistors, flip-flops and depth with Yosys.")
    ] = False,
    liberty: Annotated[
        list[Path] | None,
        typer.Option(
            "--liberty",
            help="With --synth: also map onto the cells of a Liberty file (.lib, .lib.gz); may be "
            "repeated, the files are one library.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Write neuron arrays as SystemVerilog: silicon that no weight changes, and wiring."""
    from hnlpu._paths import absolute
    from hnlpu.errors import InvalidInput
    from hnlpu.silicon.hardwire import open_build
    from hnlpu.silicon.rtl import (
        GateLibrary,
        find_units,
        require_simulator,
        require_yosys,
        write_rtl,
    )
    from hnlpu.silicon.rtl import simulate as run_bench

    if (simulate or coverage) and not vectors:
        raise InvalidInput("--simulate and --coverage need vectors; give --vectors 64 or more")
    if liberty and not synth:
        raise InvalidInput("--liberty maps what --synth counts; give --synth, too")
    library = GateLibrary(liberty) if liberty else None
    # said before anything is written
    if simulate or coverage:
        require_simulator()
    if synth:
        require_yosys()
    build = open_build(directory)
    target = absolute(output or Path(f"{build.directory}.rtl"))
    units = find_units(build, tiles=tile or (), matrices=matrix or (), neurons=neurons, fold=fold)
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
    if coverage:
        facts["coverage"] = _cover(target, units, json=json)
    if synth:
        facts["synthesized"] = _synthesize(build, units, json=json)
    if library:
        facts["mapped"] = _map(library, units, json=json)
    if json:
        print_json(facts)
    if any(one.fault for one in found):
        raise typer.Exit(1)


def _cover(target: Path, units: Any, *, json: bool) -> dict[str, Any]:
    """Covered and all points of silicon by type, of one array of every shape together."""
    from hnlpu.silicon.rtl import COVERAGE_TYPES, cover, merge_coverage

    found = []
    for unit in {unit.shape: unit for unit in reversed(units)}.values():
        with waiting(f"covering {unit.shape.name}"):
            found.append(cover(target, unit))
    merged = merge_coverage(found)
    facts: dict[str, Any] = {}
    for kind in COVERAGE_TYPES:
        hit, all_ = merged.counts(kind)
        facts[kind] = {"covered": hit, "points": all_, "missed": merged.missed(kind)}
        if not json:
            out.print(f"{kind:<7} {hit:>8,} of {all_:>8,} points, {hit / max(all_, 1):.1%}")
    return facts


def _synthesize(build: Any, units: Any, *, json: bool) -> list[dict[str, Any]]:
    """Count every distinct shape of the units, beside the scheme's own estimate."""
    from hnlpu.silicon.embed import open_scheme
    from hnlpu.silicon.rtl import synthesize

    technology, facts = build.manifest.technology, []
    for shape in dict.fromkeys(unit.shape for unit in units):
        with waiting(f"synthesising {shape.name}"):
            found = synthesize(shape, technology.silicon)
        estimate = open_scheme(technology, shape.kind).transistors(
            shape.inputs, shape.neurons, shape.activation_bits
        )
        blocks = [
            {**block.__dict__, "transistors_per_weight": found.per_weight(block)}
            for block in found.blocks
        ]
        facts.append(
            {
                "shape": shape.name, "transistors_per_weight": found.transistors_per_weight,
                "estimated_per_weight": estimate * shape.kind.digits,
                "flip_flops": found.flip_flops, "depth": found.depth,
                "cycles_per_product": shape.steps, "blocks": blocks,
            }
        )  # fmt: skip
        if json:
            continue
        out.print(
            f"{shape.name}: {found.transistors_per_weight:.2f} transistors a weight "
            f"({facts[-1]['estimated_per_weight']:.2f} by the scheme's formula), "
            f"{found.flip_flops:,} flip-flops, {found.depth} gates deep, {shape.steps} cycles a product"
        )
        for block in found.blocks:
            out.print(
                f"  {block.name:<15} {block.instances:>7,} x {block.transistors:>9,.0f} "
                f"{found.per_weight(block):>7.2f} a weight, {block.full_adders} full adders, "
                f"{block.flip_flops} flip-flops, depth {block.depth}"
            )
    return facts


def _map(library: Any, units: Any, *, json: bool) -> list[dict[str, Any]]:
    """Map every distinct shape of the units onto the cells of a library."""
    from hnlpu.silicon.rtl import map_cells

    facts = []
    for shape in dict.fromkeys(unit.shape for unit in units):
        with waiting(f"mapping {shape.name}"):
            found = map_cells(shape, library)
        blocks = [
            {**block.__dict__, "um2_per_weight": found.per_weight_um2(block)}
            for block in found.blocks
        ]
        facts.append(
            {
                "shape": shape.name, "um2_per_weight": found.area_per_weight_um2,
                "delay_ps": found.delay_ps, "blocks": blocks,
            }
        )  # fmt: skip
        if json:
            continue
        out.print(
            f"{shape.name}: {found.area_per_weight_um2:.4g} um2 a weight, "
            f"{found.delay_ps:,.0f} ps from register to register"
        )
        for block in found.blocks:
            out.print(
                f"  {block.name:<15} {block.instances:>7,} x {block.area_um2:>10,.2f} um2 "
                f"{found.per_weight_um2(block):>9.4g} a weight, {sum(block.cells.values())} cells, "
                f"{block.delay_ps:,.0f} ps"
            )
    return facts


def _tell(one: Any) -> None:
    if one.fault:
        out.print(f"failed  {one.name}: {one.fault}", markup=False)
        return
    out.print(
        f"ok      {one.name}: {one.vectors:,} vectors, {one.macs_per_second / 1e6:,.1f} M MAC/s, "
        f"built in {one.build_seconds:.0f} s"
    )
