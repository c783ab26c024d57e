"""What docs/masks-regions.md says of places and values is what is drawn."""

from __future__ import annotations

import re
from pathlib import Path

from hnlpu.silicon.embed._regions_frame import rules_of
from hnlpu.silicon.embed._regions_values import tie_count, value_count
from hnlpu.silicon.technology import load_technology

TEXT = (Path(__file__).parents[3] / "docs" / "masks-regions.md").read_text()


def row(start: str) -> list[int]:
    """Numbers in the second column of the table's row that starts so."""
    (cell,) = re.findall(rf"^\| {re.escape(start)}[^|]*\| ([^|]+) \|$", TEXT, re.MULTILINE)
    return [int(number) for number in re.findall(r"\d+", cell)]


def test_places_in_n5() -> None:
    r = rules_of(load_technology("n5"))
    assert row("width of upright lower") == [r.lower_width, r.stub_width, r.upper_width]
    assert row("from track to track") == [r.track_pitch, r.margin]
    assert row("from an outermost via") == [r.stub_end]
    assert row("from the last via of a wire") == [r.clear]
    assert row("from port to port") == [r.lower_pitch, r.upper_pitch]
    assert row("from the ties to PWR") == [r.tie_pitch]
    assert row("tie `b`") == [r.tie_step]


def test_numbers_of_values_and_ties() -> None:
    assert "`V = 2 (2R + 7)` values" in TEXT
    assert all(value_count(r) == 2 * (2 * r + 7) for r in range(21))
    assert "(4 for R = 0, 5 for R = 1 to 4, 6 up to 12, 7 up to 20)" in TEXT
    assert [tie_count(r) for r in (0, 1, 4, 5, 12, 13, 20)] == [4, 5, 5, 6, 6, 7, 7]
