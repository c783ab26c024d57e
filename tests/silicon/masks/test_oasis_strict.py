"""OASIS files as mask shops take them: strict tables, standard properties, signature; by other readers."""

from __future__ import annotations

import io
import shutil
import zlib
from pathlib import Path

import gdstk
import klayout.db as db
import numpy as np
import pytest
from builds import TARGETS, Builds
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import random_digits
from resealed import problems, reseal

from hnlpu.errors import DamagedMasks
from hnlpu.silicon.embed import (
    ArrayKind,
    Label,
    LabelTable,
    Layout,
    Taps,
    TileShape,
    label_table,
    open_scheme,
)
from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.masks import open_workers, write_masks
from hnlpu.silicon.masks._files import digests
from hnlpu.silicon.masks._oasis_bytes import layout_payload
from hnlpu.silicon.masks._oasis_names import NameTables
from hnlpu.silicon.masks._oasis_read import parse_oasis, read_oasis
from hnlpu.silicon.masks._oasis_taps import taps_box
from hnlpu.silicon.masks._oasis_texts import TextNumbers
from hnlpu.silicon.masks._oasis_write import (
    END_BYTES,
    CellName,
    LayerName,
    OasisWriter,
    box_around,
    cell_record,
)
from hnlpu.silicon.masks._record import read_cells
from hnlpu.silicon.place import find_tiles
from hnlpu.silicon.technology import load_technology


def written(build: Build, out: Path, *patterns: str, with_base: bool, layers: str) -> Path:
    tiles = find_tiles(build.manifest.placement, build.manifest.technology.array, [0], patterns)
    write_masks(
        build, out, tiles, ["oasis"], open_workers(1), with_base=with_base, layers=layers
    )  # fmt: skip
    return out / "chip-00.oas"


def opened(path: Path) -> db.Layout:
    """By KLayout, which expects a strict file and warns of everything."""
    options = db.LoadLayoutOptions()
    options.warn_level = 2
    options.oasis_expect_strict_mode = 1
    options.oasis_read_all_properties = True
    layout = db.Layout()
    layout.read(str(path), options)
    return layout


