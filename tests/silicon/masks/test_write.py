"""Mask files of a build: two readers and another decoder find in them what the build says."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from pathlib import Path

import gdstk
import klayout.db as db
import numpy as np
import pytest
from builds import TARGETS, Builds
from layouts import difference, read_regions, regions
from lefdef import by_key, macro_metal, read_by_klayout

from helpers import snapshot
from hnlpu.arithmetic.mx import TWICE_E2M1, unpack
from hnlpu.silicon.embed import LayerKey, Layout, Taps, open_scheme
from hnlpu.silicon.hardwire import Build, TileReader, file_sha256
from hnlpu.silicon.masks import Format, Layers, MasksRecord, open_workers, write_masks
from hnlpu.silicon.masks._lef import macro_name
from hnlpu.silicon.masks._names import identifier
from hnlpu.silicon.place import PlacedTile, Tile, chip_tiles, die_plan, find_tiles
from hnlpu.silicon.technology import FIXED, PROGRAMMABLE

LAYER_FILES = {"layers.lyp", "layers.map"}
MANY: tuple[str, ...] = ("taps", "taps on 4 chips", "regions")


def tiles_of(build: Build, *patterns: str, chips: tuple[int, ...] = ()) -> list[Tile]:
    return find_tiles(build.manifest.placement, build.manifest.technology.array, chips, patterns)


def write(
    build: Build, out: Path, tiles: list[Tile], *formats: Format, with_base: bool = False,
    layers: Layers | None = None,
) -> MasksRecord:  # fmt: skip
    """All on mask layers where nothing else is asked for."""
    return write_masks(
        build, out, tiles, formats, open_workers(1), with_base=with_base, layers=layers or "mask"
    )


def places(build: Build, tiles: list[Tile]) -> list[PlacedTile]:
    """Where tiles lie on their dies."""
    t, found = build.manifest.technology, []
    for chip in {tile.chip for tile in tiles}:
        everything = list(chip_tiles(build.manifest.placement, t.array, chip))
        found += [at for at in die_plan(t, chip, everything).tiles if at.tile in tiles]
    return found


def metal(build: Build, tile: Tile, with_base: bool) -> Layout:
    """A tile's shapes by the scheme's own drawing."""
    scheme = open_scheme(build.manifest.technology, tile.kind)
    drawn = scheme.draw(TileReader(build).digits(tile))
    return scheme.base(tile.shape).merged(drawn) if with_base else drawn


def on_the_die(build: Build, tiles: list[Tile], with_base: bool) -> dict[LayerKey, db.Region]:
    whole: dict[LayerKey, db.Region] = {}
    for at in places(build, tiles):
        for layer, here in regions(metal(build, at.tile, with_base)).items():
            whole.setdefault(layer, db.Region()).insert(here.moved(at.x, at.y))
    return whole


def counts_on_the_die(build: Build, tiles: list[Tile], with_base: bool) -> Counter[LayerKey]:
    found: Counter[LayerKey] = Counter()
    for tile in tiles:
        flat = metal(build, tile, with_base).flat()
        found.update({layer: len(shapes) for layer, shapes in flat.items() if len(shapes)})
    return found


@pytest.mark.parametrize("with_base", [False, True])
@pytest.mark.parametrize("name", TARGETS)
def test_klayout_and_gdstk_find_every_tile_in_its_place(
    name: str, with_base: bool, builds: Builds, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    build = builds(name)
    last = build.manifest.placement.chips - 1
    tiles = tiles_of(build, "*router*", *([] if with_base else ["lm_head*"]), chips=(last,))
    write(build, tmp_path / "out", tiles, "oasis", "gds", with_base=with_base)
    wanted = on_the_die(build, tiles, with_base)
    counts = counts_on_the_die(build, tiles, with_base)
    for path in (tmp_path / f"out/chip-0{last}.oas", tmp_path / f"out/chip-0{last}.gds"):
        layout = db.Layout()
        layout.read(str(path))
        assert capfd.readouterr() == ("", ""), "KLayout warns"
        assert layout.dbu == 0.001
        (top,) = layout.top_cells()
        assert top.name.replace("-", "_") == f"chip_0{last}"
        found = read_regions(layout, top)
        assert {layer: here.count() for layer, here in found.items()} == counts
        assert difference(found, wanted) == {}
        library = gdstk.read_oas(path) if path.suffix == ".oas" else gdstk.read_gds(path)
        assert capfd.readouterr() == ("", ""), "gdstk warns"
        (cell,) = library.top_level()
        by_gdstk = Counter((p.layer, p.datatype) for p in cell.get_polygons())
        assert by_gdstk == counts
        assert library.unit * round(library.precision / library.unit, 9) == pytest.approx(1e-9)


@pytest.mark.parametrize("name", MANY)
def test_pin_labels_come_with_the_base(name: str, builds: Builds, tmp_path: Path) -> None:
    build = builds(name)
    (tile,) = tiles_of(build, "*router*", chips=(0,))
    write(build, tmp_path / "out", [tile], "oasis", "gds", with_base=True)
    base = open_scheme(build.manifest.technology, tile.kind).base(tile.shape)
    (at,) = places(build, [tile])
    wanted = Counter((*label.layer, label.text, label.x + at.x, label.y + at.y)
                     for label in base.labels)  # fmt: skip
    for file in ("chip-00.oas", "chip-00.gds"):
        layout = db.Layout()
        layout.read(str(tmp_path / "out" / file))
        found: Counter[tuple[int, int, str, int, int]] = Counter()
        for index in layout.layer_indexes():
            info = layout.get_info(index)
            for text in db.Texts(layout.top_cell().begin_shapes_rec(index)).each():
                found[info.layer, info.datatype, text.string, text.x, text.y] += 1
        assert found == wanted


def trunks(taps: Taps, tile: Tile) -> dict[str, int]:
    """Value of the trunks of input 0 -> their number from the left, by labels of the base."""
    base = taps.base(tile.shape)
    x = {label.text: label.x for label in base.labels if label.text.startswith("x0.")}
    x["GND"] = min(label.x for label in base.labels if label.text == "GND")
    return {name: rank for rank, name in enumerate(sorted(x, key=lambda name: x[name]))}


@pytest.mark.parametrize("name", ["taps on 4 chips", "taps in sky130"])
def test_via_maps_of_taps_say_the_stored_codes(name: str, builds: Builds, tmp_path: Path) -> None:
    """Against the digits as the build stores them, and labels of trunks."""
    build = builds(name)
    tiles = tiles_of(build)
    write(build, tmp_path / "out", tiles, "via-map")
    for tile in tiles:
        rank = trunks(open_scheme(build.manifest.technology, tile.kind), tile)
        with np.load(tmp_path / f"out/chip-0{tile.chip}.via-map.npz") as archive:
            site, shift = archive[f"{tile.name}.site"], archive[f"{tile.name}.shift"]
        assert (site.dtype, shift.dtype) == (np.uint8, np.uint8)
        columns, blocks = slice(*(32 * b for b in tile.blocks)), slice(*tile.blocks)
        for row in range(tile.shape.rows):
            neuron, member, digit = tile.place_of(row)
            matrix = build.matrix(build.shapes()[tile.matrix], member)
            stored = matrix.digits[digit]
            codes = unpack(stored.codes[neuron : neuron + 1])[0, columns]
            values = [int(TWICE_E2M1[code]) for code in codes]
            assert site[row].tolist() == [rank[f"x0.{v:+d}" if v else "GND"] for v in values]
            some = codes.reshape(-1, 32).any(1) & (codes.reshape(-1, 32) != 8).any(1)
            exponents = stored.exponents[neuron, blocks].astype(int)
            of_row = exponents - int(matrix.row_exponents[neuron])
            assert (shift[row][some] == of_row[some]).all()


@pytest.mark.parametrize("name", ["regions", "regions on 2 chips"])
def test_via_maps_of_regions_say_the_weights(name: str, builds: Builds, tmp_path: Path) -> None:
    """A word is sign, odd part (1 or 3) and shift; an input has the value of its port's group."""
    build = builds(name)
    tiles = tiles_of(build)
    write(build, tmp_path / "out", tiles, "via-map")
    for tile in tiles:
        with np.load(tmp_path / f"out/chip-0{tile.chip}.via-map.npz") as archive:
            port, track, word = (archive[f"{tile.name}.{key}"] for key in ("port", "track", "word"))
        value = np.where(word & 2, 3, 1) << (word >> 2).astype(np.int64)
        value = np.where(word & 1, -value, value)
        group = port // tile.kind.group
        digits = np.where(port < 0, 0, np.take_along_axis(value, np.maximum(group, 0), 1))
        sums = digits.reshape(-1, tile.kind.bank, tile.kind.digits, digits.shape[1]).sum(2)
        np.testing.assert_array_equal(sums, TileReader(build).weights(tile))
        assert ((track >= 0) == (port >= 0)).all()
        assert track.max() < tile.kind.tracks
        for row in port:
            used = row[row >= 0]
            assert len(set(used.tolist())) == len(used), "two inputs on one port"


