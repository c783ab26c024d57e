"""Drawing, files and reading in processes other than n5: coarse grid, tracks, cuts that are no squares."""

from __future__ import annotations

from pathlib import Path

import klayout.db as db
import numpy as np
import pytest
from layouts import difference, random_digits, read_regions, regions

from hnlpu.silicon.embed import ArrayKind, Taps, TileShape
from hnlpu.silicon.masks._gds import gds_cell, write_gds
from hnlpu.silicon.masks._oasis_bytes import layout_payload
from hnlpu.silicon.masks._oasis_read import flatten, read_oasis
from hnlpu.silicon.masks._oasis_taps import pattern_cells, taps_payload
from hnlpu.silicon.masks._oasis_write import OasisWriter, cell_record
from hnlpu.silicon.technology import load_technology

NAMES = ("n5", "sky130", "asap7")
SHAPE = TileShape(5, 3)


def taps_of(name: str, scale_range: int) -> Taps:
    return Taps(load_technology(name), ArrayKind("taps", 1, 1, scale_range))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale_range", [0, 2, 12])
def test_what_is_drawn_is_read(name: str, scale_range: int) -> None:
    taps = taps_of(name, scale_range)
    digits = random_digits(taps, SHAPE)
    integers, faults = taps.read(SHAPE, taps.draw(digits).shapes())
    assert faults == []
    np.testing.assert_array_equal(integers, digits.integers())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale_range", [0, 2])
def test_fast_oasis_is_what_is_drawn(name: str, scale_range: int, tmp_path: Path) -> None:
    taps = taps_of(name, scale_range)
    digits = random_digits(taps, SHAPE)
    path = tmp_path / "tile.oas"
    with path.open("wb") as file:
        writer = OasisWriter(file, {})
        for cell, payload in pattern_cells(taps).items():
            writer.put_cell(cell_record(cell, payload))
        writer.put_cell(cell_record("tile", taps_payload(taps, digits)))
        writer.put_cell(cell_record("base", layout_payload(taps.base(SHAPE))))
        writer.end()
    layout = db.Layout()
    layout.read(str(path))
    drawn = read_regions(layout, layout.cell("tile"))
    assert difference(drawn, regions(taps.draw(digits))) == {}
    assert difference(read_regions(layout, layout.cell("base")), regions(taps.base(SHAPE))) == {}
    integers, faults = taps.read(SHAPE, flatten(read_oasis(path).cells, "tile").shapes)
    assert faults == []
    np.testing.assert_array_equal(integers, digits.integers())


@pytest.mark.parametrize("name", NAMES)
def test_gds_is_what_is_drawn(name: str, tmp_path: Path) -> None:
    taps = taps_of(name, 2)
    tile = taps.base(SHAPE).merged(taps.draw(random_digits(taps, SHAPE)))
    path = tmp_path / "tile.gds"
    with path.open("wb") as file:
        write_gds(file, [gds_cell(taps.technology, "tile", tile, [])])
    layout = db.Layout()
    layout.read(str(path))
    assert difference(read_regions(layout, layout.top_cell()), regions(tile)) == {}


def test_cuts_of_asap7_are_no_squares() -> None:
    """Else the tests above would say nothing of them."""
    assert load_technology("asap7").lower_cut.size_nm == (24, 32)