@pytest.fixture(params=[(name, base) for name in TARGETS for base in (False, True)], ids=str)
def path(
    request: pytest.FixtureRequest, builds: Builds, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> Path:  # fmt: skip
    name, with_base = request.param
    build = builds(name)
    layers = "drawing" if build.manifest.technology.has_drawing_layers else "mask"
    found = written(
        build, tmp_path / "m", "*router*", "*k_proj*", with_base=with_base, layers=layers
    )
    capfd.readouterr()
    return found


def test_klayout_takes_the_file_as_strict_in_silence(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    layout = opened(path)
    assert capfd.readouterr() == ("", "")
    (top,) = layout.top_cells()
    assert top.name == "chip-00"
    names = {layout.get_info(n).name for n in layout.layer_indexes()}
    assert all("." in name for name in names), "a layer has no name"


def test_gdstk_validates_the_signature_and_finds_the_properties(path: Path) -> None:
    raw = path.read_bytes()
    assert gdstk.oas_validate(path) == (True, zlib.crc32(raw[:-4]))
    assert raw[-5] == 1
    told = {name: values for name, *values in gdstk.read_oas(path).properties}
    assert told["S_TOP_CELL"] == [b"chip-00"]
    assert told["S_BOUNDING_BOXES_AVAILABLE"] == [2]
    assert told["S_MAX_SIGNED_INTEGER_WIDTH"] == [4]
    assert told["S_MAX_UNSIGNED_INTEGER_WIDTH"] == [8]


def test_tables_say_where_cells_lie_and_how_large_they_are(path: Path) -> None:
    """Boxes by KLayout, offsets by the bytes there and by cells.json."""
    layout, raw = opened(path), path.read_bytes()
    places = read_cells(path.with_suffix(".cells.json"))
    with path.open("rb") as file:
        tables = NameTables(file.fileno(), "file")
        cells = dict(tables.places())
    assert tables.end.strict
    assert {cell.name for cell in cells} == places.keys() == {c.name for c in layout.each_cell()}
    for cell, offset in cells.items():
        assert offset == places[cell.name].offset
        assert raw[offset] == 13, "a CELL record by number"
        box = layout.cell(cell.name).bbox()
        assert cell.box == (box.left, box.bottom, box.right, box.top), cell.name


def test_our_tables_are_those_of_klayouts_strict_mode(path: Path, tmp_path: Path) -> None:
    """What KLayout writes of the same layout in strict mode has the same tables in the same form."""
    options = db.SaveLayoutOptions()
    options.format = "OASIS"
    options.oasis_strict_mode = True
    options.oasis_write_std_properties_ext = 2
    options.oasis_write_cblocks = False
    theirs = tmp_path / "klayout.oas"
    opened(path).write(str(theirs), options)
    found = []
    for each in (path, theirs):
        with each.open("rb") as file:
            tables = NameTables(file.fileno(), str(each))
            found.append({cell.name: cell.box for cell, _ in tables.places()})
            assert [flag for flag, _ in tables.end.tables] == [1] * 6
    assert found[0] == found[1]


# -- the writer ------------------------------------------------------------------------------


def small_file(*, layout: Layout | None = None) -> bytes:
    raw = io.BytesIO()
    layout = layout or Layout(rectangles={(80, 0): np.int32([[-5, 0, 40, 50]])})
    writer = OasisWriter(raw, {"made": "for a test"}, top="top", layers=[LayerName("M8", 80, 0)])
    box = box_around(layout.rectangles.values())
    record = cell_record(7, layout_payload(layout, writer.texts))
    writer.put_cell(record, CellName("top", 7, box))
    writer.end()
    return raw.getvalue()


@pytest.mark.parametrize("cells", [0, 1, 3000])
def test_the_end_has_256_bytes_whatever_lies_before(cells: int) -> None:
    raw = io.BytesIO()
    writer = OasisWriter(raw, {}, top="c0")
    for n in range(cells):
        writer.put_cell(cell_record(n, b"\x00" * 100, compress=False), CellName(f"c{n}", n, None))
    before = len(raw.getvalue())
    writer.end()
    data = raw.getvalue()
    assert data[-END_BYTES] == 2
    assert len(data) - before > END_BYTES
    assert sorted(parse_oasis(data, "file").cells) == sorted(f"c{n}" for n in range(cells))


def test_a_file_keeps_its_properties() -> None:
    assert parse_oasis(small_file(), "file").properties == {
        "made": "for a test", "S_TOP_CELL": "top",
    }  # fmt: skip


def test_any_flipped_bit_is_found_where_whole_files_are_read() -> None:
    raw = small_file()
    assert parse_oasis(raw, "file").cells.keys() == {"top"}
    for at in range(13, len(raw)):
        bad = bytearray(raw)
        bad[at] ^= 1 << at % 8
        with pytest.raises(DamagedMasks, match=r"^file: .*write the masks again$"):
            parse_oasis(bytes(bad), "file")


def test_a_wrong_signature_is_told_with_both(tmp_path: Path) -> None:
    raw = small_file()
    path = tmp_path / "x.oas"
    path.write_bytes(raw[:-4] + b"\x01\x02\x03\x04")
    crc = zlib.crc32(raw[:-4])
    with pytest.raises(DamagedMasks, match=f"its signature is 04030201, .* {crc:08x}"):
        read_oasis(path)


def test_checksum32_is_checked_as_well() -> None:
    raw = small_file()
    body = raw[:-5] + b"\x02"
    total = sum(body) & 0xFFFFFFFF
    assert parse_oasis(body + total.to_bytes(4, "little"), "file").cells.keys() == {"top"}
    with pytest.raises(DamagedMasks, match="its signature is"):
        parse_oasis(body + (total + 1).to_bytes(4, "little"), "file")


@pytest.mark.parametrize("size", [0, 1, 4, 5, 2**20, 2**20 + 3, 2**21 + 4])
def test_one_reading_gives_both_digests(size: int, tmp_path: Path) -> None:
    import hashlib

    data = np.random.default_rng(size).bytes(size)
    (tmp_path / "x").write_bytes(data)
    expected = hashlib.sha256(data).hexdigest(), zlib.crc32(data[:-4])
    assert digests(tmp_path / "x") == expected


# -- in folders ------------------------------------------------------------------------------


def test_a_resealed_folder_with_a_wrong_signature_or_table_is_told(
    builds: Builds, tmp_path: Path
) -> None:
    build = builds("taps")
    written(build, tmp_path / "m", "*router*", with_base=False, layers="mask")
    path = tmp_path / "m/chip-00.oas"
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    reseal(tmp_path / "m")
    assert f"{path}: its signature is " in problems(build, tmp_path / "m")
    path.write_bytes(raw)
    cells = path.with_suffix(".cells.json")
    told = cells.read_text()
    cells.write_text(told.replace('"chip-00": [', '"chip-00": [1'))
    reseal(tmp_path / "m")
    assert f"{path}: its tables have cell chip-00 at " in problems(build, tmp_path / "m")
    cells.write_text(told)
    reseal(tmp_path / "m")
    assert problems(build, tmp_path / "m") == ""
    shutil.rmtree(tmp_path / "m")


# -- parts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["n5", "sky130", "asap7"])
@pytest.mark.parametrize("scale_range", [0, 2, 8])
@pytest.mark.parametrize(("rows", "blocks"), [(1, 1), (1, 3), (7, 2)])
def test_the_box_of_a_tile_is_that_of_its_vias(
    name: str, scale_range: int, rows: int, blocks: int
) -> None:
    taps = Taps(load_technology(name), ArrayKind("taps", 1, 1, scale_range))
    for seed in range(30):
        digits = random_digits(taps, TileShape(rows, blocks), seed)
        assert taps_box(taps, digits) == box_around(taps.draw(digits).rectangles.values())


texts = st.lists(st.text("GNDxpq0123.+-", max_size=9), max_size=60)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(texts, max_size=4))
def test_strings_get_the_numbers_of_a_dictionary(tables: list[list[str]]) -> None:
    numbers, known = TextNumbers(), {}
    for table in tables:
        labels = label_table([Label((80, 10), text, 0, 0) for text in table])
        expected = [known.setdefault(text, len(known)) for text in table]
        assert numbers.of(labels).tolist() == expected
    raw = b"".join(bytes([5, len(text)]) + text.encode() for text in known)
    assert numbers.records() == raw


def test_many_strings_keep_their_numbers() -> None:
    """Through all growing of the table."""
    scheme = open_scheme(load_technology("n5"), ArrayKind("taps", 1, 8, 2))
    labels = scheme.base(TileShape(64, 8)).labels
    assert isinstance(labels, LabelTable)
    assert len(labels) > 10_000
    numbers = TextNumbers()
    first = numbers.of(labels)
    known: dict[str, int] = {}
    assert first.tolist() == [known.setdefault(label.text, len(known)) for label in labels]
    np.testing.assert_array_equal(numbers.of(labels), first)


def test_labels_by_number_are_read_as_they_were() -> None:
    labels = [Label((80, 10), text, 3 * n, -n) for n, text in enumerate(["GND", "x0.+3", "GND"])]
    layout = Layout(rectangles={(80, 0): np.int32([[-5, 0, 40, 50]])}, labels=labels)
    cell = parse_oasis(small_file(layout=layout), "file").cells["top"]
    assert list(cell.all_labels()) == labels
