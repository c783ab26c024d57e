"""Tiles that hold everything that may stand side by side, for KLayout to judge once.

A tile has too many weights to give each to a DRC engine, and it need not be given: whether a shape
is legal depends on what lies within the reach of the rules.

Taps.  All metal is fixed, and repeats from cell to cell and from row to row; weights choose vias,
one of a few places in each cell and scale cell.  The rules of a cut speak of itself and one more
shape: its own metal (every place occurs), or another cut.  Cuts of two rows are further apart than
their space wherever they stand in their rows, and so are cuts two cells apart (`require_short_reach`
computes both).  What is left are the pairs of neighbours in a row: two weights, or a weight and the
scale cell beside it.  A tile that holds all of them is clean if and only if all tiles are.  The one
drawn here holds the pairs above each other and on both diagonals, too, and all pairs of shifts above
each other: KLayout is to judge, not we.

Regions.  Wires are routed, and a wire's neighbours on its track may be any; pairs of codes prove
nothing.  `masks._proof_regions` computes why any routing is legal; its tile shows KLayout.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.mx import BLOCK, pack
from hnlpu.errors import DoesNotFit
from hnlpu.silicon.embed import Layout, Regions, Scheme, Taps, TileDigits, TileShape, canonical
from hnlpu.silicon.masks._pairs import CODES, NEIGHBOURS, pairs_of
from hnlpu.silicon.masks._proof_regions import regions_proof, require_reach

ROWS = 48

UInt8 = npt.NDArray[np.uint8]


def proof_tile(scheme: Scheme) -> tuple[Scheme, TileDigits]:
    """The proof tile of an array kind, and the scheme to draw it with.

    That is `scheme`, or for regions the same with the tracks that the tile needs: how many a row has
    makes no difference to its rules.  Raises DoesNotFit where the tile would prove nothing.
    """
    if isinstance(scheme, Taps):
        require_short_reach(scheme)
        return scheme, _taps_digits(scheme.kind.scale_range)
    assert isinstance(scheme, Regions)
    full, digits = regions_proof(scheme)
    require_reach(full, TileShape(digits.rows, digits.blocks))
    return full, digits


@dataclass(frozen=True)
class ProofMetal:
    """The proof tile of an array kind, drawn: its fixed metal, and that which digits decide."""

    scheme: Scheme
    shape: TileShape
    parts: tuple[Layout, Layout]


def draw_proof(scheme: Scheme) -> ProofMetal:
    """The metal of the proof tile of an array kind; raises DoesNotFit as `proof_tile` does."""
    proof, digits = proof_tile(scheme)
    shape = TileShape(digits.rows, digits.blocks)
    return ProofMetal(proof, shape, (proof.metal(shape), proof.draw(digits)))


def require_short_reach(taps: Taps) -> None:
    """Raise DoesNotFit unless vias two cells or one row apart are beyond the reach of the rules."""
    sites = list(taps.site_x.values())
    for cut in (taps.technology.lower_cut, taps.technology.upper_cut):
        wide, high = cut.size_nm
        across = 2 * taps.cell - (max(sites) - min(sites)) - wide
        along = taps.pitch - high
        if min(across, along) < cut.space.value:
            raise DoesNotFit(
                f"technology {taps.technology.name}: {cut.name} two cells apart leave {across} nm, "
                f"one row apart {along} nm, and need {cut.space.value:g} nm"
            )


def _taps_digits(scale_range: int) -> TileDigits:
    shifts = _shifts(scale_range)
    for seed in itertools.count():
        random = np.random.default_rng(seed)
        codes = random.choice(CODES, (ROWS, shifts.shape[1] * BLOCK))
        if scale_range:
            _surround(codes, shifts)
        inner = [codes[:, b * BLOCK + 1 : (b + 1) * BLOCK - 1] for b in range(shifts.shape[1])]
        # the codes beside scale cells have their place there, all others are free
        found = [set().union(*(pairs_of(part, *step) for part in inner)) for step in NEIGHBOURS]
        if all(len(pairs) == len(CODES) ** 2 for pairs in found):
            return canonical(pack(codes), shifts, np.zeros(ROWS, np.uint8))
    raise AssertionError  # itertools.count does not end


def _shifts(scale_range: int) -> UInt8:
    """Shifts [ROWS, blocks]: down the columns every pair, and every shift as often as there are codes.

    Lyndon words of one and two letters in order make the cycle 0 01 02 1 12 2, which has every pair
    once; the columns are pieces of it, each with the last row of the one before.
    """
    if not scale_range:
        return np.zeros((ROWS, 2), np.uint8)
    count = scale_range + 1
    cycle = []
    for a in range(count):
        cycle += [a, *(letter for b in range(a + 1, count) for letter in (a, b))]
    cycle *= math.ceil(len(CODES) / count)
    columns = math.ceil(len(cycle) / (ROWS - 1))
    # of the last block, whose scale cell has nothing to the right, nothing is asked
    starts = np.arange(columns + 1) * (ROWS - 1)
    places = (starts + np.arange(ROWS)[:, None]) % len(cycle)
    found: UInt8 = np.array(cycle, np.uint8)[places]
    return found


def _surround(codes: UInt8, shifts: UInt8) -> None:
    """Put every code to both sides of every shift."""
    seen = np.zeros(int(shifts.max()) + 1, np.int64)
    for block in range(shifts.shape[1] - 1):
        for row in range(len(shifts)):
            shift = shifts[row, block]
            code = CODES[seen[shift] % len(CODES)]
            seen[shift] += 1
            codes[row, (block + 1) * BLOCK - 1] = codes[row, (block + 1) * BLOCK] = code
