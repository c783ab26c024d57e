"""Arrays with an axis of positions that grow as needed."""

from __future__ import annotations

import math
import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

POSITIONS_AT_ONCE = 64  # a capacity is a multiple of this
SMALL = 2**17
"""Bytes up to which an array lies on the heap: a mapping costs more than the gap that it saves."""


def _zeros(shape: list[int], kind: np.dtype[Any]) -> npt.NDArray[Any]:
    """Zeros in a mapping of their own where the system has it: a heap would keep its gaps."""
    size = math.prod(shape) * kind.itemsize
    if size <= SMALL or not hasattr(mmap, "MAP_ANONYMOUS"):
        return np.zeros(shape, kind)
    mapped = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(mapped, kind).reshape(shape)


def grown(array: npt.NDArray[Any], axis: int, positions: int) -> npt.NDArray[Any]:
    """A copy with room for `positions` along `axis`, zeros behind what was there."""
    shape = list(array.shape)
    shape[axis] = positions
    larger = _zeros(shape, array.dtype)
    larger[(slice(None),) * axis + (slice(array.shape[axis]),)] = array
    return larger
