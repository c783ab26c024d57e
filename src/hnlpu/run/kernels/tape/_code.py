"""Instructions of a tape: as they are written, and as `tape.h` takes them.

`tape.h` and the files that carry instructions out say what each number and place means.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.run.kernels.tape._views import View

PLACES, NUMBERS, REALS, POINTERS, MOST_AXES, MOST_SHARED = 8, 40, 4, 4, 5, 4


class Code(IntEnum):
    """`enum Code` in tape.h."""

    TURNS = 0
    PREPARE = 1
    PROJECT = 2
    ROTATE = 3
    ATTEND = 4
    EXPERTS = 5
    MEMBERS = 6
    POINTWISE = 7
    REDUCE = 8
    LARGEST = 9
    READ = 10
    WRITE = 11
    KEEP = 12
    CONVOLVE = 13
    SCAN = 14
    LOW_RANK = 15
    GATHER = 16


class Operation(IntEnum):
    """`enum Operation` in pointwise.h."""

    COPY = 0
    ADD = 1
    SUB = 2
    MUL = 3
    DIVIDE = 4
    MINIMUM = 5
    MAXIMUM = 6
    LESS = 7
    LESS_EQUAL = 8
    EQUAL = 9
    SELECT = 10
    SHIFT = 11
    INVERSE_ROOT = 12
    EXP = 13
    LOG = 14
    SIGMOID = 15
    TANH = 16
    SOFTPLUS = 17
    GELU = 18
    GELU_TANH = 19
    SIN = 20
    COS = 21
    POLYNOMIAL = 22
    ROUND = 23


class Gate(IntEnum):
    """`enum Gate` in rows.h."""

    NONE = 0
    CLAMPED_SWIGLU = 1
    SILU = 2


class Reduction(IntEnum):
    """`enum Reduction` in reduce.h."""

    SUM = 0
    MOST = 1
    DOT = 2


@dataclass
class TapeInstruction:
    """One instruction; `gives` are the places that it writes.

    Pointers are addresses, arrays that the tape keeps, or None.
    """

    code: Code
    places: list[View | None]
    gives: tuple[int, ...]
    n: list[int]
    reals: list[float] = field(default_factory=list)
    pointers: list[int | npt.NDArray[Any] | None] = field(default_factory=list)

    def taken(self) -> list[View]:
        """Views that it reads."""
        return [v for k, v in enumerate(self.places) if v is not None and k not in self.gives]

    def given(self) -> list[View]:
        """Views that it writes."""
        return [v for k in self.gives if (v := self.places[k]) is not None]


class PlaceWord(ctypes.Structure):
    """`Place` in tape.h."""

    _fields_ = (
        ("constant", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("where", "kind", "offset", "first", "step")),
    )


class InstructionWord(ctypes.Structure):
    """`TapeInstruction` in tape.h."""

    _fields_ = (
        ("code", ctypes.c_int64),
        ("free", ctypes.c_int64),
        ("places", PlaceWord * PLACES),
        ("n", ctypes.c_int64 * NUMBERS),
        ("reals", ctypes.c_double * REALS),
        ("pointers", ctypes.c_void_p * POINTERS),
    )


class BatchWord(ctypes.Structure):
    """`Batch` in tape.h."""

    _fields_ = (
        ("rows", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("sequences", "positions", "tables")),
        *((name, ctypes.c_int64) for name in ("pages", "page_size")),
        *((name, ctypes.c_void_p) for name in ("states", "slots", "sources", "outside", "turns")),
        *((name, ctypes.c_int64) for name in ("turn_count", "most")),
        *((name, ctypes.c_void_p) for name in ("order", "starts")),
        ("chains", ctypes.c_int64),
    )


def address(pointer: int | npt.NDArray[np.generic] | None) -> int | None:
    """What C is given for a pointer."""
    return pointer.ctypes.data if isinstance(pointer, np.ndarray) else pointer
