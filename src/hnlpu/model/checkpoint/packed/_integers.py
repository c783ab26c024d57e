"""Integers in 32-bit words under scales of groups: GPTQ, AWQ, compressed-tensors' packed weights.

GPTQ  qweight [in / n, out]  n inputs a word   qzeros [groups, out / n]  scales [groups, out]
AWQ   qweight [in, out / 8]  8 outputs a word, in the order 0 2 4 6 1 3 5 7
c.-t. weight_packed [out, in / n]  n inputs a word, less 2^(bits - 1)   scale [out, groups]

weight = (integer - zero point of its group) * scale of its group
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.errors import TensorMismatch
from hnlpu.model.checkpoint._part import Stored
from hnlpu.model.checkpoint._tensors import StoredTensor
from hnlpu.model.checkpoint.packed._decoded import (
    Decoded,
    Files,
    Float32,
    expect,
    expect_matrix,
    matrix,
    setting,
    unsigned,
    whole,
)

AWQ_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)
"""Where each of a word's eight outputs lies: output 1 in field 4, and so on."""


def gptq(stored: Files, config: Mapping[str, Any]) -> dict[str, Stored]:
    """Take GPTQ's layers out of `stored`; raises TensorMismatch."""
    bits = setting(config, "bits", 4, (2, 4, 8))
    # version 1 keeps every zero point less one
    less = setting(config, "checkpoint_format", "gptq", ("gptq", "gptq_v2")) == "gptq"
    found: dict[str, Stored] = {}
    for name in [n for n in sorted(stored) if n.endswith(".qweight")]:
        base = name.removesuffix(".qweight")
        words = stored.pop(name)
        expect_matrix(words)
        zeros, scales = (_take(stored, f"{base}.{end}", words) for end in ("qzeros", "scales"))
        index = stored.pop(f"{base}.g_idx", None)
        found[f"{base}.weight"] = _gptq(f"{base}.weight", words, zeros, scales, index, bits, less)
    return found


def _take(stored: Files, name: str, of: StoredTensor) -> StoredTensor:
    if name not in stored:
        raise TensorMismatch(f"{of.file}: {of.name} is there and {name} is missing")
    return stored.pop(name)


def _groups(
    index: StoredTensor | None, columns: int, count: int, what: StoredTensor
) -> npt.NDArray[np.int64]:
    """The group of every input; raises TensorMismatch."""
    if index is None:
        if columns % count:
            raise TensorMismatch(f"{what.file}: {what.name} has {columns} inputs in {count} groups")
        return np.arange(columns) // (columns // count)
    expect(index, (columns,), what.name)
    groups = np.asarray(index.map(), np.int64)
    if len(groups) and not 0 <= groups.min() <= groups.max() < count:
        raise TensorMismatch(f"{index.file}: {index.name} names groups beyond {count}")
    return groups


