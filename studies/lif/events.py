"""Events that anyone can make: scikit-learn's handwritten digits under small movements of the eye.

An eye looks at a digit of 8 x 8 pixels and moves by a pixel at every position, along a path of its own.  A
pixel of the sensor sends an event where its brightness rises by at least a quarter of the range, and one on
another line where it falls: 128 lines, each 0 or 1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # has no types

LINES, POSITIONS, CLASSES = 128, 12, 10
TRAINED = 1297
"""Digits that are trained on; the other 500 are judged."""
_MOVES = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])


def events(
    numbers: npt.NDArray[np.int64], seed: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Events [n, 12, 128], 0 or 1, of the digits of these numbers, and what they are [n]."""
    digits = load_digits()
    random = np.random.default_rng([24, seed])
    images = np.pad(digits.images[numbers] / 16.0, ((0, 0), (3, 3), (3, 3)))
    at = np.full((len(numbers), 2), 3)
    first = random.integers(0, 4, len(numbers))
    seen = _view(images, at)
    found = np.zeros((len(numbers), POSITIONS, 2, 64), np.float32)
    for position in range(POSITIONS):
        at = np.clip(at + _MOVES[(first + position) % 4] * (1 + position // 4 % 2), 1, 5)
        now = _view(images, at)
        found[:, position, 0] = now - seen >= 0.25
        found[:, position, 1] = seen - now >= 0.25
        seen = now
    return found.reshape(len(numbers), POSITIONS, LINES), digits.target[numbers].astype(np.int64)


def _view(images: npt.NDArray[np.float64], at: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The 8 x 8 pixels [n, 64] that an eye at these places sees."""
    rows, columns = at[:, :1, None] + np.arange(8)[:, None], at[:, 1:, None] + np.arange(8)[None]
    seen: npt.NDArray[np.float64] = images[np.arange(len(at))[:, None, None], rows, columns]
    return seen.reshape(len(at), 64)


def split() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Numbers of the digits that are trained on and of those that are judged; drawn once, by seed 24."""
    order = np.random.default_rng(24).permutation(len(load_digits().target))
    return order[:TRAINED], order[TRAINED:]
