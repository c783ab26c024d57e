"""A tile of a build -> `TileDigits`: what its metal must say, row by row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hnlpu.embed import BLOCK, TileDigits, canonical
from hnlpu.hardwire._matrix import HardwiredMatrix
from hnlpu.hardwire._open import Build
from hnlpu.place import Tile


class TileReader:
    """Reads tiles of a build; keeps the mapping of the stack that it read last, no others."""

    def __init__(self, build: Build):
        self._build = build
        self._shapes = build.shapes()
        self._name = ""

    def _matrix(self, tile: Tile, member: int) -> HardwiredMatrix:
        if tile.matrix != self._name:
            self._stack = self._build.stack(self._shapes[tile.matrix])
            self._name = tile.matrix
        return self._stack[member]

    def digits(self, tile: Tile) -> TileDigits:
        """The digits of a tile, rows of metal in the order of `hnlpu.place`."""
        shape, kind = tile.shape, tile.kind
        codes = np.empty((shape.rows, shape.blocks, BLOCK // 2), np.uint8)
        shifts = np.empty((shape.rows, shape.blocks), np.uint8)
        neurons, blocks = slice(*tile.neurons), slice(*tile.blocks)
        for n, member in enumerate(range(*tile.members)):
            matrix = self._matrix(tile, member)
            for d, digit in enumerate(matrix.digits):
                found = canonical(
                    digit.codes[neurons, blocks],
                    digit.exponents[neurons, blocks],
                    matrix.row_exponents[neurons],
                )
                row = n * kind.digits + d
                codes[row :: kind.rows_per_neuron] = found.codes
                shifts[row :: kind.rows_per_neuron] = found.shifts
        return TileDigits(codes, shifts)

    def weights(self, tile: Tile) -> npt.NDArray[np.int64]:
        """Integer weights [neurons, members, inputs] by their definition (`HardwiredMatrix`)."""
        columns = slice(tile.blocks[0] * BLOCK, tile.blocks[1] * BLOCK)
        parts = [
            self._matrix(tile, member).part(slice(*tile.neurons)).integers()[:, columns]
            for member in range(*tile.members)
        ]
        return np.stack(parts, axis=1)