@pytest.mark.parametrize("name", ["taps on 4 chips", "regions"])
def test_klayout_opens_def_and_lef_in_silence(name: str, builds: Builds, tmp_path: Path) -> None:
    build = builds(name)
    (tile,) = tiles_of(build, "*router*", chips=(0,))
    record = write(build, tmp_path / "out", [tile], "def", "tcl")
    scheme = open_scheme(build.manifest.technology, tile.kind)
    prefix = "chip-00." if build.manifest.placement.chips > 1 else ""
    macro = macro_name(scheme, tile.shape)
    lef = [f"{build.manifest.technology.name}.tech.lef", f"{macro}.lef"]
    names = {f"{prefix}{tile.name}.def", f"{prefix}{tile.name}.tcl", *lef}
    assert record.files.keys() == names | LAYER_FILES
    out = tmp_path / "out"
    said, shapes, layout = read_by_klayout(
        out / f"{prefix}{tile.name}.def", *(out / name for name in lef)
    )
    assert said == ""
    assert layout.top_cell().name == identifier(tile.name)
    drawn = regions(metal(build, tile, with_base=False))
    routed, pins = by_key(scheme, shapes, ""), macro_metal(scheme, shapes)
    for (layer, _), here in drawn.items():
        assert (here - routed[layer, FIXED] - pins.get((layer, FIXED), db.Region())).is_empty()
    base = regions(scheme.base(tile.shape))
    assert difference(pins, base) == {}


