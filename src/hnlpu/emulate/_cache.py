"""Keys and values of one sequence, all layers, in either kind of numerics; both grow as needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.kernels import Pages

LEAST_POSITIONS = 64


def _grown(array: npt.NDArray[Any], axis: int, positions: int) -> npt.NDArray[Any]:
    """A copy with room for `positions` along `axis`."""
    more = [(0, 0)] * array.ndim
    more[axis] = 0, positions - array.shape[axis]
    return np.pad(array, more)


class KeyValueCache:
    """Float32 keys [layers, kv heads, d, capacity] and values [layers, kv heads, capacity, d]."""

    key_axis = 3
    kind: np.dtype[Any] = np.dtype(np.float32)

    def __init__(self, layers: int, heads: int, size: int):
        self.length = 0
        keys = [layers, heads, size]
        keys.insert(self.key_axis, 0)
        self.keys: npt.NDArray[Any] = np.zeros(keys, self.kind)
        self.values: npt.NDArray[Any] = np.zeros((layers, heads, 0, size), self.kind)

    def reserve(self, positions: int) -> None:
        """Make room for `positions` in all."""
        capacity = self.values.shape[2]
        if positions > capacity:
            larger = max(positions, 2 * capacity, LEAST_POSITIONS)
            self.keys = _grown(self.keys, self.key_axis, larger)
            self.values = _grown(self.values, 2, larger)

    def pages(self) -> Pages:
        """The cache as one long page."""
        one = np.zeros((1, 1), np.int64)
        return Pages(self.keys[:, None], self.values[:, None], one)


class ChipCache(KeyValueCache):
    """Int32 keys and values [layers, kv heads, capacity, d] of 24 bits (`hnlpu.numerics`)."""

    key_axis = 2
    kind = np.dtype(np.int32)
