"""What Python and C both say of a tape agrees, and values that live together lie apart."""

from __future__ import annotations

import re
from enum import IntEnum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hnlpu.run.kernels
from hnlpu.run.kernels.tape import _code, _layout
from hnlpu.run.kernels.tape._code import Code, Gate, Operation, Reduction
from hnlpu.run.kernels.tape._views import NUMBERS, RowBuffer

FOLDER = Path(hnlpu.run.kernels.__file__).parent


def enumerated(file: str, name: str) -> list[str]:
    """Names of a C enumeration, in order."""
    text = re.sub(r"/\*.*?\*/", "", (FOLDER / file).read_text(), flags=re.S)
    found = re.search(rf"enum {name} \{{(.*?)\}}", text, re.S)
    assert found
    return [word.strip() for word in found[1].split(",")]


@pytest.mark.parametrize(
    ("file", "name", "of"),
    [
        ("tape.h", "Code", Code), ("pointwise.h", "Operation", Operation),
        ("rows.h", "Gate", Gate), ("reduce.h", "Reduction", Reduction),
    ],
)  # fmt: skip
def test_numbers_of_names_agree(file: str, name: str, of: type[IntEnum]) -> None:
    in_c = ["NONE" if word == "NO_GATE" else word for word in enumerated(file, name)]
    assert in_c == [member.name for member in of]
    assert [int(member) for member in of] == list(range(len(in_c)))


def test_kinds_and_places_agree() -> None:
    assert [name.lower() for name in enumerated("tape.h", "Kind")] == list(NUMBERS)
    places = enumerated("tape.h", "Where")
    assert [getattr(_layout, name) for name in places] == list(range(len(places)))
    for name in ("PLACES", "NUMBERS", "MOST_AXES", "MOST_SHARED"):
        defined = [
            int(found[1])
            for path in FOLDER.glob("*.h")
            if (found := re.search(rf"^#define {name} (\d+)$", path.read_text(), re.M))
        ]
        assert defined == [getattr(_code, name)]


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 6), st.integers(1, 99)), max_size=12))
def test_values_that_live_together_lie_apart(lives: list[tuple[int, int, int]]) -> None:
    given = {
        RowBuffer(n, "float32", size): _layout._Life(first, first + length, False)
        for n, (first, length, size) in enumerate(lives)
    }
    offsets, end = _layout._packed(given)
    assert offsets.keys() == given.keys()
    for buffer, at in offsets.items():
        assert at >= 0
        assert at % 64 == 0
        assert at + buffer.row_bytes <= end
        for other, of_other in given.items():
            meet = given[buffer].first <= of_other.last and of_other.first <= given[buffer].last
            if other is not buffer and meet:
                assert (
                    at + buffer.row_bytes <= offsets[other]
                    or offsets[other] + other.row_bytes <= at
                )
