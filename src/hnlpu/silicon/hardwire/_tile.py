"""A tile of a build -> `TileDigits`: what its metal must say, row by row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.arithmetic.onto import join
from hnlpu.errors import DamagedBuild
from hnlpu.silicon.embed import TileDigits, enter_canonical
from hnlpu.silicon.hardwire._matrix import Digit
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
        stored = kind.values.stored
        for d in range(kind.digits):
            digit, *rest = (
                Digit(of.codes[members, neurons, blocks], of.exponents[members, neurons, blocks])
                for of in stack.digits[stored * d : stored * (d + 1)]
            )
            enter_canonical(
                self._joined(tile, digit, rest[0]) if rest else digit.codes, digit.exponents,
                stack.row_exponents[members, neurons], codes[:, :, d], shifts[:, :, d],
                kind.codebook,
            )  # fmt: skip
        return TileDigits(
            codes.reshape(shape.rows, shape.blocks, BLOCK // 2),
            shifts.reshape(shape.rows, shape.blocks), kind.codebook,
        )  # fmt: skip

    def _joined(self, tile: Tile, first: Digit, second: Digit) -> npt.NDArray[np.uint8]:
        """Codes of the kind's codebook from the two E2M1 digits that hold them; raises DamagedBuild."""
        codes = join(first.codes, second.codes, tile.kind.values)
        if codes is None or not np.array_equal(first.exponents, second.exponents):
            raise DamagedBuild(
                f"{self._build.directory}: {tile.matrix} has a digit that is no value of "
                f"{tile.kind.codebook}; build it again"
            )
        return codes

    def weights(self, tile: Tile) -> npt.NDArray[np.int64]:
        """Integer weights [neurons, members, inputs] by their definition (`HardwiredMatrix`)."""
        columns = slice(tile.blocks[0] * BLOCK, tile.blocks[1] * BLOCK)
        parts = [
            self._stack_of(tile)[member].part(slice(*tile.neurons)).integers()[:, columns]
            for member in range(*tile.members)
        ]
        return np.stack(parts, axis=1)
