"""`hnlpu masks` and `hnlpu place`: the metal of a build as files, and where everything lies."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from hnlpu.cli._app import app
from hnlpu.cli._options import BuildArgument, Json, Ray, Workers
from hnlpu.cli._output import out, print_json, progress_bar, waiting
from hnlpu.cli._schema import kinds_line
from hnlpu.errors import InvalidInput

Chips = Annotated[list[int] | None, typer.Option("--chip", help="Only this chip; may be repeated.")]
Tiles = Annotated[
    list[str] | None,
    typer.Option("--tile", help="Only tiles of this name; * stands for anything; may be repeated."),
]


@app.command()
def masks(
    directory: BuildArgument,
    chip: Chips = None,
    tile: Tiles = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder to make (default: DIR.masks).")
    ] = None,
    format: Annotated[  # noqa: A002  the option's name
        list[str] | None, typer.Option(help="oasis (default), gds or via-map; may be repeated.")
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(
            help="mask (fixed, programmable, labels) or drawing (the process design kit's own; "
            "default where the technology has them)."
        ),
    ] = None,
    with_base: Annotated[
        bool, typer.Option("--with-base", help="With the fixed layers and pin labels.")
    ] = False,
    def_: Annotated[
        bool, typer.Option("--def", help="DEF of each tile, LEF of its neuron array.")
    ] = False,
    tcl: Annotated[
        bool, typer.Option("--tcl", help="Connection scripts for a place-and-route tool.")
    ] = False,
    png: Annotated[
        bool, typer.Option("--png", help="A picture, from the die to one weight's via.")
    ] = False,
    workers: Workers = None,
    ray: Ray = None,
    json: Json = False,
) -> None:
    """Write the metal that carries the weights, as mask data."""
    from hnlpu._paths import absolute
    from hnlpu.silicon.hardwire import open_build
    from hnlpu.silicon.masks import Format, choose_layers, jobs, open_workers, write_masks
    from hnlpu.silicon.place import find_tiles

    build = open_build(directory)
    texts = ["def"] * def_ + ["tcl"] * tcl
    formats: list[Any] = list(dict.fromkeys(format or ([] if texts or png else ["oasis"])))
    for name in formats:
        if name not in get_args(Format)[:3]:
            raise InvalidInput(f"format {name!r} is unknown; choose from oasis, gds, via-map")
    formats += texts
    manifest = build.manifest
    choose_layers(manifest.technology, layers)  # refused before anything is drawn
    tiles = find_tiles(manifest.placement, manifest.technology.array, chip or (), tile or ())
    target = absolute(output or Path(f"{build.directory}.masks"))
    began = time.monotonic()
    if not formats:
        _picture(build, tiles, target, alone=True, json=json)
        return
    with (
        progress_bar("drawing") as progress,
        open_workers(workers, ray, len(list(jobs(tiles)))) as drawers,
    ):
        record = write_masks(
            build, target, tiles, formats, drawers,
            with_base=with_base, layers=layers, progress=progress,
        )  # fmt: skip
    if png:
        _picture(build, tiles, target, alone=False, json=json)
    seconds = time.monotonic() - began
    size = sum(file.bytes for file in record.files.values())
    if json:
        print_json(
            {
                "directory": str(target), "formats": formats, "tiles": len(tiles),
                "chips": len(record.tiles), "layers": record.layers, "digits": record.digits,
                "bytes": size, "bytes_per_digit": size / record.digits, "seconds": round(seconds, 3),
                "files": sorted(record.files),
            }
        )  # fmt: skip
        return
    out.print(
        f"{target}: {len(tiles):,} tiles of {len(record.tiles)} chip{'s' * (len(record.tiles) > 1)}, "
        f"{record.digits:,} digits as {', '.join(formats)} on {record.layers} layers, "
        f"{size / 1e6:,.1f} MB ({size / record.digits:.2f} bytes a digit), in {seconds:.1f} s"
    )


def _picture(build: Any, tiles: Any, target: Path, *, alone: bool, json: bool) -> None:
    from hnlpu.insight.report import write_picture

    path = target if alone and target.suffix == ".png" else Path(f"{target}.png")
    with waiting("drawing"):
        write_picture(build, tiles[0], path)
    if json and alone:
        print_json({"picture": str(path), "tile": tiles[0].name, "bytes": path.stat().st_size})
    elif not json:
        out.print(f"{path}: {tiles[0].name}, {path.stat().st_size / 1e3:.0f} kB")


@app.command()
def place(
    directory: BuildArgument,
    tiles: Annotated[bool, typer.Option("--tiles", help="List every tile.")] = False,
    json: Json = False,
) -> None:
    """Where every weight lies: chips, arrays and tiles, areas, and whether they fit."""
    from hnlpu.silicon.hardwire import fill_of, open_build
    from hnlpu.silicon.masks import mask_needs, scheme_needs
    from hnlpu.silicon.place import find_tiles, placement_facts

    build = open_build(directory)
    manifest = build.manifest
    embeddings = {name: record.embedding for name, record in manifest.matrices.items()}
    facts = placement_facts(build.matrices(), embeddings, manifest.placement, manifest.technology)
    needs = scheme_needs(build)
    printed = mask_needs(build)
    found = find_tiles(manifest.placement, manifest.technology.array)
    fill = fill_of(build.network)
    filled = sum(fill.values())
    weights = facts.weights - filled
    digits = facts.digits - sum(n * len(manifest.matrices[name].digits) for name, n in fill.items())
    if json:
        values: dict[str, Any] = {
            **facts.as_dict(), "weights": weights, "digits": digits, "fill": filled, "masks": printed, "needs": needs, "design": _design_facts(directory),
        }  # fmt: skip
        if tiles:
            values["tiles"] = [
                {"chip": t.chip, "name": t.name, "kind": t.kind.name, "members": t.members,
                 "neurons": t.neurons, "blocks": t.blocks}
                for t in found
            ]  # fmt: skip
        print_json(values)
        return
    if tiles:
        for tile in found:
            out.print(f"chip {tile.chip}  {tile.kind.name:<24} {tile.name}")
        return
    rows, columns = facts.grid
    out.print(f"technology         {facts.technology}, scheme {facts.scheme}")
    out.print(f"chips              {facts.chips} ({rows} x {columns})")
    out.print(
        f"weights            {weights:,} as {digits:,} digits"
        f"{f', {filled:,} zeros that fill blocks of 32' if filled else ''}, {len(found):,} tiles"
    )
    out.print(f"area per digit     {facts.area_per_digit_um2:.4f} um2 by the scheme's own geometry")
    if facts.published_um2_per_weight is not None:
        out.print(
            f"{'':<18} {facts.published_um2_per_weight:.4f} um2 a weight is the published figure: "
            f"{facts.chips_by_published} chips"
        )
    out.print(f"transistors        {facts.transistors_per_digit:.1f} a digit")
    out.print(f"fullest chip       {facts.array_area_mm2:,.2f} mm2 of arrays")
    out.print(f"verdict            {facts.verdict()}")
    out.print(f"design             {_design_words(_design_facts(directory))}")
    for line in (*_mask_lines(printed), *_needs_lines(needs)):
        out.print(line)
    out.print(kinds_line("place"))


def _design_facts(directory: Path) -> dict[str, Any]:
    """The chips of the build's design (`hnlpu design`), or `problem` in words where it has none."""
    from hnlpu.errors import HnlpuError
    from hnlpu.system.design import design

    try:
        made = design(str(directory))
    except HnlpuError as error:
        return {"problem": str(error)}
    return {
        "chips": made.system.chips, "die_mm2": made.system.die.area.value, "users": made.users,
        "context": made.context, "bound_tokens_per_second": made.rate().tokens_per_second,
    }  # fmt: skip


