"""GDSII: KLayout and gdstk read what was drawn, shape for shape."""

from __future__ import annotations

import io
import json
import re
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import gdstk
import klayout.db as db
import numpy as np
import pytest
from builds import Builds
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import KINDS, difference, random_digits, read_regions, regions, scheme_of

from hnlpu.errors import DoesNotFit
from hnlpu.silicon.embed import Grid, Label, Layout, TileShape
from hnlpu.silicon.masks import open_workers, write_masks
from hnlpu.silicon.masks._gds import (
    MOST_COLUMNS,
    OWN_NAMES,
    PlacedCell,
    gds_cell,
    require_gds_layers,
    write_gds,
)
from hnlpu.silicon.masks._layers import LayerMap
from hnlpu.silicon.masks._names import gds_names
from hnlpu.silicon.place import find_tiles
from hnlpu.silicon.technology import load_technology

N5 = load_technology("n5")
SHAPE = TileShape(8, 2)


def written(*cells: tuple[str, Layout, list[PlacedCell]]) -> bytes:
    file = io.BytesIO()
    write_gds(file, [gds_cell(N5, *cell) for cell in cells])
    return file.getvalue()


def save(path: Path, *cells: tuple[str, Layout, list[PlacedCell]]) -> Path:
    path.write_bytes(written(*cells))
    return path


def opened(path: Path) -> tuple[db.Layout, db.Cell]:
    layout = db.Layout()
    layout.read(str(path))
    return layout, layout.top_cell()


def counts_by_gdstk(path: Path) -> Counter[tuple[int, int]]:
    (top,) = gdstk.read_gds(path).top_level()
    return Counter((polygon.layer, polygon.datatype) for polygon in top.get_polygons())


def counts_by_klayout(layout: db.Layout, top: db.Cell) -> Counter[tuple[int, int]]:
    found = read_regions(layout, top)
    return Counter({layer: here.count() for layer, here in found.items()})


def labels_of(layout: Layout) -> Counter[tuple[int, int, str, int, int]]:
    return Counter((*label.layer, *label[1:]) for label in layout.labels)


def labels_by_klayout(layout: db.Layout, top: db.Cell) -> Counter[tuple[int, int, str, int, int]]:
    found: Counter[tuple[int, int, str, int, int]] = Counter()
    for index in layout.layer_indexes():
        info = layout.get_info(index)
        for text in db.Texts(top.begin_shapes_rec(index)).each():
            found[info.layer, info.datatype, text.string, text.x, text.y] += 1
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_two_readers_find_the_tile_that_was_drawn(kind: str, tmp_path: Path) -> None:
    scheme = scheme_of(kind)
    tile = scheme.base(SHAPE).merged(scheme.draw(random_digits(scheme, SHAPE)))
    path = save(tmp_path / "tile.gds", ("tile", tile, []))
    layout, top = opened(path)
    assert layout.dbu == 0.001
    assert difference(read_regions(layout, top), regions(tile)) == {}
    counts = {layer: len(found) for layer, found in tile.flat().items()}
    assert counts_by_klayout(layout, top) == counts
    assert counts_by_gdstk(path) == counts
    assert labels_by_klayout(layout, top) == labels_of(tile)


def test_tiles_stand_where_they_are_placed(tmp_path: Path) -> None:
    scheme = scheme_of("scales")
    tile = scheme.draw(random_digits(scheme, SHAPE))
    places = [(0, 0), (-1_000_000, 7), (24_000_000, 31_000_000)]
    path = save(
        tmp_path / "chip.gds",
        ("tile", tile, []),
        ("TOP", Layout(), [PlacedCell("tile", x, y) for x, y in places]),
    )
    layout, top = opened(path)
    assert top.name == "TOP"
    wanted = {
        layer: sum((here.moved(x, y) for x, y in places), db.Region())
        for layer, here in regions(tile).items()
    }
    assert difference(read_regions(layout, top), wanted) == {}
    assert counts_by_gdstk(path) == {layer: 3 * len(r) for layer, r in tile.flat().items()}


@pytest.mark.parametrize(
    ("columns", "rows"), [(MOST_COLUMNS, 1), (MOST_COLUMNS + 1, 1), (1, 2 * MOST_COLUMNS + 1), (40_000, 2)]
)  # fmt: skip
def test_long_grids_are_split(columns: int, rows: int, tmp_path: Path) -> None:
    grid = Grid((85, 0), -3, 5, 37, 45, columns, 80, rows, 90)
    path = save(tmp_path / "grid.gds", ("grid", Layout([grid]), []))
    layout, top = opened(path)
    assert counts_by_klayout(layout, top) == {(85, 0): columns * rows}
    assert counts_by_gdstk(path) == {(85, 0): columns * rows}
    assert difference(read_regions(layout, top), regions(Layout([grid]))) == {}


