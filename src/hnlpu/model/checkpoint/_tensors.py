"""safetensors files -> `StoredTensor`: named, checked ranges of bytes, mapped on demand.

The safetensors library validates a file (header length, JSON, offsets that
cover the data without gap or overlap); we add what it lets pass (duplicate
names) and keep only where each tensor lies, so that nothing is read before
somebody needs it and nothing stays mapped after.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from hnlpu.errors import DamagedCheckpoint, HnlpuError

PIECE = 2**22  # elements
_DTYPES: dict[str, np.dtype[Any]] = {
    "U8": np.dtype(np.uint8), "BF16": np.dtype("<u2"), "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"), "I8": np.dtype(np.int8), "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"), "F8_E4M3": np.dtype(np.uint8), "F8_E5M2": np.dtype(np.uint8),
    "F8_E8M0": np.dtype(np.uint8),
}  # fmt: skip
FLOATS = ("BF16", "F16", "F32")
"""Formats of numbers that are read; each of them is exact in float32."""


def mapped(
    file: Path, dtype: np.dtype[Any], offset: int, shape: tuple[int, ...]
) -> npt.NDArray[Any]:
    """Read-only array on a part of a file, as `np.memmap` makes it in ten times the time."""
    before = offset % mmap.ALLOCATIONGRANULARITY
    size = before + math.prod(shape) * dtype.itemsize
    with file.open("rb") as stream:
        part = mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_READ, offset=offset - before)
    return np.ndarray(shape, dtype, part, before)


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file: `dtype` as safetensors names it, `offset` in bytes from the start."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    offset: int

    def map(self) -> npt.NDArray[Any]:
        """Read-only array on the file itself; bfloat16, which NumPy lacks, as its bits in uint16."""
        if 0 in self.shape:
            return np.empty(self.shape, _DTYPES[self.dtype])
        return mapped(self.file, _DTYPES[self.dtype], self.offset, self.shape)

    @property
    def size_bytes(self) -> int:
        """Bytes that it takes in its file."""
        return math.prod(self.shape) * _DTYPES[self.dtype].itemsize

    def read(self, box: tuple[slice, ...]) -> npt.NDArray[Any]:
        """A part of `map`, a slice for each axis."""
        part: npt.NDArray[Any] = self.map()[box]
        return part

    def pieces(self) -> Iterator[slice]:
        """`pieces` of its shape."""
        return pieces(self.shape)


@dataclass(frozen=True)
class NarrowTensor(StoredTensor):
    """A float32 tensor every number of which is a bfloat16: the upper halves of its bits."""

    stored: StoredTensor

    def map(self) -> npt.NDArray[Any]:
        """The bits of bfloat16, in place."""
        halves = self.stored.map().view("<u2")
        return halves.reshape((*self.shape, 2))[..., 1]


def narrowed(tensor: StoredTensor) -> NarrowTensor | None:
    """A float32 tensor as bfloat16, None where that would round a number; every one is read."""
    for piece in tensor.pieces():
        numbers = np.ascontiguousarray(tensor.map()[piece])
        if numbers.view("<u2")[..., 0::2].any():
            return None
    return NarrowTensor(tensor.name, "BF16", tensor.shape, tensor.file, tensor.offset, tensor)


def pieces(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of the first dimension of a tensor, each of about `PIECE` elements.

    Map anew for every piece: pages of a mapping stay in memory as long as it does.
    """
    step = max(1, PIECE // max(1, math.prod(shape[1:])))
    for start in range(0, shape[0], step):
        yield slice(start, min(start + step, shape[0]))


class StoredRows:
    """Rows of a stored matrix, read when asked for from a file that stays open.

    For a table of which few rows are met: a mapping keeps what lies 64 kB around each of them.
    """

    def __init__(self, tensor: StoredTensor):
        self._tensor = tensor
        in_place = hasattr(os, "preadv") and not isinstance(tensor, NarrowTensor)
        self._mapped = None if in_place else tensor.map()
        if self._mapped is None:
            self._file = os.open(tensor.file, os.O_RDONLY | os.O_CLOEXEC)
            weakref.finalize(self, os.close, self._file)

    def read(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Rows [n, columns] by their numbers [n], of `StoredTensor.map`'s type.

        Raises IndexError for other numbers, DamagedCheckpoint where the file has become shorter.
        """
        tensor = self._tensor
        if self._mapped is not None:
            return np.asarray(self._mapped[numbers])
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < tensor.shape[0]:
            raise IndexError(f"{tensor.name} has rows 0 to {tensor.shape[0] - 1}")
        rows = np.empty((len(numbers), tensor.shape[1]), _DTYPES[tensor.dtype])
        size = rows.itemsize * tensor.shape[1]
        for row, number in zip(rows, numbers.tolist(), strict=True):
            if os.preadv(self._file, [row], tensor.offset + number * size) != size:
                raise DamagedCheckpoint(f"{tensor.file}: ends within {tensor.name}")
        return rows


def bfloat16_to_float32(raw: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """Exact widening of bfloat16 bit patterns, any shape."""
    return np.left_shift(raw, 16, dtype=np.uint32).view(np.float32)


def to_float32(raw: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Numbers as `StoredTensor.map` gives them, exactly: bits of bfloat16, float16 or float32."""
    if raw.dtype == np.uint16:
        return bfloat16_to_float32(raw)
    return raw.astype(np.float32, copy=False)


def read_header(
    path: Path, damaged: type[HnlpuError] = DamagedCheckpoint
) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """Tensors and metadata of one safetensors file; raises `damaged` if it is not a sound one."""
    try:
        with safe_open(path, framework="np"):
            pass
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(length), object_pairs_hook=unique_pairs)
    except FileNotFoundError:
        raise damaged(f"{path}: file is missing") from None
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise damaged(f"{path}: not a sound safetensors file ({error})") from None
    metadata = header.pop("__metadata__", None) or {}
    tensors = {
        name: StoredTensor(
            name, info["dtype"], tuple(info["shape"]), path, 8 + length + info["data_offsets"][0]
        )
        for name, info in header.items()
    }
    return tensors, metadata


def unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the name {key!r} appears twice")
            seen.add(key)
    return result