def _design_words(found: dict[str, Any]) -> str:
    if "problem" in found:
        return f"none: {found['problem']}"
    return (
        f"{found['chips']} chip{'s' * (found['chips'] != 1)} of {found['die_mm2']:,.4g} mm2 for "
        f"{found['users']:,} users of {found['context']:,} positions: at most "
        f"{found['bound_tokens_per_second']:,.0f} tokens/s"
    )


def _mask_lines(masks: dict[str, Any]) -> list[str]:
    names, low, high = masks["programmable_masks"], masks["low"], masks["high"]
    doubt = "" if low == high else f" ({low} to {high} by the least k1)"
    told = [f"{len(names)} differ between models{doubt}: {', '.join(names)}"]
    if not masks["layers"]:
        told[0] += "; as the technology states, which names no scanners"
    for layer in masks["layers"]:
        pitch = layer["pitch_nm"]
        ways = (
            f"{way['scanner']} k1 {way['k1']:.2f} {way['method']}, {way['programmable']} + "
            f"{way['shared']} shared"
            for way in layer["ways"]
        )
        told.append(
            f"{layer['layer']} {pitch['across']:g} nm across, {pitch['along']:g} along, "
            f"{pitch['diagonal']:.0f} diagonal: {'; or '.join(ways)}"
        )
    return [f"{'masks' if n == 0 else '':<18} {text}" for n, text in enumerate(told)]


def _needs_lines(needs: dict[str, Any]) -> list[str]:
    lines = []
    for name, of in needs.items():
        wire, fan_out, load = of["wire_um_per_weight"], of["fan_out"], of["load_ff"]
        uses = (
            f"{layer} {use['used']:.3g} of {use['tracks']:.3g} ({use['use']:.0%})"
            for layer, use in of["tracks"].items()
        )
        ports = f"{of['ports_per_weight']:.3f} a digit"
        if of.get("ports_slack") is not None:
            ports += f", {of['ports_slack']:.0%} more than are wired"
        told = [
            f"area {of['area_um2_per_digit']:.4f} um2, {of['transistors_per_digit']:.1f} "
            f"transistors a digit; programmable masks: {', '.join(of['programmable_masks'])}",
            f"wire a digit {wire['mean']:.2f} um, worst {wire['worst']:.2f}; ports {ports}",
            f"fan-out {fan_out['mean']:.1f}, worst {fan_out['worst']:.0f}; "
            f"load {load['mean']:.1f} fF, worst {load['worst']:.1f}; "
            f"{of['repeaters']:,} repeaters on {of['trunks']:,} trunks",
            f"tracks in use: {', '.join(uses)}",
        ]
        if row := of.get("tracks_of_row"):
            missing = f", {row['missing']} missing" if row["missing"] else ""
            told.append(
                f"tracks a row: {row['there']} there, {row['mean']:.1f} needed on average, "
                f"{row['worst']} at worst{missing}"
            )
        lines += [f"{name if n == 0 else '':<18} {text}" for n, text in enumerate(told)]
    return lines