coordinates = st.integers(-(2**24), 2**24)
sizes = st.integers(1, 2**20)
boxes = st.tuples(coordinates, coordinates, sizes, sizes).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)
layers = st.sampled_from([(80, 0), (85, 1), (90, 1), (32767, 0)])
grids = st.builds(
    lambda layer, box, columns, dx, rows, dy: Grid(layer, *box, columns, dx, rows, dy),
    layers, boxes, st.integers(1, 5), st.integers(-500, 500).filter(bool), st.integers(1, 5),
    st.integers(1, 900),
)  # fmt: skip
rectangle_lists = st.lists(boxes, max_size=6).map(lambda b: np.array(b, np.int32).reshape(-1, 4))
texts = st.text("GNDxpqc0123456789.+-", min_size=1, max_size=12)
layouts = st.builds(
    Layout,
    st.lists(grids, max_size=3),
    st.dictionaries(layers, rectangle_lists, max_size=3),
    st.lists(st.builds(Label, layers, texts, coordinates, coordinates), max_size=4),
)


@settings(max_examples=60, deadline=None)
@given(layouts)
def test_any_layout_survives(tmp_path_factory: pytest.TempPathFactory, layout: Layout) -> None:
    path = save(tmp_path_factory.getbasetemp() / "any.gds", ("any", layout, []))
    read, top = opened(path)
    counts = {layer: len(found) for layer, found in layout.flat().items() if len(found)}
    assert counts_by_klayout(read, top) == counts
    assert counts_by_gdstk(path) == counts
    assert difference(read_regions(read, top), regions(layout)) == {}
    assert labels_by_klayout(read, top) == labels_of(layout)


def test_a_via_takes_26_bytes_and_one_of_another_size_stays_a_rectangle(tmp_path: Path) -> None:
    vias = np.array([[100 * n, 0, 100 * n + 40, 40] for n in range(50)], np.int32)
    empty = len(gds_cell(N5, "tile", Layout()).data)
    cell = gds_cell(N5, "tile", Layout(rectangles={(85, 1): vias}))
    assert len(cell.data) - empty == 50 * 26
    vias[7, 2] += 1
    path = save(tmp_path / "odd.gds", ("tile", Layout(rectangles={(85, 1): vias}), []))
    layout, top = opened(path)
    assert read_regions(layout, top)[85, 1].bbox() == db.Box(0, 0, 4940, 40)
    assert [box for box in _boxes(layout, top) if box.width() == 41] == [db.Box(700, 0, 741, 40)]


def _boxes(layout: db.Layout, top: db.Cell) -> list[db.Box]:
    return [
        polygon.bbox()
        for index in layout.layer_indexes()
        for polygon in db.Region(top.begin_shapes_rec(index)).each()
    ]


def test_the_same_layout_gives_the_same_bytes() -> None:
    scheme = scheme_of("bank")
    tile = scheme.draw(random_digits(scheme, SHAPE))
    assert written(("tile", tile, [])) == written(("tile", tile, []))


@pytest.mark.parametrize("name", ["", "a-b", "a.b", "V3", "R80_0_40x52", "tilé", "x" * 33])
def test_names_that_gdsii_cannot_hold_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a cell"):
        gds_cell(N5, name, Layout())


def test_two_cells_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two cells are named 'tile'"):
        written(("tile", Layout(), []), ("tile", Layout(), []))


# -- names and limits ------------------------------------------------------------------------

STRICT = re.compile(r"[A-Za-z0-9_?$]{1,32}")
words = st.text("abAB01._- ", min_size=1, max_size=70)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(words, unique=True, max_size=40))
def test_any_names_become_names_of_gdsii(names: list[str]) -> None:
    numbers = {name: n for n, name in enumerate(names)}
    found = gds_names(numbers, OWN_NAMES)
    assert found.keys() == numbers.keys()
    assert all(
        STRICT.fullmatch(short) and not OWN_NAMES.fullmatch(short) for short in found.values()
    )
    assert len({short.casefold() for short in found.values()}) == len(names)
    assert gds_names(dict(reversed(numbers.items())), OWN_NAMES) == found


