"""Mask files that another tool wrote back, or that hold what no list names, under right digests.

Tiles are read one by one by their offsets; a mask shop reads the file from front to back.  What it
would see beyond the tiles is found, whoever wrote it.
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from builds import Builds
from resealed import cell, problems, replace_cells, reseal

from hnlpu.errors import DamagedMasks
from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.masks import open_workers, write_masks
from hnlpu.silicon.masks._oasis_bytes import CELL, RECTANGLE, string, unsigned
from hnlpu.silicon.masks._oasis_names import NameTables
from hnlpu.silicon.masks._oasis_stream import Stream
from hnlpu.silicon.masks._oasis_write import CellPlace, OasisWriter
from hnlpu.silicon.masks._record import encode_cells, encode_record, read_record
from hnlpu.silicon.place import find_tiles

kdb = pytest.importorskip("klayout.db")
NAMES = ["*router*", "*k_proj*"]
SHAPE = (
    bytes([RECTANGLE, 0b01111011])
    + unsigned(80)
    + b"\0"
    + unsigned(5000)
    + unsigned(5000)
    + b"\0\0"
)
"""A square of 5 um on layer 80/0 at the origin."""


@pytest.fixture(scope="module")
def written(builds: Builds, tmp_path_factory: pytest.TempPathFactory) -> tuple[Build, Path]:
    """A build and masks of a few of its tiles with their base; do not alter them."""
    build, folder = builds("taps"), tmp_path_factory.mktemp("written") / "m"
    manifest = build.manifest
    tiles = find_tiles(manifest.placement, manifest.technology.array, [0], NAMES)
    write_masks(build, folder, tiles, ["oasis"], open_workers(1), with_base=True)
    return build, folder


def relist(folder: Path) -> None:
    """cells.json and digests for a file that KLayout wrote."""
    path = folder / "chip-00.oas"
    with path.open("rb") as file:
        tables = NameTables(file.fileno(), "file")
        at = {name.name: offset for name, offset in tables.places()}
        ends = sorted([*at.values(), *(offset for _, offset in tables.end.tables)])
        ends.append(path.stat().st_size - 256)
    places = {
        name: CellPlace(offset, min(end for end in ends if end > offset) - offset)
        for name, offset in at.items()
    }
    path.with_suffix(".cells.json").write_bytes(encode_cells(places))
    reseal(folder)


def by_klayout(folder: Path, alter: Callable[[kdb.Layout], None]) -> None:
    """Have KLayout read, alter and write a chip's file."""
    path, layout, options = folder / "chip-00.oas", kdb.Layout(), kdb.SaveLayoutOptions()
    layout.read(str(path))
    alter(layout)
    options.format, options.oasis_strict_mode = "OASIS", True
    options.oasis_write_cblocks, options.oasis_write_std_properties_ext = True, 2
    layout.write(str(path), options)


def base_of(layout: kdb.Layout) -> kdb.Cell:
    return next(cell for cell in layout.each_cell() if cell.name.startswith("base-"))


def stranger(layout: kdb.Layout, name: str) -> kdb.CellInstArray:
    found = layout.create_cell(name)
    found.shapes(layout.layer(80, 0)).insert(kdb.Box(0, 0, 5000, 5000))
    return kdb.CellInstArray(found.cell_index(), kdb.Trans())


def second_top(layout: kdb.Layout) -> None:
    stranger(layout, "foreign")


def top_named_as_base(layout: kdb.Layout) -> None:
    stranger(layout, "base-foreign")


def top_named_as_scale(layout: kdb.Layout) -> None:
    stranger(layout, "scale-foreign")


def in_base(layout: kdb.Layout) -> None:
    base_of(layout).insert(stranger(layout, "scale-foreign"))


def base_in_base(layout: kdb.Layout) -> None:
    bases = [cell for cell in layout.each_cell() if cell.name.startswith("base-")]
    bases[0].insert(kdb.CellInstArray(bases[1].cell_index(), kdb.Trans(84, 0)))


def test_what_klayout_writes_unaltered_is_sound(
    written: tuple[Build, Path], tmp_path: Path
) -> None:
    build, folder = written[0], shutil.copytree(written[1], tmp_path / "m")
    by_klayout(folder, lambda layout: None)
    relist(folder)
    assert problems(build, folder) == ""


