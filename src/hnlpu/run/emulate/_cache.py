"""Keys and values of one sequence, all layers; both grow as needed."""

from __future__ import annotations

import math
import mmap
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hnlpu.run.kernels import Pages

POSITIONS_AT_ONCE = 64  # a capacity is a multiple of this


def _zeros(shape: list[int], kind: np.dtype[Any]) -> npt.NDArray[Any]:
    """Zeros in a mapping of their own where the system has it: a heap would keep its gaps."""
    size = math.prod(shape) * kind.itemsize
    if size == 0 or not hasattr(mmap, "MAP_ANONYMOUS"):
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


class KeysAndValues(NamedTuple):
    """Keys and values as a cache holds them, of as many positions as were taken in."""

    keys: npt.NDArray[Any]
    values: npt.NDArray[Any]


class KeyValueCache:
    """Float32 keys [layers, kv heads, d, capacity] and values [layers, kv heads, capacity, d]."""

    def __init__(self, layers: int, heads: int, size: int):
        self.length = 0
        self.keys: npt.NDArray[Any] = np.zeros((layers, heads, size, 0), np.float32)
        self.values: npt.NDArray[Any] = np.zeros((layers, heads, 0, size), np.float32)

    def reserve(self, positions: int) -> None:
        """Make room for `positions` in all, and by a quarter at least where there is too little."""
        capacity = self.values.shape[2]
        if positions > capacity:
            larger = max(positions, capacity + capacity // 4)
            larger += -larger % POSITIONS_AT_ONCE
            self.keys = grown(self.keys, 3, larger)
            self.values = grown(self.values, 2, larger)

    def save(self) -> KeysAndValues:
        """What `restore` goes back to: a copy of what is held."""
        held = slice(self.length)
        return KeysAndValues(self.keys[..., held].copy(), self.values[:, :, held].copy())

    def restore(self, kept: KeysAndValues) -> None:
        """Go on from what was saved, of this sequence or of another."""
        self.length = kept.values.shape[2]
        self.reserve(self.length)
        self.keys[..., : self.length] = kept.keys
        self.values[:, :, : self.length] = kept.values

    def mark(self) -> int:
        """What `rewind` goes back to, without a copy."""
        return self.length

    def rewind(self, mark: int) -> None:
        """Go back to a mark that this cache has passed: what lies behind it is written over."""
        self.length = mark

    def pages(self) -> Pages:
        """The cache as one long page."""
        one = np.zeros((1, 1), np.int64)
        return Pages(self.keys[:, None], self.values[:, None], one)
