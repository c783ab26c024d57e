"""`TileDigits`: what the metal of one tile must say, one row of metal per neuron, member and digit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.arithmetic.codebooks import E2M1, open_codebook
from hnlpu.arithmetic.mx import BLOCK

UInt8 = npt.NDArray[np.uint8]

__all__ = ["BLOCK", "TileDigits", "canonical", "enter_canonical"]


@dataclass(frozen=True)
class TileDigits:
    """Codes uint8 [rows, blocks, 16] (two a byte, even input low) and shifts uint8 [rows, blocks].

    A shift is the block's exponent minus its row's.  Metal knows one zero and no exponent of
    nothing: minus zero (code 8 of E2M1) is code 0, and the shift of a block of zeros is 0.  Codes are those of
    `codebook`.
    """

    codes: UInt8
    shifts: UInt8
    codebook: str = E2M1

    @property
    def rows(self) -> int:
        """Rows of metal."""
        return len(self.codes)

    @property
    def blocks(self) -> int:
        """Blocks of 32 inputs."""
        return int(self.codes.shape[1])

    @property
    def weights(self) -> int:
        """Digits in the tile."""
        return self.rows * self.blocks * BLOCK

    def integers(self) -> npt.NDArray[np.int32]:
        """Integer digits [rows, blocks * 32] in units of their row; 24 * 2^20 at most."""
        out = np.empty((self.rows, self.blocks * BLOCK), np.int32)
        table = np.array(open_codebook(self.codebook).table, np.int32)
        _integers(self.codes, self.shifts, table, out)
        return out


@njit(cache=True, nogil=True)
def _integers(
    codes: UInt8, shifts: UInt8, twice: npt.NDArray[np.int32], out: npt.NDArray[np.int32]
) -> None:
    rows, blocks, _ = codes.shape
    for row in range(rows):
        for block in range(blocks):
            shift = np.int32(shifts[row, block])
            for j in range(16):
                byte = codes[row, block, j]
                out[row, block * 32 + 2 * j] = twice[byte & 15] << shift
                out[row, block * 32 + 2 * j + 1] = twice[byte >> 4] << shift


_ONE_ZERO: UInt8 = np.array(
    [(b & 15 if b & 7 else 0) | (b & 240 if b & 112 else 0) for b in range(256)], np.uint8
)
"""A byte of two E2M1 codes with minus zero made zero."""
_AS_IT_IS: UInt8 = np.arange(256, dtype=np.uint8)
"""A byte of two codes of a codebook that has codes of its own."""


@njit(cache=True, nogil=True)
def _canonical(
    codes: UInt8, exponents: UInt8, bases: UInt8, one_zero: UInt8, out: UInt8, shifts: UInt8
) -> None:
    members, neurons, blocks = exponents.shape
    for neuron in range(neurons):
        for member in range(members):
            base = bases[member, neuron]
            for block in range(blocks):
                union = 0
                for j in range(16):
                    byte = one_zero[codes[member, neuron, block, j]]
                    out[neuron, member, block, j] = byte
                    union |= byte
                shift = exponents[member, neuron, block] - base if union else 0
                shifts[neuron, member, block] = shift


def enter_canonical(
    codes: UInt8, exponents: UInt8, row_exponents: UInt8, out: UInt8, shifts: UInt8,
    codebook: str = E2M1,
) -> None:  # fmt: skip
    """Enter digits of metal of several members into what rows of metal hold.

    From codes [members, neurons, blocks, 16], exponents [members, neurons, blocks] and bases
    [members, neurons] to codes [neurons, members, blocks, 16] and shifts [neurons, members, blocks].
    """
    one_zero = _ONE_ZERO if open_codebook(codebook).of_e2m1 else _AS_IT_IS
    _canonical(codes, exponents, row_exponents, one_zero, out, shifts)


def canonical(
    codes: UInt8, exponents: UInt8, row_exponents: UInt8, codebook: str = E2M1
) -> TileDigits:
    """Digits of metal from codes [rows, blocks, 16], exponents [rows, blocks] and bases [rows]."""
    out, shifts = np.empty_like(codes), np.empty_like(exponents)
    enter_canonical(
        codes[None], exponents[None], row_exponents[None], out[:, None], shifts[:, None], codebook
    )
    return TileDigits(out, shifts, codebook)
