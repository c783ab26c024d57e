"""OASIS: our reader and writer against KLayout and gdstk; all repetitions, both kinds of places."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import Any

import gdstk
import klayout.db as db
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import difference, random_digits, read_regions, regions, scheme_of

from hnlpu.errors import DamagedMasks
from hnlpu.silicon.embed import ArrayKind, LayerKey, RectRows, Scheme, Taps, TileDigits, TileShape
from hnlpu.silicon.masks._cells import (
    base_payload,
    read_tile,
    shared_cells,
    shared_payloads,
    tile_payload,
)
from hnlpu.silicon.masks._oasis_bytes import signed, string, unsigned
from hnlpu.silicon.masks._oasis_cell import LayoutCell, flatten
from hnlpu.silicon.masks._oasis_read import parse_cell, parse_oasis, read_oasis
from hnlpu.silicon.masks._oasis_write import OasisWriter, cell_record
from hnlpu.silicon.technology import PROGRAMMABLE, load_technology

SHAPE = TileShape(5, 3)
KINDS = ("plain", "scales", "bank")


def file_of(cells: dict[str, bytes], compress: bool = True) -> bytes:
    raw = io.BytesIO()
    writer = OasisWriter(raw, {})
    for name, payload in cells.items():
        writer.put_cell(cell_record(name, payload, compress=compress))
    writer.end()
    return raw.getvalue()


# -- what we write ---------------------------------------------------------------------------


def save_tile(folder: Path, scheme: Scheme, digits: TileDigits, compress: bool) -> Path:
    path = folder / "tile.oas"
    cells = {
        "base": base_payload(scheme, SHAPE),
        "tile": tile_payload(scheme, digits),
        **shared_payloads(scheme),
    }
    path.write_bytes(file_of(cells, compress))
    return path


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_klayout_reads_what_we_write(kind: str, compress: bool, tmp_path: Path) -> None:
    scheme = scheme_of(kind)
    digits = random_digits(scheme, SHAPE)
    layout = db.Layout()
    layout.read(str(save_tile(tmp_path, scheme, digits, compress)))
    drawn = read_regions(layout, layout.cell("tile"))
    assert difference(drawn, regions(scheme.draw(digits))) == {}
    base = scheme.base(SHAPE)
    assert difference(read_regions(layout, layout.cell("base")), regions(base)) == {}
    texts: Counter[Any] = Counter()
    for index in layout.layer_indexes():
        info = layout.get_info(index)
        for shape in layout.cell("base").shapes(index).each():
            if shape.is_text():
                texts[info.layer, info.datatype, shape.text_string, *at(shape.text_pos)] += 1
    assert texts == Counter((*label.layer, *label[1:]) for label in base.labels)


def at(point: db.Point) -> tuple[int, int]:
    return point.x, point.y


@pytest.mark.parametrize("kind", KINDS)
def test_gdstk_counts_what_we_write(kind: str, tmp_path: Path) -> None:
    scheme = scheme_of(kind)
    digits = random_digits(scheme, SHAPE)
    library = gdstk.read_oas(str(save_tile(tmp_path, scheme, digits, True)))
    tile = next(cell for cell in library.cells if cell.name == "tile")
    counts = Counter((p.layer, p.datatype) for p in tile.get_polygons(apply_repetitions=True))
    drawn = scheme.draw(digits).rectangles
    assert counts == {layer: len(found) for layer, found in drawn.items()}


# -- what we read ----------------------------------------------------------------------------


def g_delta(x: int, y: int) -> bytes:
    """A displacement in its short form where it has one (SEMI P39, 7.5.5)."""
    ways = {(1, 0): 0, (0, 1): 1, (-1, 0): 2, (0, -1): 3,
            (1, 1): 4, (-1, 1): 5, (-1, -1): 6, (1, -1): 7}  # fmt: skip
    size = max(abs(x), abs(y))
    way = ways.get((np.sign(x), np.sign(y)))
    if way is not None and abs(x) in (0, size) and abs(y) in (0, size):
        return unsigned(size << 4 | way << 1)
    return unsigned(abs(x) << 2 | (x < 0) << 1 | 1) + signed(y)


COUNT = st.integers(2, 5)
GAP = st.one_of(st.integers(1, 300), st.just(127), st.just(128), st.integers(5000, 10000))
STEP = st.integers(1, 2000)
SHIFT = st.tuples(st.integers(-3000, 3000), st.integers(-3000, 3000)).filter(any)


@st.composite
def repetitions(draw: st.DrawFn) -> bytes:
    """Every kind of repetition but 0, which says the same as before."""
    kind = draw(st.integers(1, 11))
    head = unsigned(kind) + unsigned(draw(COUNT) - 2)
    if kind == 1:
        return head + unsigned(draw(COUNT) - 2) + unsigned(draw(STEP)) + unsigned(draw(STEP))
    if kind in (2, 3):
        return head + unsigned(draw(STEP))
    if kind == 8:
        return head + unsigned(draw(COUNT) - 2) + g_delta(*draw(SHIFT)) + g_delta(*draw(SHIFT))
    if kind == 9:
        return head + g_delta(*draw(SHIFT))
    count = draw(st.integers(2, 40))
    head = unsigned(kind) + unsigned(count - 2)
    if kind in (5, 7, 11):
        head += unsigned(draw(STEP))
    if kind < 8:
        return head + b"".join(unsigned(draw(GAP)) for _ in range(count - 1))
    return head + b"".join(g_delta(*draw(SHIFT)) for _ in range(count - 1))


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    """Records of rectangles, texts and placements, whose fields are given, or are as before."""
    place = st.integers(-(10**6), 10**6)
    out = bytearray()
    given_before: set[Any] = set()

    def field(bit: int, key: Any, encoded: bytes) -> tuple[int, bytes]:
        if key in given_before and draw(st.booleans()):
            return 0, b""
        given_before.add(key)
        return bit, encoded

    for _ in range(draw(st.integers(1, 12))):
        if draw(st.integers(0, 5)) == 0:
            out += draw(st.sampled_from([b"\x0f", b"\x10", b"\x00"]))
        record = draw(st.sampled_from([17, 19, 20, 20]))
        info, fields = 0, b""
        names = {
            17: [(0b11000000 - 64, "cell", string("child"))],
            19: [(64, "text", string(draw(st.sampled_from(["x1", "GND"])))),
                 (1, "tl", unsigned(draw(st.integers(0, 3)))),
                 (2, "tt", unsigned(draw(st.integers(0, 3))))],
            20: [(1, "l", unsigned(draw(st.integers(0, 3)))),
                 (2, "d", unsigned(draw(st.integers(0, 200)))),
                 (64, "w", unsigned(draw(STEP))), (32, "h", unsigned(draw(STEP)))],
        }[record]  # fmt: skip
        x, y = (32, 16) if record == 17 else (16, 8)
        repeated = 8 if record == 17 else 4
        names += [(x, (record, "x"), signed(draw(place))), (y, (record, "y"), signed(draw(place)))]
        for bit, key, encoded in names:
            set_, written = field(bit, key, encoded)
            info, fields = info | set_, fields + written
        if draw(st.booleans()):
            info |= repeated
            fields += draw(st.just(b"\x00") if "repetition" in given_before else repetitions())
            given_before.add("repetition")
            if draw(st.booleans()):
                given_before.discard("repetition")
        out += bytes([record, info]) + fields
    return bytes(out)


CHILD = bytes([20, 0b01111011]) + unsigned(7) + unsigned(1) + unsigned(10) + unsigned(30)
CHILD += signed(-5) + signed(3)


def ours(cell: LayoutCell) -> tuple[Counter[Any], Counter[Any]]:
    boxes: Counter[Any] = Counter()
    for layer, parts in cell.shapes.items():
        for part in parts:
            boxes.update((*layer, *corners) for corners in part.tolist())
    return boxes, Counter((*label.layer, *label[1:]) for label in cell.all_labels())


def klayouts(data: bytes) -> tuple[Counter[Any], Counter[Any]]:
    layout = db.Layout()
    options = db.LoadLayoutOptions()
    layout.read_bytes(data, options)
    boxes: Counter[Any] = Counter()
    texts: Counter[Any] = Counter()
    top = layout.cell("top")
    for index in layout.layer_indexes():
        info = layout.get_info(index)
        iterator = top.begin_shapes_rec(index)
        while not iterator.at_end():
            shape, moved = iterator.shape(), iterator.trans()
            if shape.is_text():
                place = moved * shape.text_pos
                texts[info.layer, info.datatype, shape.text_string, place.x, place.y] += 1
            else:
                box = moved * shape.bbox()
                boxes[info.layer, info.datatype, box.left, box.bottom, box.right, box.top] += 1
            iterator.next()
    return boxes, texts


@settings(max_examples=100, deadline=None, derandomize=True)
@given(payloads(), st.booleans())
def test_we_read_as_klayout_does(payload: bytes, compress: bool) -> None:
    data = file_of({"top": payload, "child": CHILD}, compress)
    assert ours(flatten(parse_oasis(data, "file").cells, "top")) == klayouts(data)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(payloads())
def test_nothing_is_missed_where_a_cell_ends_early(payload: bytes) -> None:
    """Cut anywhere, a cell is refused, or read as far as its records are whole."""
    whole, _ = ours(parse_cell(cell_record("top", payload, compress=False), "top"))
    for end in range(len(payload)):
        try:
            part = parse_cell(cell_record("top", payload[:end], compress=False), "top")
        except DamagedMasks:
            continue
        assert ours(part)[0] <= whole


@pytest.mark.parametrize("payload", [
    bytes([20, 0b11011011, 1, 1, 10]) + signed(2**30) + signed(0),
    bytes([20, 0b11011111, 1, 1, 10]) + signed(0) + signed(0) + b"\x05\x00" + unsigned(2**20)
    + unsigned(2**12),
    bytes([20, 0b11011111, 1, 1, 10]) + signed(0) + signed(0) + b"\x05\x01\x01"
    + unsigned(2**30) * 2,
    bytes([20, 0b11011111, 1, 1, 10]) + signed(0) + signed(0) + b"\x02\x00" + unsigned(2**31),
    bytes([20, 0b01011011, 1, 1]) + unsigned(2**31) + signed(0) + signed(0),
])  # fmt: skip
def test_what_lies_beyond_32_bits_is_refused(payload: bytes) -> None:
    with pytest.raises(DamagedMasks, match="do not have"):
        parse_cell(cell_record("top", payload), "top")


# -- rows ------------------------------------------------------------------------------------


def drawn_cell(taps: Taps, digits: TileDigits) -> LayoutCell:
    """A tile's cell after its way through a file."""
    return read_tile(cell_record("t", tile_payload(taps, digits)), shared_cells(taps), "t")