@pytest.mark.parametrize("name", ["taps on 4 chips", "regions"])
def test_a_part_of_the_tiles_is_written_as_in_the_whole(
    name: str, builds: Builds, tmp_path: Path
) -> None:
    build = builds(name)
    chip = build.manifest.placement.chips - 1
    everything = tiles_of(build, "*router*", "lm_head*", "*k_proj*")
    few = tiles_of(build, "*router*", "lm_head*", chips=(chip,))
    assert 0 < len(few) < len(everything)
    whole = write(build, tmp_path / "whole", everything, "oasis", "via-map")
    part = write(build, tmp_path / "part", few, "oasis", "via-map")
    assert part.tiles == {chip: len(few)}
    assert sum(whole.tiles.values()) == len(everything)
    assert part.digits == sum(tile.shape.weights for tile in few)
    file = f"chip-0{chip}"
    written = {f"{file}.oas", f"{file}.cells.json", f"{file}.via-map.npz", f"{file}.drc"}
    assert part.files.keys() == written | LAYER_FILES
    cells = [
        json.loads((tmp_path / x / f"{file}.cells.json").read_text()) for x in ("whole", "part")
    ]
    data = [(tmp_path / x / f"{file}.oas").read_bytes() for x in ("whole", "part")]
    for tile in few:
        (a, a_bytes), (b, b_bytes) = (of[tile.name] for of in cells)
        assert data[0][a : a + a_bytes] == data[1][b : b + b_bytes]
    layout = db.Layout()
    layout.read(str(tmp_path / f"part/{file}.oas"))
    found = read_regions(layout, layout.top_cell())
    assert difference(found, on_the_die(build, few, with_base=False)) == {}


def test_tiles_may_come_twice_and_in_any_order(builds: Builds, tmp_path: Path) -> None:
    build = builds("taps on 4 chips")
    tiles = tiles_of(build, "*router*", "lm_head*")
    mixed = [*tiles[::2], *tiles[1::2], *tiles[:3]]
    in_order = sorted(dict.fromkeys(mixed), key=lambda tile: tile.chip)
    write(build, tmp_path / "a", mixed, "oasis", "via-map")
    write(build, tmp_path / "b", in_order, "oasis", "via-map")
    assert snapshot(tmp_path / "a") == snapshot(tmp_path / "b")


def test_the_record_tells_what_is_in_the_folder(builds: Builds, tmp_path: Path) -> None:
    build = builds("taps on 4 chips")
    formats: tuple[Format, ...] = ("oasis", "gds", "via-map", "def", "tcl")
    tiles = tiles_of(build, "*k_proj*", "*router*")
    record = write(build, tmp_path / "out", tiles, *formats, with_base=True)
    here = {path.name: path for path in (tmp_path / "out").iterdir()}
    assert record.files.keys() == here.keys() - {"masks.json"}
    for name, file in record.files.items():
        assert (file.bytes, file.sha256) == (here[name].stat().st_size, file_sha256(here[name]))
    assert record.formats == formats
    assert record.with_base
    assert (record.scheme, record.technology) == ("taps", "n5")
    assert record.build == file_sha256(build.directory / "manifest.json")
    assert {name.split(".")[-1] for name in here} == {
        "oas", "json", "gds", "npz", "def", "lef", "tcl", "lyp", "map", "drc",
    }  # fmt: skip
    assert record.layers == "mask"
    with zipfile.ZipFile(here["chip-00.via-map.npz"]) as archive:
        assert archive.testzip() is None
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_programmable_metal_alone_differs_between_models(
    builds: Builds, tmp_path: Path
) -> None:
    """Without the base a file has shapes on programmable layers only."""
    for name in MANY:
        build = builds(name)
        write(build, tmp_path / name, tiles_of(build, "*router*"), "oasis")
        layout = db.Layout()
        layout.read(str(tmp_path / name / "chip-00.oas"))
        found = read_regions(layout, layout.top_cell())
        assert {datatype for _, datatype in found} == {PROGRAMMABLE}
