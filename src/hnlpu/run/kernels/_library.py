"""The shared library of kernels, loaded once, and its calls with arrays.

    HardwiredMatrix, x_int ──► pointers ──► kernels.c ──► y_int, or y in float32

Where there is no library, or one of another version of the source, `reason`
says why, and the emulator uses its Numba kernels.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.errors import NotFinite
from hnlpu.run.kernels._compile import LIBRARY, digest
from hnlpu.silicon.hardwire import HardwiredMatrix

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

REMEDY = "python -m hnlpu.run.kernels"
LARGEST_DIGITS = 4
NOT_FINITE = "an activation became NaN or infinite; the checkpoint's values leave float32's range"
_NO_MEMORY, _NOT_FINITE = 2, 4  # of the library's return codes
_KIND = {"p": ctypes.c_void_p, "n": ctypes.c_int64, "d": ctypes.c_double}
_ARGUMENTS = {
    "hnlpu_project": "pnnn",
    "hnlpu_attend": "pn",
    "hnlpu_tape": "pnnnpn",
    "hnlpu_norm": "ppnndnp",
    "hnlpu_quantize": "pnnnnpp",
}


def address_of(array: npt.NDArray[Any]) -> int:
    """Address of a contiguous array's first number: `ctypes.data` in a quarter of its time.

    A token of a small model takes a hundred microseconds, and a call a dozen addresses.
    """
    if array.size and array.flags.writeable:
        return ctypes.addressof(ctypes.c_char.from_buffer(array.data))
    return array.ctypes.data


class NotForKernels(Exception):
    """Activations beyond 16 bits, or a spread beyond any build's: Numba must do it."""


@dataclass(frozen=True)
class Descriptor:
    """A matrix as the library takes it: its address, and the arrays that must outlive it."""

    address: int
    rows: int
    columns: int
    arrays: tuple[Any, ...] = field(repr=False)


def describe(matrix: HardwiredMatrix) -> Descriptor:
    """Pointers to a matrix's arrays, in the order of `Matrix` in kernels.h."""
    codes = [np.ascontiguousarray(d.codes) for d in matrix.digits]
    exponents = [np.ascontiguousarray(d.exponents) for d in matrix.digits]
    row_exponents = np.ascontiguousarray(matrix.row_exponents)
    bias = None if matrix.bias is None else np.ascontiguousarray(matrix.bias, np.float32)
    kinds = np.zeros(matrix.rows, np.uint8)  # of rows; the library looks when it meets them
    none = [0] * (LARGEST_DIGITS - len(matrix.digits))
    words = np.array(
        [
            *(a.ctypes.data for a in codes), *none,
            *(a.ctypes.data for a in exponents), *none,
            row_exponents.ctypes.data,
            0 if bias is None else bias.ctypes.data,
            matrix.rows, matrix.columns // 32, len(matrix.digits), kinds.ctypes.data,
        ],
        np.int64,
    )  # fmt: skip
    keep = (words, *codes, *exponents, row_exponents, bias, kinds)
    return Descriptor(words.ctypes.data, matrix.rows, matrix.columns, keep)


@dataclass(frozen=True)
class Product:
    """One matrix and the activations [tokens, columns] and scales [tokens] that meet it."""

    matrix: Descriptor
    integers: Int32
    scales: Int32


