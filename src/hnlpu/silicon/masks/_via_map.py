"""Digits of a tile -> numbers that say where its metal goes, for tools that draw on their own.

taps      site    uint8 [rows, inputs]    the weight's trunk among the 15 of its cell, from the left
          shift   uint8 [rows, blocks]    the pattern in the scale cell
regions   port    int32 [rows, inputs]    group * ports a group + number of the port, -1 for a zero
          track   int16 [rows, inputs]    the wire's track, from below; -1 for a zero
          word    uint8 [rows, groups]    what the ties of a group spell
"""

from __future__ import annotations

import functools
import io
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.arithmetic.mx import BLOCK
from hnlpu.silicon.embed import Taps, TileDigits

UInt8 = npt.NDArray[np.uint8]


def site_ranks(taps: Taps) -> UInt8:
    """Number from the left of the trunk of each code; one that is not in use has that of zero."""
    ranks = np.full(16, sorted(taps.site_x.values()).index(taps.site_x[0]), np.uint8)
    for rank, code in enumerate(sorted(taps.site_x, key=lambda code: taps.site_x[code])):
        ranks[code] = rank
    return ranks


@njit(cache=True, nogil=True)
def _look_up(packed: UInt8, pairs: npt.NDArray[np.uint16], out: npt.NDArray[np.uint16]) -> None:
    """Both entries of every byte at once."""
    for n in range(len(packed)):
        out[n] = pairs[packed[n]]


@functools.lru_cache(maxsize=8)
def _pairs(taps: Taps) -> npt.NDArray[np.uint16]:
    """Both numbers of every byte of two codes."""
    ranks = site_ranks(taps).astype(np.uint16)
    return np.array([ranks[b & 15] | ranks[b >> 4] << 8 for b in range(256)], "<u2")


def via_sites(taps: Taps, digits: TileDigits) -> UInt8:
    """uint8 [rows, inputs]: the site of every weight's via."""
    out = np.empty(digits.codes.size, "<u2")
    _look_up(digits.codes.reshape(-1), _pairs(taps), out)
    return out.view(np.uint8).reshape(digits.rows, digits.blocks * BLOCK)


def npy_bytes(array: npt.NDArray[Any]) -> bytes:
    """A file of NumPy's format, version 1.0."""
    file = io.BytesIO()
    np.lib.format.write_array(file, np.ascontiguousarray(array), version=(1, 0))
    return file.getvalue()
