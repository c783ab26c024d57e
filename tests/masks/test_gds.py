"""GDSII: KLayout and gdstk read what was drawn, shape for shape."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import gdstk
import klayout.db as db
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import KINDS, difference, random_digits, read_regions, regions, scheme_of

from hnlpu.embed import Grid, Label, Layout, TileShape
from hnlpu.masks._gds import MOST_COLUMNS, Placement, gds_cell, write_gds
from hnlpu.technology import load_technology

N5 = load_technology("n5")
SHAPE = TileShape(8, 2)


def written(*cells: tuple[str, Layout, list[Placement]]) -> bytes:
    file = io.BytesIO()
    write_gds(file, [gds_cell(N5, *cell) for cell in cells])
    return file.getvalue()


def save(path: Path, *cells: tuple[str, Layout, list[Placement]]) -> Path:
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
        ("TOP", Layout(), [Placement("tile", x, y) for x, y in places]),
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


@pytest.mark.parametrize("name", ["", "a-b", "a.b", "V3", "R80_0_40x52", "tilé"])
def test_names_that_gdsii_cannot_hold_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a cell"):
        gds_cell(N5, name, Layout())


def test_two_cells_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two cells are named 'tile'"):
        written(("tile", Layout(), []), ("tile", Layout(), []))
