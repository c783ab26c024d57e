"""A tile of a build -> `TileDigits`: what its metal must say, row by row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.silicon.embed import TileDigits, enter_canonical
from hnlpu.silicon.hardwire._open import Build, HardwiredStack
from hnlpu.silicon.place import Tile


class TileReader:
    """Reads tiles of a build; keeps the mapping of the stack that it read last, no others."""

    def __init__(self, build: Build):
        self._build = build
        self._shapes = build.shapes()
        self._name = ""

    def _stack_of(self, tile: Tile) -> HardwiredStack:
        if tile.matrix != self._name:
            self._stack = self._build.stack(self._shapes[tile.matrix])
            self._name = tile.matrix
        return self._stack

    def digits(self, tile: Tile) -> TileDigits:
        """The digits of a tile, rows of metal in the order of `hnlpu.silicon.place`."""
        shape, kind = tile.shape, tile.kind
        rows = (shape.rows // kind.rows_per_neuron, kind.bank, kind.digits, shape.blocks)
        codes, shifts = np.empty((*rows, BLOCK // 2), np.uint8), np.empty(rows, np.uint8)
        members, neurons, blocks = (
            slice(*range_) for range_ in (tile.members, tile.neurons, tile.blocks)
        )
        stack = self._stack_of(tile)
        for d, digit in enumerate(stack.digits):
            enter_canonical(
                digit.codes[members, neurons, blocks], digit.exponents[members, neurons, blocks],
                stack.row_exponents[members, neurons], codes[:, :, d], shifts[:, :, d],
            )  # fmt: skip
        return TileDigits(
            codes.reshape(shape.rows, shape.blocks, BLOCK // 2),
            shifts.reshape(shape.rows, shape.blocks),
        )

    def weights(self, tile: Tile) -> npt.NDArray[np.int64]:
        """Integer weights [neurons, members, inputs] by their definition (`HardwiredMatrix`)."""
        columns = slice(tile.blocks[0] * BLOCK, tile.blocks[1] * BLOCK)
        parts = [
            self._stack_of(tile)[member].part(slice(*tile.neurons)).integers()[:, columns]
            for member in range(*tile.members)
        ]
        return np.stack(parts, axis=1)
