"""Mask and drawing layers: numbers, names, a PDK-style deck that sees the metal, and verify on both."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import klayout.db as db
import numpy as np
import pytest
from builds import Builds
from layouts import read_regions
from resealed import problems, replace_cells, reseal

from hnlpu.errors import DamagedMasks, InvalidInput
from hnlpu.silicon.embed import Layout, open_scheme
from hnlpu.silicon.hardwire import Build, TileReader
from hnlpu.silicon.masks import choose_layers, open_masks, open_workers, write_masks
from hnlpu.silicon.masks._layer_files import layer_properties, layer_table
from hnlpu.silicon.masks._layers import LayerMap
from hnlpu.silicon.masks._oasis_bytes import layout_payload
from hnlpu.silicon.masks._oasis_write import cell_record
from hnlpu.silicon.masks._record import encode_record, read_record
from hnlpu.silicon.place import Tile, find_tiles
from hnlpu.silicon.technology import load_technology

ROUTER = "model.layers.0.mlp.router.n0.b0"
SKY130 = {  # github.com/google/skywater-pdk, docs/rules/gds_layers.csv
    "met2": (69, 20), "met3": (70, 20), "met4": (71, 20), "via": (68, 44), "via2": (69, 44), "via3": (70, 44),
}  # fmt: skip
Cli = Callable[..., tuple[int, str, str]]


def tiles_of(build: Build, *patterns: str) -> list[Tile]:
    return find_tiles(build.manifest.placement, build.manifest.technology.array, [0], patterns)


def write(
    build: Build, out: Path, layers: str | None, *, base: bool = True, gds: bool = False
) -> Path:
    formats = ["oasis", "gds"] if gds else ["oasis"]
    tiles = tiles_of(build, "*router*", "*k_proj*")
    write_masks(build, out, tiles, formats, open_workers(1), with_base=base, layers=layers)
    return out


def shapes(path: Path) -> dict[tuple[int, int], db.Region]:
    layout = db.Layout()
    layout.read(str(path))
    # merged, so that they hold when the layout is gone
    return {key: found.merged() for key, found in read_regions(layout, layout.top_cell()).items()}


def test_drawing_is_the_default_where_the_technology_knows_it() -> None:
    assert choose_layers(load_technology("sky130"), None) == "drawing"
    assert choose_layers(load_technology("asap7"), None) == "drawing"
    assert choose_layers(load_technology("n5"), None) == "mask"
    assert choose_layers(load_technology("sky130"), "mask") == "mask"
    with pytest.raises(InvalidInput, match="technology n5 names no drawing layers"):
        choose_layers(load_technology("n5"), "drawing")
    with pytest.raises(InvalidInput, match="layers 'gds' are unknown; choose from mask, drawing"):
        choose_layers(load_technology("n5"), "gds")


def test_the_numbers_of_sky130_are_those_of_its_pdk() -> None:
    t = load_technology("sky130")
    for layer in t.layers:
        assert layer.drawing is not None
        assert (layer.drawing.gds_layer, layer.drawing.datatype) == SKY130[layer.name]
    for metal in (t.lower, t.stub, t.upper):
        assert metal.drawing is not None
        assert (metal.drawing.pin, metal.drawing.label) == (16, 5)


@pytest.mark.parametrize("suffix", ["oas", "gds"])
@pytest.mark.parametrize("name", ["taps in sky130", "taps in asap7"])
def test_both_kinds_hold_the_same_metal(
    name: str, suffix: str, builds: Builds, tmp_path: Path
) -> None:
    build = builds(name)
    layers = build.manifest.technology.layers
    found = {
        kind: shapes(write(build, tmp_path / kind, kind, gds=True) / f"chip-00.{suffix}")
        for kind in ("mask", "drawing")
    }
    pins = set()
    for layer in layers:
        drawing = layer.drawing
        assert drawing is not None
        mask = db.Region()
        for datatype in (0, 1):
            mask += found["mask"].get((layer.gds_layer, datatype), db.Region())
        drawn = found["drawing"][drawing.gds_layer, drawing.datatype]
        assert (mask ^ drawn).is_empty()
        assert not drawn.is_empty()
        if layer in (build.manifest.technology.lower, build.manifest.technology.upper):
            pin = found["drawing"][drawing.gds_layer, drawing.pin]
            assert (pin - drawn).is_empty(), "a pin lies beside its metal"
            pins.add((drawing.gds_layer, drawing.pin))
    own = {(la.drawing.gds_layer, la.drawing.datatype) for la in layers if la.drawing}
    assert found["drawing"].keys() == own | pins


@pytest.mark.parametrize("name", ["taps in sky130", "taps in asap7"])
def test_every_pin_has_its_name_on_its_shape(name: str, builds: Builds, tmp_path: Path) -> None:
    build = builds(name)
    layout = db.Layout()
    layout.read(str(write(build, tmp_path / "m", None) / "chip-00.oas"))
    top = layout.top_cell()
    t = build.manifest.technology
    for metal in (t.lower, t.upper):
        d = metal.drawing
        assert d is not None
        texts = db.Texts(top.begin_shapes_rec(layout.find_layer(d.gds_layer, d.label)))
        pins = db.Region(top.begin_shapes_rec(layout.find_layer(d.gds_layer, d.pin)))
        assert texts.count() == pins.count() > 100
        assert texts.not_interacting(pins).is_empty()
        assert (
            layout.get_info(layout.find_layer(d.gds_layer, d.label)).name == f"{metal.name}.label"
        )


def deck(path: Path) -> dict[str, int]:
    """A few rules of the SKY130 PDK, written by hand for its drawing layers, by KLayout."""
    layout = db.Layout()
    layout.read(str(path))
    top = layout.top_cell()

    def of(layer: int, datatype: int) -> db.Region:
        index = layout.find_layer(layer, datatype)
        return db.Region() if index is None else db.Region(top.begin_shapes_rec(index)).merged()

    met2, met3, met4, via2, via3 = of(69, 20), of(70, 20), of(71, 20), of(69, 44), of(70, 44)
    return {
        "met2 shapes": met2.count(), "met3 shapes": met3.count(), "met4 shapes": met4.count(),
        "m2.1": met2.width_check(140).count(), "m2.2": met2.space_check(140).count(),
        "m3.1": met3.width_check(300).count(), "m3.2": met3.space_check(300).count(),
        "m4.1": met4.width_check(300).count(), "m4.2": met4.space_check(300).count(),
        "via2.2": via2.space_check(200).count(), "via3.2": via3.space_check(200).count(),
        "via2.4": via2.enclosed_check(met2, 40).count(), "m3.4": via2.enclosed_check(met3, 65).count(),
    }  # fmt: skip


def test_a_deck_for_drawing_layers_sees_the_metal_and_its_faults(
    builds: Builds, tmp_path: Path
) -> None:
    build = builds("taps in sky130")
    tile = tiles_of(build, "*router*")
    for kind in ("mask", "drawing"):
        write_masks(
            build, tmp_path / kind, tile, ["oasis"], open_workers(1), with_base=True, layers=kind
        )  # fmt: skip
    unseen, clean = (deck(tmp_path / kind / "chip-00.oas") for kind in ("mask", "drawing"))
    assert not any(unseen.values()), "the deck knows no mask layer"
    assert min(count for rule, count in clean.items() if "shapes" in rule) > 30
    assert not any(count for rule, count in clean.items() if "shapes" not in rule)
    layout = db.Layout()
    layout.read(str(tmp_path / "drawing/chip-00.oas"))
    (base,) = (cell for cell in layout.each_cell() if cell.name.startswith("base-"))
    met3, met2 = layout.find_layer(70, 20), layout.find_layer(69, 20)
    box = next(base.shapes(met3).each()).bbox()
    base.shapes(met3).insert(db.Box(box.left, box.top + 200, box.left + 5000, box.top + 500))
    area = base.bbox()
    base.shapes(met2).insert(db.Box(area.left - 2000, 0, area.left - 1900, 1000))
    layout.write(str(tmp_path / "bad.oas"))
    found = deck(tmp_path / "bad.oas")
    assert found["m3.2"] > 0
    assert found["m2.1"] > 0


# -- verify ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mask", "drawing"])
@pytest.mark.parametrize("name", ["taps in sky130", "taps in asap7"])
def test_both_kinds_are_sound_and_say_which_they_are(
    name: str, kind: str, builds: Builds, tmp_path: Path
) -> None:
    build = builds(name)
    folder = write(build, tmp_path / "m", kind)
    assert read_record(folder).layers == kind
    assert problems(build, folder) == ""


@pytest.mark.parametrize("damage", ["moved", "missing", "doubled"])
@pytest.mark.parametrize("kind", ["mask", "drawing"])
def test_the_same_faults_are_found_on_both(
    kind: str, damage: str, builds: Builds, tmp_path: Path
) -> None:
    build = builds("taps in sky130")
    folder = write(build, tmp_path / "m", kind)
    (tile,) = tiles_of(build, ROUTER)
    technology = build.manifest.technology
    scheme = open_scheme(technology, tile.kind)
    layout = scheme.draw(TileReader(build).digits(tile))
    key = technology.upper_cut.gds_layer, 1
    vias = layout.rectangles[key]
    if damage == "moved":
        vias[5, [0, 2]] += 100
    elif damage == "missing":
        layout.rectangles[key] = np.delete(vias, 5, 0)
    else:
        layout.rectangles[key] = np.concatenate([vias, vias[5:6]])
    payload = layout_payload(LayerMap(technology, kind).layout(layout))
    replace_cells(folder, {ROUTER: cell_record(ROUTER, payload)})
    found = problems(build, folder)
    assert f"chip-00 {ROUTER}: row " in found
    assert "masks files" not in found


@pytest.mark.parametrize("name", ["taps in sky130", "taps in asap7"])
@pytest.mark.parametrize(("kind", "other"), [("mask", "drawing"), ("drawing", "mask")])
def test_a_mixture_of_both_is_refused(
    kind: str, other: str, name: str, builds: Builds, tmp_path: Path
) -> None:
    build = builds(name)
    folder, strange = (write(build, tmp_path / k, k) for k in (kind, other))
    assert problems(build, folder) == ""
    record = read_record(folder)
    claimed = shutil.copytree(folder, tmp_path / "claimed")
    told = record.model_copy(update={"layers": other})
    (claimed / "masks.json").write_bytes(encode_record(told))
    found = problems(build, claimed)
    assert f"{claimed / 'chip-00.oas'}: names layer " in found
    assert f"which is none of the {other} layers of masks.json; write the masks again" in found
    assert "has shapes on layer " in found
    mixed = shutil.copytree(folder, tmp_path / "mixed")
    for file in ("chip-00.oas", "chip-00.cells.json"):
        shutil.copy(strange / file, mixed / file)
    reseal(mixed)
    assert "has shapes on layer " in problems(build, mixed)
    (tile,) = tiles_of(build, ROUTER)
    technology = build.manifest.technology
    metal = open_scheme(technology, tile.kind).draw(TileReader(build).digits(tile))
    extra = LayerMap(technology, kind).layout(metal)
    wrong = LayerMap(technology, other).layout(Layout(rectangles={
        layer: boxes[:1] for layer, boxes in metal.rectangles.items()
    }))  # fmt: skip
    one = shutil.copytree(folder, tmp_path / "one cell")
    both = Layout(rectangles={**extra.rectangles, **wrong.rectangles})
    replace_cells(one, {ROUTER: cell_record(ROUTER, layout_payload(both))})
    assert f"chip-00 {ROUTER}: has shapes on layer " in problems(build, one)


def test_older_folders_are_refused_in_one_line(builds: Builds, tmp_path: Path) -> None:
    build = builds("taps")
    folder = write(build, tmp_path / "m", None)
    values = json.loads((folder / "masks.json").read_text())
    values["schema_version"] = 1
    del values["layers"]
    (folder / "masks.json").write_text(json.dumps(values))
    with pytest.raises(DamagedMasks, match=r"schema version 1, .* reads 2; write the masks again"):
        open_masks(build, folder)


# -- on the command line ---------------------------------------------------------------------


def test_the_option_chooses(cli: Cli, builds: Builds, tmp_path: Path) -> None:
    sky, n5 = builds("taps in sky130").directory, builds("taps").directory
    run = ("--tile", "*router*", "--workers", "1", "--json", "-o")
    for build, options, kind in (
        (sky, (), "drawing"), (sky, ("--layers", "mask"), "mask"), (n5, (), "mask"),
    ):  # fmt: skip
        out = tmp_path / f"{build.name} {kind}"
        code, printed, errors = cli("masks", build, *options, *run, out)
        assert (code, errors) == (0, "")
        assert json.loads(printed)["layers"] == read_record(out).layers == kind
    for options, expected in (
        (("--layers", "drawing"), "technology n5 names no drawing layers; choose mask"),
        (("--layers", "Mask"), "layers 'Mask' are unknown; choose from mask, drawing"),
    ):
        code, printed, line = cli("masks", n5, *options, *run, tmp_path / "none")
        assert code == 2
        assert json.loads(printed)["error"]["message"] == line.removeprefix("hnlpu: ")[:-1]
        assert expected in line
        assert line.count("\n") == 1
    assert not (tmp_path / "none").exists()


# -- files about layers ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["taps", "regions", "taps in sky130", "taps in asap7"])
def test_layer_files_name_every_layer_of_the_masks(
    name: str, builds: Builds, tmp_path: Path
) -> None:
    build = builds(name)
    folder = write(build, tmp_path / "m", None)
    rows = [line.split() for line in (folder / "layers.map").read_text().splitlines()]
    assert rows[0] == ["#", "layer", "purpose", "number", "datatype"]
    numbers = {(int(n), int(d)): f"{layer}.{what}" for layer, what, n, d in rows[1:]}
    layout = db.Layout()
    layout.read(str(folder / "chip-00.oas"))
    infos = [layout.get_info(index) for index in layout.layer_indexes()]
    for info in infos:
        assert numbers[info.layer, info.datatype] == info.name
    root = ET.parse(folder / "layers.lyp").getroot()
    sources = [each.findtext("source") for each in root.iter("properties")]
    assert sorted(sources, key=str) == sorted(f"{n}/{d}@1" for n, d in numbers)


def test_klayout_loads_the_layer_properties(builds: Builds, tmp_path: Path) -> None:
    lay = pytest.importorskip("klayout.lay")
    folder = write(builds("taps in sky130"), tmp_path / "m", None)
    view = lay.LayoutView()
    view.load_layout(str(folder / "chip-00.oas"), False)
    view.load_layer_props(str(folder / "layers.lyp"))
    found = {
        each.source_layer * 1000 + each.source_datatype: each.name for each in view.each_layer()
    }
    assert found[69020] == "met2.drawing - 69/20"
    assert found[71005] == "met4.label - 71/5"
    assert len(found) == 12


def test_layer_files_are_the_same_for_the_same_technology() -> None:
    named = LayerMap(load_technology("n5"), "mask").named(("VIA8", "VIA9"))
    assert layer_properties(named) == layer_properties(list(named))
    assert b"VIA8     programmable  85      1" in layer_table(named)
