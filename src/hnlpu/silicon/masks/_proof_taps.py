"""Digits of a taps tile that hold every weight beside every other, and every shift beside every weight.

`masks._proof` says why such a tile proves all.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.mx import BLOCK, pack
from hnlpu.errors import DoesNotFit
from hnlpu.silicon.embed import Taps, TileDigits, canonical
from hnlpu.silicon.masks._pairs import NEIGHBOURS, pairs_of

ROWS = 48

UInt8 = npt.NDArray[np.uint8]


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


def taps_proof(taps: Taps) -> TileDigits:
    """The digits of the proof tile; raises DoesNotFit where it would prove nothing."""
    require_short_reach(taps)
    scale_range = taps.kind.scale_range
    values = np.array(taps.kind.values.codes, np.uint8)
    shifts = _shifts(scale_range, len(values))
    for seed in itertools.count():
        random = np.random.default_rng(seed)
        codes = random.choice(values, (ROWS, shifts.shape[1] * BLOCK))
        if scale_range:
            _surround(codes, shifts, values)
        inner = [codes[:, b * BLOCK + 1 : (b + 1) * BLOCK - 1] for b in range(shifts.shape[1])]
        # the codes beside scale cells have their place there, all others are free
        found = [set().union(*(pairs_of(part, *step) for part in inner)) for step in NEIGHBOURS]
        if all(len(pairs) == len(values) ** 2 for pairs in found):
            bases = np.zeros(ROWS, np.uint8)
            return canonical(pack(codes), shifts, bases, taps.kind.codebook)
    raise AssertionError  # itertools.count does not end


def _shifts(scale_range: int, values: int) -> UInt8:
    """Shifts [ROWS, blocks]: down the columns every pair, and every shift as often as there are `values`.

    Lyndon words of one and two letters in order make the cycle 0 01 02 1 12 2, which has every pair
    once; the columns are pieces of it, each with the last row of the one before.
    """
    if not scale_range:
        return np.zeros((ROWS, 2), np.uint8)
    count = scale_range + 1
    cycle = []
    for a in range(count):
        cycle += [a, *(letter for b in range(a + 1, count) for letter in (a, b))]
    cycle *= math.ceil(values / count)
    columns = math.ceil(len(cycle) / (ROWS - 1))
    # of the last block, whose scale cell has nothing to the right, nothing is asked
    starts = np.arange(columns + 1) * (ROWS - 1)
    places = (starts + np.arange(ROWS)[:, None]) % len(cycle)
    found: UInt8 = np.array(cycle, np.uint8)[places]
    return found


def _surround(codes: UInt8, shifts: UInt8, values: UInt8) -> None:
    """Put every value to both sides of every shift."""
    seen = np.zeros(int(shifts.max()) + 1, np.int64)
    for block in range(shifts.shape[1] - 1):
        for row in range(len(shifts)):
            shift = shifts[row, block]
            code = values[seen[shift] % len(values)]
            seen[shift] += 1
            codes[row, (block + 1) * BLOCK - 1] = codes[row, (block + 1) * BLOCK] = code
