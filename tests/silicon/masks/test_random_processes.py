"""Both schemes keep the rules of any process: widths, spaces, ends, enclosures drawn at random."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from hnlpu.quantities import Quantity
from hnlpu.silicon.embed import ArrayKind, Layout, Regions, Taps, tracks_needed
from hnlpu.silicon.masks._klayout import check_rules
from hnlpu.silicon.masks._proof_regions import require_reach
from hnlpu.silicon.masks._wires import check_wires
from hnlpu.silicon.technology import FIXED, Technology, load_technology
from regions_tiles import random_digits, shape_of, whole


@st.composite
def processes(draw: st.DrawFn) -> Technology:
    """n5 with other rules: grids, widths, spaces, lengths, ends, sizes and enclosures of any kind."""
    n5 = load_technology("n5")
    grid = draw(st.sampled_from([1, 5]))

    def steps(low: int, high: int) -> int:
        return draw(st.integers(low, high)) * grid

    def like(quantity: Quantity, nm: int) -> Quantity:
        return dataclasses.replace(quantity, value=float(nm), low=float(nm), high=float(nm))

    rules: dict[str, object] = {"grid": like(n5.grid, grid)}
    for name in ("lower", "stub", "upper"):
        metal = getattr(n5, name)
        width, space = 2 * steps(5, 60), steps(5, 80)
        end = draw(st.none() | st.just(space + steps(0, 60)))
        rules[name] = metal.model_copy(
            update={
                "width": like(metal.width, width),
                "space": like(metal.space, space),
                "length": like(metal.length, width + steps(0, 300)),
                "end_space": None if end is None else like(metal.space, end),
            }
        )
    for name in ("port_cut", "lower_cut", "upper_cut"):
        cut = getattr(n5, name)
        lengths = {"size": 2 * steps(5, 60), "space": steps(5, 90)}
        for side in ("below", "above"):
            lengths |= {f"enclosure_{side}": steps(0, 40), f"end_enclosure_{side}": steps(0, 40)}
        update = {key: like(getattr(cut, key), nm) for key, nm in lengths.items()}
        rules[name] = cut.model_copy(update=update)
    return n5.model_copy(update=rules)


@given(processes(), st.integers(1, 9), st.sampled_from([0, 2, 8]), st.integers(0, 100))
@settings(max_examples=12, deadline=None, phases=[Phase.explicit, Phase.generate], derandomize=True)
def test_regions_are_legal_whatever_the_rules_of_the_process(
    technology: Technology, group: int, scale_range: int, seed: int
) -> None:
    digits = random_digits(2, 2, scale_range, seed)
    kind = ArrayKind("regions", 1, 8, scale_range, group)
    tracks = tracks_needed(technology, kind, digits)
    scheme = Regions(technology, dataclasses.replace(kind, tracks=tracks))
    require_reach(scheme, shape_of(digits))
    layout = whole(scheme, digits)
    assert check_rules(technology, layout) == []
    assert check_wires(technology, layout) == []
    integers, faults = scheme.read(shape_of(digits), scheme.draw(digits).shapes())
    assert faults == []
    np.testing.assert_array_equal(integers, digits.integers())


@given(processes(), st.sampled_from([0, 2, 8]), st.integers(0, 100))
@settings(max_examples=20, deadline=None, phases=[Phase.explicit, Phase.generate], derandomize=True)
def test_taps_are_legal_whatever_the_rules_of_the_process(
    technology: Technology, scale_range: int, seed: int
) -> None:
    digits = random_digits(2, 2, scale_range, seed)
    scheme = Taps(technology, ArrayKind("taps", 1, 8, scale_range))
    layout = scheme.base(shape_of(digits)).merged(scheme.draw(digits))
    assert check_rules(technology, layout) == []
    assert check_wires(technology, layout) == []
    integers, faults = scheme.read(shape_of(digits), scheme.draw(digits).shapes())
    assert faults == []
    np.testing.assert_array_equal(integers, digits.integers())


@pytest.mark.parametrize(
    ("second", "legal"),
    [
        ((210, 64, 400, 96), False),  # 10 nm across, 32 nm up
        ((-100, 64, -20, 96), False),
        ((224, 64, 400, 96), True),  # 24 nm across, 32 nm up: 40 nm
        ((150, 64, 400, 96), True),  # wires that overlap do not face each other
        ((210, 128, 400, 160), True),
    ],
)
def test_ends_that_face_each_other_cornerwise(
    second: tuple[int, int, int, int], legal: bool
) -> None:
    asap7 = load_technology("asap7")
    wires = np.int32([(0, 0, 200, 32), second])
    layout = Layout(rectangles={(asap7.stub.gds_layer, FIXED): wires})
    by_sorting = {violation.rule for violation in check_wires(asap7, layout)}
    by_klayout = {violation.rule for violation in check_rules(asap7, layout)}
    assert by_sorting == by_klayout == (set() if legal else {"end space"})
