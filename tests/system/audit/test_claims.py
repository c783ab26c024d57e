"""Verdicts: what holds, what depends, what fails."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hnlpu.system.audit._claim import equal, need, reach

POSITIVE = st.floats(1e-3, 1e6)


@pytest.mark.parametrize(
    ("claim", "verdict", "margin"),
    [
        (need("t", "n", 90.0, 100.0, "u", "h"), "holds", 100 / 90 - 1),
        (need("t", "n", 98.0, 100.0, "u", "h"), "tight", 100 / 98 - 1),
        (need("t", "n", 101.0, 100.0, "u", "h"), "fails", 100 / 101 - 1),
        (need("t", "n", (80.0, 90.0, 120.0), 100.0, "u", "h"), "depends", 100 / 90 - 1),
        (need("t", "n", (80.0, 110.0, 120.0), 100.0, "u", "h"), "depends", 100 / 110 - 1),
        (reach("t", "n", 200.0, 100.0, "u", "h"), "holds", 1.0),
        (reach("t", "n", 50.0, 100.0, "u", "h"), "fails", -0.5),
        (reach("t", "n", (50.0, 120.0, 150.0), 100.0, "u", "h"), "depends", 0.2),
        (equal("t", "n", 101.0, 100.0, "u", "h"), "holds", 0.01),
        (equal("t", "n", 97.0, 100.0, "u", "h"), "fails", -0.03),
        (equal("t", "n", (90.0, 97.0, 105.0), 100.0, "u", "h"), "depends", -0.03),
        (equal("t", "n", (90.0, 100.0, 110.0), 100.0, "u", "h"), "depends", 0.0),
        (equal("t", "n", 97.0, 100.0, "u", "h", tolerance=0.05), "holds", -0.03),
        (need("t", "n", 0.0, 100.0, "u", "h"), "holds", float("inf")),
    ],
)
def test_verdicts(claim, verdict, margin):
    assert claim.verdict == verdict
    assert claim.margin == pytest.approx(margin)


@given(POSITIVE, POSITIVE)
def test_what_is_needed_and_what_is_reached_are_opposites(a: float, b: float) -> None:
    taken, out = need("t", "n", a, b, "u", "h"), reach("t", "n", b, a, "u", "h")
    assert taken.margin == pytest.approx(out.margin)
    assert (taken.verdict == "fails") == (a > b)
    assert taken.verdict == out.verdict


def test_ends_out_of_order_are_a_mistake_of_the_code() -> None:
    with pytest.raises(AssertionError):
        need("t", "n", (1.0, 2.0, 1.5), 3.0, "u", "h").__class__(
            "t", "n", "need", 2.0, 3.0, 4.0, 1.0, "u", "h"
        )
