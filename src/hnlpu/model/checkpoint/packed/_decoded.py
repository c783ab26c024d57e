"""What every packed format shares: a tensor that is decoded when it is read, and how bits are cut.

    tensors of a file ─► `Decoded`: name, shape, and float32 numbers of the rows that are asked for

Values are those of the format's own definition in float32, where each product is rounded once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.errors import TensorMismatch
from hnlpu.model.checkpoint._part import Stored
from hnlpu.model.checkpoint._tensors import StoredTensor, to_float32

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]
Files = dict[str, StoredTensor]
Rows = Callable[[slice], Float32]
"""Rows of a matrix, given with start and stop: float32 [rows, columns]."""
FLOAT8 = ("F8_E4M3", "F8_E5M2")


@dataclass(frozen=True)
class Decoded:
    """A tensor that a format packs; `decode` gives what all slices but the last ask for."""

    name: str
    shape: tuple[int, ...]
    file: Path
    decode: Callable[[tuple[slice, ...]], Array]
    dtype: str = "F32"

    def read(self, box: tuple[slice, ...]) -> Array:
        """The numbers of a part."""
        part: Array = self.decode(box[:-1])[..., box[-1]]
        return part


def matrix(name: str, shape: tuple[int, int], file: Path, rows: Rows) -> Decoded:
    """A packed matrix whose `rows` can be decoded alone."""

    def decode(box: tuple[slice, ...]) -> Array:
        (asked,) = box
        part: Array = rows(slice(asked.start, asked.stop))[:: asked.step]
        return part

    return Decoded(name, shape, file, decode)


def whole(tensor: StoredTensor) -> Array:
    """All of a small tensor (scales, zero points) as numbers: float32, or integers as they are."""
    raw = tensor.map()
    if tensor.dtype in FLOAT8:
        return np.asarray(float8(tensor.dtype)[raw])
    if tensor.dtype in ("F8_E8M0", "U8"):
        return power_of_two(raw)
    return to_float32(raw) if tensor.dtype in ("BF16", "F16", "F32") else np.asarray(raw)


def power_of_two(exponents: Array) -> Float32:
    """E8M0 scales (OCP Microscaling v1.0, 5.4.1): 2^(e - 127), NaN for 255."""
    values = np.ldexp(np.float32(1), exponents.astype(np.int32) - 127).astype(np.float32)
    values[exponents == 255] = np.nan
    return values


def float8(dtype: str) -> Float32:
    """The 256 values of a format of 8-bit floating point (OCP 8-bit Floating Point v1.0)."""
    mantissa_bits, bias = (3, 7) if dtype == "F8_E4M3" else (2, 15)
    code = np.arange(256)
    exponent, mantissa = (code & 0x7F) >> mantissa_bits, code & ((1 << mantissa_bits) - 1)
    fraction = mantissa / (1 << mantissa_bits)
    size = np.where(exponent == 0, fraction, 1 + fraction)
    values: npt.NDArray[np.float64] = np.ldexp(size, np.maximum(exponent, 1) - bias)
    if dtype == "F8_E4M3":
        values[(code & 0x7F) == 0x7F] = np.nan
    else:
        values[exponent == 31] = np.nan
        values[(code & 0x7F) == 0x7C] = np.inf
    return np.asarray(np.where(code & 0x80, -values, values), np.float32)


def unsigned(words: Array, bits: int) -> npt.NDArray[np.uint8]:
    """Fields of `bits` (2, 4 or 8) from the last axis's bytes, the lowest bits first."""
    raw = np.ascontiguousarray(words).view(np.uint8)
    if bits == 8:
        return raw
    steps = np.arange(0, 8, bits, dtype=np.uint8)
    fields = (raw[..., None] >> steps) & np.uint8((1 << bits) - 1)
    return np.asarray(fields.reshape(*raw.shape[:-1], -1), np.uint8)


def expect(tensor: Stored, shape: tuple[int, ...], of: str) -> None:
    """Raise TensorMismatch for a part of the tensor `of` that has another shape than it implies."""
    if tensor.shape != shape:
        raise TensorMismatch(
            f"{tensor.file}: {tensor.name} has shape {list(tensor.shape)}; {of} implies {list(shape)}"
        )


def expect_matrix(tensor: Stored) -> None:
    """Raise TensorMismatch for a packed tensor that is no matrix."""
    if len(tensor.shape) != 2:
        raise TensorMismatch(
            f"{tensor.file}: {tensor.name} has shape {list(tensor.shape)}; packed weights have "
            "rows and columns"
        )


def setting(config: Mapping[str, Any], key: str, default: Any, allowed: tuple[Any, ...]) -> Any:
    """A setting of quantization_config; raises TensorMismatch for one that is not read."""
    value = config.get(key, default)
    value = default if value is None else value
    if value not in allowed:
        raise TensorMismatch(
            f"quantization_config: {key} {value!r} is not read; read are "
            f"{', '.join(map(str, allowed))}; give the model that was quantised"
        )
    return value
