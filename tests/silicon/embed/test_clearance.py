"""All metal of a tile lies inside its outline, and outlines are as far apart as any rule asks."""

from __future__ import annotations

import numpy as np
import pytest

from hnlpu.silicon.embed import ArrayKind, TileShape, clearance_nm, largest_space_nm, open_scheme
from hnlpu.silicon.technology import PIN, load_technology

KINDS = [
    *(("taps", name, ArrayKind("taps", 1, bank, r)) for name in ("n5", "sky130", "asap7")
      for bank in (1, 8) for r in (0, 1, 2, 4, 8, 12, 16, 20)),
    *(("regions", name, ArrayKind("regions", 1, 1, r, 4, 24)) for name in ("n5", "sky130")
      for r in (0, 2, 8)),
]  # fmt: skip


@pytest.mark.parametrize(("scheme", "technology", "kind"), KINDS)
def test_fixed_metal_lies_inside_the_outline(scheme: str, technology: str, kind: ArrayKind) -> None:
    """What weights choose lies on fixed metal, or is judged tile by tile when it is read back."""
    drawn = open_scheme(load_technology(technology), kind)
    shape = TileShape(3, 2)
    width, height = drawn.size_nm(shape)
    for (_, datatype), rectangles in drawn.base(shape).flat().items():
        assert datatype != PIN
        assert (rectangles[:, :2] >= 0).all()
        assert (rectangles[:, 2:] <= np.array([width, height])).all()


@pytest.mark.parametrize("name", ["n5", "sky130", "asap7"])
def test_the_clearance_is_no_less_than_any_space(name: str) -> None:
    t = load_technology(name)
    spaces = [q.space.value for q in t.layers]
    spaces += [q.end_space.value for q in (t.lower, t.stub, t.upper) if q.end_space]
    assert largest_space_nm(t) == max(spaces)
    dx, dy = clearance_nm(t)
    assert min(dx, dy) >= max(spaces)
    for metal, step in ((t.lower, dx), (t.upper, dx), (t.stub, dy)):
        if metal.track:
            assert step % metal.track.value == 0


@pytest.mark.parametrize("name", ["n5", "sky130", "asap7"])
def test_cuts_of_two_tiles_may_be_on_one_mask(name: str) -> None:
    """Least distance of one exposure, 2 k1 wavelength / NA, of the scanner that needs the most."""
    t = load_technology(name)
    assert t.lithography
    k1 = t.lithography.least_k1_cuts.value
    most = max(2 * k1 * s.wavelength.value / s.aperture.value for s in t.lithography.scanner)
    assert min(clearance_nm(t)) >= most