def test_short_names_stay_and_long_ones_keep_their_end() -> None:
    long = "model.layers.0.mlp.experts.gate_up_proj.e0.n32.b0"
    numbers = {"chip-00": 0, "base-taps-d1-b8-r2-256x32": 7, long: 12, "V3": 13, "c12_x": 14}
    assert gds_names(numbers, OWN_NAMES) == {
        "chip-00": "chip_00", "base-taps-d1-b8-r2-256x32": "base_taps_d1_b8_r2_256x32",
        long: "c12_gate_up_proj_e0_n32_b0", "V3": "c13_V3", "c12_x": "c14_c12_x",
    }  # fmt: skip


def records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and payload of every record, by the format's own lengths."""
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from(">HH", data, at)
        assert size >= 4
        assert size % 2 == 0
        yield kind, data[at + 4 : at + size]
        at += size
    assert at == len(data)


@pytest.mark.parametrize("name", ["taps", "taps in sky130", "taps in asap7", "regions"])
def test_files_keep_the_limits_of_the_format(name: str, builds: Builds, tmp_path: Path) -> None:
    """Record by record, as a strict reader of the GDSII manual has it."""
    build = builds(name)
    tiles = find_tiles(
        build.manifest.placement, build.manifest.technology.array, [0], ["*router*", "*experts*"]
    )  # fmt: skip
    write_masks(build, tmp_path / "m", tiles, ["gds"], open_workers(1), with_base=True)
    structures, placed, told = set(), set(), {}
    last = ""
    for kind, payload in records((tmp_path / "m/chip-00.gds").read_bytes()):
        text = payload.rstrip(b"\0").decode("ascii", "replace")
        if kind in (0x0606, 0x1206):  # STRNAME, SNAME
            assert STRICT.fullmatch(text), text
            if kind == 0x0606:
                assert text not in structures
            (structures if kind == 0x0606 else placed).add(text)
            last = text
        elif kind in (0x0D02, 0x0E02, 0x1602):  # LAYER, DATATYPE, TEXTTYPE
            assert struct.unpack(">h", payload)[0] >= 0
        elif kind == 0x1906:
            assert len(text) <= 512
        elif kind == 0x1003:
            assert len(payload) <= 8 * 200
        elif kind == 0x1302:
            assert all(1 <= n <= 32767 for n in struct.unpack(">2h", payload))
        elif kind in (0x0102, 0x0502):
            year, month, day, *_ = struct.unpack(">12h", payload)
            assert year >= 1970
            assert 1 <= month <= 12
            assert 1 <= day <= 31
        elif kind == 0x2C06:
            assert len(text) <= 126
            told[last] = text
    assert placed <= structures
    names = json.loads((tmp_path / "m/chip-00.names.json").read_text())
    assert {tile.name for tile in tiles} <= set(names.values())
    assert names.keys() == {s for s in structures if not OWN_NAMES.fullmatch(s)}
    assert told == {short: names[short] for short in told}
    assert set(told.values()) >= {tile.name for tile in tiles}


def test_names_do_not_depend_on_what_else_is_written(builds: Builds, tmp_path: Path) -> None:
    build = builds("taps")
    found = []
    for n, patterns in enumerate((["*router*", "*experts*"], ["*router*"])):
        tiles = find_tiles(
            build.manifest.placement, build.manifest.technology.array, [0], patterns
        )  # fmt: skip
        write_masks(build, tmp_path / str(n), tiles, ["gds"], open_workers(1))
        found.append(json.loads((tmp_path / str(n) / "chip-00.names.json").read_text()))
    assert found[1].items() <= found[0].items()


def test_layers_beyond_the_format_are_refused_before_anything_is_written(
    builds: Builds, tmp_path: Path
) -> None:
    technology = N5.model_copy(update={"upper": N5.upper.model_copy(update={"gds_layer": 40000})})
    with pytest.raises(
        DoesNotFit, match=r"n5: M10 is layer 40000/0, GDSII has numbers up to 32767"
    ):
        require_gds_layers(LayerMap(technology, "mask"))
    require_gds_layers(LayerMap(N5, "mask"))


def test_a_text_beyond_the_format_is_refused() -> None:
    label = Label((80, 10), "x" * 513, 0, 0)
    with pytest.raises(ValueError, match="cannot hold a text of 514 characters"):
        gds_cell(N5, "tile", Layout(labels=[label]))
