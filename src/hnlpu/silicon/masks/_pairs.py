"""Which values stand beside which: what a proof tile must hold."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]

CODES: UInt8 = np.array([c for c in range(16) if c != 8], np.uint8)
"""What a weight may be: minus zero is zero in metal."""
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Steps in rows and columns to the neighbours that have not been compared yet."""


def pairs_of(values: UInt8, rows: int, columns: int) -> set[tuple[int, int]]:
    """Values [y, x] that lie so many rows and columns apart (columns may be negative)."""
    here, there = values[: len(values) - rows], values[rows:]
    if columns >= 0:
        here, there = here[:, : here.shape[1] - columns], there[:, columns:]
    else:
        here, there = here[:, -columns:], there[:, :columns]
    return set(zip(here.ravel().tolist(), there.ravel().tolist(), strict=True))


def all_pairs(values: UInt8) -> bool:
    """Whether every pair of codes stands side by side, above each other and on both diagonals."""
    return all(len(pairs_of(values, *step)) == len(CODES) ** 2 for step in NEIGHBOURS)