def _gptq(
    name: str, words: StoredTensor, zeros: StoredTensor, scales: StoredTensor,
    index: StoredTensor | None, bits: int, less: bool,
) -> Decoded:  # fmt: skip
    fields = 32 // bits
    columns, rows = words.shape[0] * fields, words.shape[1]
    count = scales.shape[0]
    expect(scales, (count, rows), words.name)
    expect(zeros, (count, -(-rows // fields)), words.name)
    groups = _groups(index, columns, count, words)

    def decode(asked: slice) -> Float32:
        points = unsigned(zeros.map(), bits)[:, asked].astype(np.int32)
        if less:
            points = (points + 1) & ((1 << bits) - 1)
        steps = whole(scales)[:, asked].astype(np.float32)
        integers = unsigned(words.read((slice(0, words.shape[0], 1), asked)).T, bits)
        return _times(integers, points.T, steps.T, groups)

    return matrix(name, (rows, columns), words.file, decode)


def _times(
    integers: npt.NDArray[Any], points: npt.NDArray[Any], steps: Float32,
    groups: npt.NDArray[np.int64],
) -> Float32:  # fmt: skip
    """(integers - points) * steps [rows, columns], with a point and a step for each group."""
    values = integers.astype(np.float32)
    values -= points.astype(np.float32)[:, groups]
    values *= steps[:, groups]
    return values


def awq(stored: Files, config: Mapping[str, Any]) -> dict[str, Stored]:
    """Take AWQ's layers out of `stored`; raises TensorMismatch."""
    setting(config, "bits", 4, (4,))
    setting(config, "version", "gemm", ("gemm", "GEMM"))
    found: dict[str, Stored] = {}
    for name in [n for n in sorted(stored) if n.endswith(".qweight")]:
        base = name.removesuffix(".qweight")
        words = stored.pop(name)
        expect_matrix(words)
        zeros = stored.pop(f"{base}.qzeros", None)
        scales = _take(stored, f"{base}.scales", words)
        found[f"{base}.weight"] = _awq(f"{base}.weight", words, zeros, scales)
    return found


def _awq(
    name: str, words: StoredTensor, zeros: StoredTensor | None, scales: StoredTensor
) -> Decoded:
    columns, rows = words.shape[0], 8 * words.shape[1]
    count = scales.shape[0]
    expect(scales, (count, rows), words.name)
    if zeros is not None:
        expect(zeros, (count, words.shape[1]), words.name)
    groups = _groups(None, columns, count, words)

    def outputs(raw: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        nibbles = unsigned(raw, 4).reshape(len(raw), -1, 8)
        return nibbles[..., AWQ_ORDER].reshape(len(raw), -1)

    def decode(asked: slice) -> Float32:
        first = asked.start // 8
        part = slice(asked.start - 8 * first, asked.stop - 8 * first)
        whole_words = slice(first, -(-asked.stop // 8), 1)
        every = slice(0, columns, 1)
        integers = outputs(words.read((every, whole_words)))[:, part].T
        points = np.full((count, asked.stop - asked.start), 8, np.uint8)  # none: symmetric
        if zeros is not None:
            points = outputs(zeros.map()[:, whole_words])[:, part]
        return _times(integers, points.T, whole(scales)[:, asked].T.astype(np.float32), groups)

    return matrix(name, (rows, columns), words.file, decode)


def compressed(stored: Files) -> dict[str, Stored]:
    """Take compressed-tensors' packed integers out of `stored`; raises TensorMismatch."""
    found: dict[str, Stored] = {}
    for name in [n for n in sorted(stored) if n.endswith("weight_packed")]:
        words = stored[name]
        if words.dtype != "I32":
            continue  # two elements of floating point a byte: `_scaled`
        base = name.removesuffix("_packed")
        del stored[name]
        shape, scales = (_take(stored, f"{base}_{end}", words) for end in ("shape", "scale"))
        zeros, index = (stored.pop(f"{base}_{end}", None) for end in ("zero_point", "g_idx"))
        found[base] = _compressed(base, words, shape, scales, zeros, index)
    return found


def _compressed(
    name: str, words: StoredTensor, shape: StoredTensor, scales: StoredTensor,
    zeros: StoredTensor | None, index: StoredTensor | None,
) -> Decoded:  # fmt: skip
    expect_matrix(words)
    expect(shape, (2,), words.name)
    rows, columns = (int(n) for n in shape.map())
    bits = next((b for b in (4, 8) if words.shape == (rows, -(-columns * b // 32))), None)
    if bits is None:
        raise TensorMismatch(
            f"{words.file}: {words.name} {list(words.shape)} is not of 4- or 8-bit integers for "
            f"{[rows, columns]}; other widths are not read: give the model that was quantised"
        )
    if len(scales.shape) < 2:  # one for all, or one a row
        count = 1
        steps = np.broadcast_to(whole(scales).reshape(-1, 1), (rows, 1))
    else:
        count = scales.shape[1]
        expect(scales, (rows, count), words.name)
        steps = whole(scales)
    groups, half = _groups(index, columns, count, words), 1 << (bits - 1)
    points = np.full((rows, count), half, np.uint8)
    if zeros is not None and zeros.dtype == "I32":
        expect(zeros, (-(-rows * bits // 32), count), words.name)
        points = unsigned(zeros.map().T, bits)[:, :rows].T
    elif zeros is not None:
        points = np.broadcast_to(zeros.map().astype(np.int32) + half, (rows, count))

    def decode(asked: slice) -> Float32:
        integers = unsigned(words.read((asked, slice(0, words.shape[1], 1))), bits)[:, :columns]
        return _times(integers, points[asked], steps[asked], groups)

    return matrix(name, (rows, columns), words.file, decode)
