"""A tile of a build -> `TileDigits`: what its metal must say, row by row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.codebooks import NO_CODE
from hnlpu.arithmetic.mx import BLOCK
from hnlpu.arithmetic.onto import join
from hnlpu.errors import DamagedBuild
from hnlpu.silicon.embed import TileDigits, canonical, enter_canonical
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
        if kind.inputs_per_port > 1:
            return self._shared(tile)
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

    def _shared(self, tile: Tile) -> TileDigits:
        """Those of a tile whose ports have two inputs each, without scales: a byte of codes is a port's."""
        shape, kind, stack = tile.shape, tile.kind, self._stack_of(tile)
        (digit,) = stack.digits
        members, neurons, blocks = (
            slice(*range_) for range_ in (tile.members, tile.neurons, tile.blocks)
        )
        parts = [
            canonical(
                digit.codes[member, neurons, blocks], digit.exponents[member, neurons, blocks],
                stack.row_exponents[member, neurons],
            )
            for member in range(members.start, members.stop)
        ]  # fmt: skip
        pairs = np.stack([part.codes for part in parts], 1)
        codes = kind.values.paired[pairs].reshape(*pairs.shape[:2], shape.blocks, BLOCK)
        if (codes == NO_CODE).any() or any(part.shifts.any() for part in parts):
            raise DamagedBuild(
                f"{self._build.directory}: {tile.matrix} has a digit that is no value of "
                f"{kind.codebook}, or a block with a scale of its own; build it again"
            )
        packed = codes[..., 0::2] | codes[..., 1::2] << np.uint8(4)
        return TileDigits(
            packed.reshape(shape.rows, shape.blocks, BLOCK // 2),
            np.zeros((shape.rows, shape.blocks), np.uint8), kind.codebook,
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