@pytest.mark.parametrize(
    ("alter", "told"),
    [
        (second_top, "cell foreign, which is none of this chip"),
        (top_named_as_base, "cell base-foreign, which is none of this chip"),
        (top_named_as_scale, "cell scale-foreign, which is none of this chip"),
        (in_base, "places cell scale-foreign, where fixed metal places none"),
        (base_in_base, "where fixed metal places none"),
    ],
)
def test_cells_that_klayout_added_are_named(
    alter: Callable[[kdb.Layout], None], told: str, written: tuple[Build, Path], tmp_path: Path
) -> None:
    build, folder = written[0], shutil.copytree(written[1], tmp_path / "m")
    by_klayout(folder, alter)
    relist(folder)
    assert told in problems(build, folder)


def test_a_chip_at_half_its_size_is_found(written: tuple[Build, Path], tmp_path: Path) -> None:
    """The same coordinates in units of half a nanometre."""
    build, folder = written[0], shutil.copytree(written[1], tmp_path / "m")

    def finer(layout: kdb.Layout) -> None:
        layout.dbu = 0.0005

    by_klayout(folder, finer)
    reseal(folder)
    assert "has 2000 units a micron where masks have 1000" in problems(build, folder)


@pytest.mark.parametrize("unit", [1000.0000000000001, 999.999, 2000, 1e-3])
def test_only_nanometres_are_read(unit: float) -> None:
    """gdstk's 1000 is off by a last bit; anything that moves a chip's edge by a nanometre is told."""
    stream = Stream(b"\x07" + struct.pack("<d", unit), "file")
    if abs(unit - 1000) < 1e-9:
        stream.check_unit(1000)
    else:
        with pytest.raises(DamagedMasks, match=f"{unit:g} units a micron"):
            stream.check_unit(1000)


def test_shapes_between_listed_cells_are_found(written: tuple[Build, Path], tmp_path: Path) -> None:
    build, folder = written[0], shutil.copytree(written[1], tmp_path / "m")
    name = next(
        name for name in json.loads((folder / "chip-00.cells.json").read_text()) if "k_proj" in name
    )
    replace_cells(folder, {name: cell(folder, name) + SHAPE})
    path = folder / "chip-00.cells.json"
    places = json.loads(path.read_text())
    places[name][1] -= len(SHAPE)
    path.write_text(json.dumps(places))
    reseal(folder)
    assert "do not belong to one cell or table" in problems(build, folder)


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ("_file_properties", "hold more than properties"),
        ("_layer_names", "LAYERNAME table"),
        ("_prop_names", "PROPNAME table"),
        ("_cell_names", "CELLNAME table"),
    ],
)
def test_cells_among_names_and_properties_are_found(
    part: str, told: str, written: tuple[Build, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    build, folder = written[0], shutil.copytree(written[1], tmp_path / "m")
    own = getattr(OasisWriter, part)
    more = bytes([CELL]) + string("foreign") + SHAPE
    monkeypatch.setattr(OasisWriter, part, lambda self, *given: own(self, *given) + more)
    replace_cells(folder, {})
    assert told in problems(build, folder)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tiles": {}}, "counts no tiles at all"),
        ({"digits": 3}, "says 3 digits"),
        ({"technology": "sky130"}, "says technology and scheme sky130, taps"),
        ({"scheme": "regions"}, "says technology and scheme"),
    ],
)
def test_a_record_that_says_other_than_its_files_is_found(
    changes: dict[str, object], told: str, written: tuple[Build, Path], tmp_path: Path
) -> None:
    build, folder = written[0], shutil.copytree(written[1], tmp_path / "m")
    record = read_record(folder).model_copy(update=changes)
    (folder / "masks.json").write_bytes(encode_record(record))
    assert told in problems(build, folder)


@pytest.mark.parametrize("name", ["../layers.map", "/etc/hostname", "a\nb", "", ".."])
def test_a_record_lists_files_of_its_folder_alone(
    name: str, written: tuple[Build, Path], tmp_path: Path
) -> None:
    build, folder = written[0], shutil.copytree(written[1], tmp_path / "m")
    record = read_record(folder)
    files = {**record.files, name: record.files["layers.map"]}
    (folder / "masks.json").write_bytes(encode_record(record.model_copy(update={"files": files})))
    assert f"lists {name!r}, which is no file of its folder" in problems(build, folder)