def test_rows_spell_out_their_rectangles() -> None:
    rows = RectRows(
        np.array([
            [10, 20, 3, 4, 100, 0, 0, 3], [-5, 7, 1, 1, 50, 0, 1, 2], [5, 6, 2, 1, 0, 9, 0, 2],
        ]),
        np.array([0, 2, 5], np.int32),
    )  # fmt: skip
    expected = [[10, 20, 13, 24], [210, 20, 213, 24], [510, 20, 513, 24], [95, 7, 96, 8],
                [5, 6, 7, 7], [5, 24, 7, 25]]  # fmt: skip
    assert rows.count == 6
    np.testing.assert_array_equal(rows.rectangles(), expected)
    np.testing.assert_array_equal(rows.moved(1, -1).rectangles(), np.add(expected, [1, -1, 1, -1]))


@pytest.mark.parametrize("technology", ["n5", "sky130", "asap7"])
@pytest.mark.parametrize("scale_range", [0, 2, 8])
def test_rows_say_what_their_rectangles_say(technology: str, scale_range: int) -> None:
    taps = Taps(load_technology(technology), ArrayKind("taps", 1, 1, scale_range))
    digits = random_digits(taps, SHAPE, seed=scale_range)
    cell = drawn_cell(taps, digits)
    assert sum(table.count for tables in cell.rows.values() for table in tables) > 100
    for found, faults in (
        taps.read_rows(SHAPE, cell.single, cell.rows), taps.read(SHAPE, cell.shapes),
    ):  # fmt: skip
        assert faults == []
        np.testing.assert_array_equal(found, digits.integers())