class Library:
    """The loaded library; `instructions` names what this processor runs, best first."""

    def __init__(self, handle: ctypes.CDLL):
        self._functions = {name: getattr(handle, name) for name in _ARGUMENTS}
        for name, kinds in _ARGUMENTS.items():
            self._functions[name].argtypes = [_KIND[kind] for kind in kinds]
        handle.hnlpu_instructions.argtypes = [ctypes.c_int64]
        handle.hnlpu_instructions.restype = ctypes.c_char_p
        handle.hnlpu_set_threads.argtypes = [ctypes.c_int64]
        handle.hnlpu_set_threads.restype = None
        self.set_threads = handle.hnlpu_set_threads
        names: list[str] = []
        while (name := handle.hnlpu_instructions(len(names))) is not None:
            names.append(name.decode())
        self.instructions = tuple(names)
        self._chosen = 0
        self.set_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity")
                         else os.cpu_count() or 1)  # fmt: skip

    def sums(
        self,
        matrix: HardwiredMatrix | Descriptor,
        x_int: Int32,
        *,
        instructions: int | None = None,
        way: int = 0,
    ) -> Int64:
        """y_int [tokens, rows]; `way` is 1 for packed digits, 2 for panels, 0 for the faster.

        Raises NotForKernels.
        """
        described = matrix if isinstance(matrix, Descriptor) else describe(matrix)
        x = np.ascontiguousarray(x_int, np.int32)
        if x.ndim != 2 or x.shape[1] != described.columns:
            raise ValueError(f"activations {x.shape} do not meet {described.columns} columns")
        out = np.empty((len(x), described.rows), np.int64)
        job = [described.address, x.ctypes.data, 0, len(x), out.ctypes.data, 0]
        self._run(np.array([job], np.int64), instructions, way)
        return out

    def all_sums(self, products: Sequence[Product]) -> list[Int64]:
        """y_int [tokens, rows] of each product.

        One parallel piece of work.  Raises NotForKernels.
        """
        _check(products)
        out = [np.empty((len(p.integers), p.matrix.rows), np.int64) for p in products]
        jobs = [
            (p.matrix.address, p.integers.ctypes.data, 0, len(p.integers), y.ctypes.data, 0)
            for p, y in zip(products, out, strict=True)
        ]
        self._run(np.array(jobs, np.int64).reshape(-1, 6), None, 0)
        return out

    def project(self, products: Sequence[Product]) -> list[Float32]:
        """y [tokens, rows] = y_int * 2^(b - 128 + s) rounded once, plus bias, of each product.

        One parallel piece of work.  Raises NotForKernels.
        """
        _check(products)
        out = [np.empty((len(p.integers), p.matrix.rows), np.float32) for p in products]
        jobs = [
            (p.matrix.address, p.integers.ctypes.data, p.scales.ctypes.data, len(p.integers),
             0, y.ctypes.data)
            for p, y in zip(products, out, strict=True)
        ]  # fmt: skip
        self._run(np.array(jobs, np.int64).reshape(-1, 6), None, 0)
        return out

    def norm(
        self, x: Float32, weight: Float32, eps: float, *, instructions: int | None = None
    ) -> Float32:
        """RMSNorm of x [rows, n], as the vector unit defines it."""
        x = np.ascontiguousarray(x, np.float32)
        out = np.empty_like(x)
        assert weight.flags.c_contiguous
        assert weight.shape == x.shape[1:]
        self.run(
            "hnlpu_norm", x.ctypes.data, weight.ctypes.data, *x.shape, eps, self.set_of(instructions),
            out.ctypes.data,
        )  # fmt: skip
        return out

    def quantize(
        self, x: Float32, bits: int, *, instructions: int | None = None
    ) -> tuple[Int32, Int32]:
        """Integers [rows, n] of x [rows, n] and the exponents of their scales [rows].

        Raises NotFinite.
        """
        x = np.ascontiguousarray(x, np.float32)
        integers, scales = np.empty(x.shape, np.int32), np.empty(len(x), np.int32)
        self.run(
            "hnlpu_quantize", x.ctypes.data, *x.shape, bits, self.set_of(instructions), integers.ctypes.data,
            scales.ctypes.data,
        )  # fmt: skip
        return integers, scales

    def choose(self, name: str) -> None:
        """Use this instruction set from here on where a call names none: for those who measure.

        Results are the same in all.  Raises ValueError if this processor does not run it.
        """
        if name not in self.instructions:
            raise ValueError(f"no instruction set {name} here; there are {self.instructions}")
        self._chosen = self.instructions.index(name)

    def set_of(self, instructions: int | None) -> int:
        """The number of an instruction set; without one, of the best or of the one chosen."""
        return self._chosen if instructions is None else instructions

    def _run(self, jobs: Int64, instructions: int | None, way: int) -> None:
        self.run("hnlpu_project", jobs.ctypes.data, len(jobs), self.set_of(instructions), way)

    def run(self, name: str, *arguments: float) -> None:
        """Call a function of the library.  Raises NotForKernels, NotFinite or MemoryError."""
        error = self._functions[name](*arguments)
        if not error:
            return
        if error == _NO_MEMORY:
            raise MemoryError("no memory for the kernels' working space")
        if error == _NOT_FINITE:
            raise NotFinite(NOT_FINITE)
        raise NotForKernels(f"kernels.c returned {error}")


def _check(products: Sequence[Product]) -> None:
    for p in products:
        if p.integers.shape != (len(p.scales), p.matrix.columns):
            raise ValueError(
                f"activations {p.integers.shape} do not meet {p.matrix.columns} columns"
            )


@cache
def load() -> tuple[Library | None, str]:
    """The library, or None and the reason in one line."""
    if not LIBRARY.exists():
        return None, f"{LIBRARY.name} was not compiled at install; {REMEDY} compiles it"
    try:
        handle = ctypes.CDLL(str(LIBRARY))
        handle.hnlpu_source.restype = ctypes.c_char_p
        made_from = handle.hnlpu_source().decode()
    except (OSError, AttributeError) as error:
        return None, f"{LIBRARY.name} does not load ({error}); {REMEDY} compiles it again"
    if made_from != digest():
        return None, f"{LIBRARY.name} is of another version of the source; {REMEDY} compiles it"
    return Library(handle), ""