@pytest.mark.parametrize(("technology", "records"), [("n5", 1), ("asap7", 1), ("sky130", 8)])
def test_a_row_of_metal_is_a_record_on_each_layer(technology: str, records: int) -> None:
    """As docs/masks.md says; of each code where the sites of a cell stand on no common grid."""
    taps = Taps(load_technology(technology), ArrayKind("taps", 1, 8, 2))
    shape = TileShape(6, 16)
    cell = drawn_cell(taps, random_digits(taps, shape))
    for cut, fewer in ((taps.technology.lower_cut, 0), (taps.technology.upper_cut, 1)):
        heads = cell.rows[cut.gds_layer, PROGRAMMABLE][0].heads
        y = heads[:, 1] + heads[:, 3] // 2
        assert Counter((y // taps.pitch).tolist()) == dict.fromkeys(
            range(shape.rows), records - (fewer if records > 1 else 0)
        )


@pytest.mark.parametrize("blocks", [8, 32])
def test_a_weight_takes_less_than_a_byte(blocks: int) -> None:
    """At most 0.85, the floor, for uniform codes, which take the most."""
    taps = Taps(load_technology("n5"), ArrayKind("taps", 1, 8, 2))
    digits = random_digits(taps, TileShape(256, blocks))
    assert len(cell_record("t", tile_payload(taps, digits))) < 0.85 * digits.weights


def test_layers_are_told_without_a_rectangle() -> None:
    taps = scheme_of("scales")
    digits = random_digits(taps, SHAPE)
    cell = drawn_cell(taps, digits)
    layers = cell.layers
    assert "shapes" not in vars(cell)  # a tile is checked at three times the speed without
    assert layers == cell.shapes.keys()


DAMAGES = ("moved by one nm", "moved by a cell", "row moved", "wider", "doubled", "gone", "far away",
           "on a scale cell", "other step")  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("scale_range", [0, 2])
def test_faults_in_rows_are_those_of_their_rectangles(damage: str, scale_range: int) -> None:
    """Reading rows finds what reading rectangles finds: digits, faults and their places."""
    taps = Taps(load_technology("n5"), ArrayKind("taps", 1, 1, scale_range))
    layer = (taps.technology.lower_cut.gds_layer, PROGRAMMABLE)
    random = np.random.default_rng(DAMAGES.index(damage))
    for seed in range(20):
        digits = random_digits(taps, SHAPE, seed)
        cell = drawn_cell(taps, digits)
        table = cell.rows[layer][0]
        heads, columns = table.heads.copy(), table.columns.copy()
        n = random.choice(np.flatnonzero(heads[:, 7] - heads[:, 6] > 2))
        last = heads[n, 7] - 1
        if damage == "moved by one nm":
            heads[n, 0] += 1
        elif damage == "moved by a cell":
            columns[last] += taps.cell // heads[n, 4]
        elif damage == "row moved":
            heads[n, 1] += taps.pitch
        elif damage == "wider":
            heads[n, 2] += 2
        elif damage == "doubled":
            heads = np.concatenate([heads, heads[n : n + 1]])
        elif damage == "gone":
            heads[n, 7] -= 1
        elif damage == "far away":
            columns[last] = 2**29 // taps.cell
        elif damage == "on a scale cell":
            heads[n, 0] += 32 * taps.cell
        else:
            heads[n, 4] += 1
        assert_same_faults(
            taps, SHAPE, cell, {layer: [RectRows(heads, columns), *cell.rows[layer][1:]]}
        )


def assert_same_faults(
    taps: Taps, shape: TileShape, cell: LayoutCell, altered: dict[LayerKey, list[RectRows]]
) -> None:
    """A cell with altered rows has faults, and the same ones rectangle by rectangle."""
    rows = {**cell.rows, **altered}
    shapes = {key: [t.rectangles() for t in tables] for key, tables in rows.items()}
    for key, parts in cell.single.items():
        shapes.setdefault(key, []).extend(parts)
    found, faults = taps.read_rows(shape, cell.single, rows)
    expected, of_rectangles = taps.read(shape, shapes)
    assert faults
    assert Counter(faults) == Counter(of_rectangles)
    np.testing.assert_array_equal(found, expected)


UPRIGHT = {
    "moved by one nm": (0, 1), "moved by half a row": (1, 46), "moved by a row": (1, 92),
    "moved below the tile": (1, -30 * 92), "wider": (2, 2), "higher": (3, 2), "every half row": (5, -46),
    "every other row": (5, 92), "aslant": (4, 840), "none at all": (7, -1), "nowhere": (0, 2**24),
}  # fmt: skip


@pytest.mark.parametrize("damage", UPRIGHT)
@pytest.mark.parametrize("weights", [False, True])
def test_faults_in_upright_rows_are_those_of_their_rectangles(damage: str, weights: bool) -> None:
    """So it is with vias of a column of scale cells, or with weights of one input."""
    taps = Taps(load_technology("n5"), ArrayKind("taps", 1, 8, 2))
    assert (taps.pitch, taps.cell) == (92, 840)
    layer = (taps.technology.lower_cut.gds_layer, PROGRAMMABLE)
    shape = TileShape(24, 2)
    random = np.random.default_rng(list(UPRIGHT).index(damage))
    for seed in range(10):
        cell = drawn_cell(taps, random_digits(taps, shape, seed))
        in_rows, upright = cell.rows[layer][0], cell.rows[layer][1:]
        if weights:
            upright = [_turned(in_rows)]
            in_rows = RectRows(in_rows.heads[:0], in_rows.columns)
            alike = {layer: [*upright, *cell.rows[layer][1:]]}
            assert taps.read_rows(shape, cell.single, {**cell.rows, **alike})[1] == []
        table = upright[0]
        assert not table.heads[:, 4].any()
        assert table.heads[:, 5].any()
        heads = table.heads.copy()
        n = random.choice(np.flatnonzero(heads[:, 7] - heads[:, 6] > 1))
        field, change = UPRIGHT[damage]
        heads[n, field] += change
        others = cell.rows[layer][1:] if weights else upright[1:]
        assert_same_faults(
            taps, shape, cell, {layer: [in_rows, RectRows(heads, table.columns), *others]}
        )


def _turned(rows: RectRows) -> RectRows:
    """The same rectangles in rows along y."""
    found = rows.rectangles()
    heads, columns = [], []
    for x in np.unique(found[:, 0]).tolist():
        y = np.sort(found[found[:, 0] == x, 1])
        wide, high = (found[0, 2:] - found[0, :2]).tolist()
        first = len(columns)
        columns += ((y - y[0]) // 92).tolist()
        heads.append([x, int(y[0]), wide, high, 0, 92, first, len(columns)])
    return RectRows(np.array(heads), np.array(columns, np.int32))


def test_a_file_of_two_blocks_reads_as_one(tmp_path: Path) -> None:
    """Rows go on from one packed block of a cell to the next."""
    scheme = scheme_of("scales")
    digits = random_digits(scheme, SHAPE)
    payload = tile_payload(scheme, digits)
    record = cell_record("tile", payload)
    more = bytes([20, 0b11011111, 99, 1, 10]) + signed(0) + signed(0) + b"\x05\x00\x07\x03"
    twice = record + cell_record("", more)[2:]
    path = tmp_path / "two.oas"
    with path.open("wb") as file:
        writer = OasisWriter(file, {})
        writer.put_cell(twice)
        for name, child in shared_payloads(scheme).items():
            writer.put_cell(cell_record(name, child))
        writer.end()
    cell = flatten(read_oasis(path).cells, "tile")
    found, faults = scheme.read_rows(SHAPE, cell.single, cell.rows)
    assert faults == []
    np.testing.assert_array_equal(found, digits.integers())
    assert np.concatenate(cell.shapes[99, 1]).tolist() == [[0, 0, 10, 10], [21, 0, 31, 10]]
