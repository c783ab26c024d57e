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
    size = _group_size(config.get("group_size"))
    found: dict[str, Stored] = {}
    for name in [n for n in sorted(stored) if n.endswith(".qweight")]:
        base = name.removesuffix(".qweight")
        words = stored.pop(name)
        expect_matrix(words)
        zeros, scales = (_take(stored, f"{base}.{end}", words) for end in ("qzeros", "scales"))
        index = stored.pop(f"{base}.g_idx", None)
        if index is None and config.get("desc_act"):
            raise TensorMismatch(
                f"{words.file}: {base}.g_idx is missing, and desc_act of quantization_config says that "
                "inputs are not in order; give the whole checkpoint"
            )
        found[f"{base}.weight"] = _gptq(
            f"{base}.weight", words, zeros, scales, index, bits, less, size
        )
    return found


def _group_size(told: Any) -> int | None:
    """Inputs that share a scale, as a config says: 0 for all of a row, None where it says nothing."""
    if told is None or told == -1:
        return None if told is None else 0
    if type(told) is not int or told < 1:
        raise TensorMismatch(
            f"quantization_config: group_size {str(told)[:40]!r} is no number of inputs, nor -1 for all"
        )
    return told


def _take(stored: Files, name: str, of: StoredTensor) -> StoredTensor:
    if name not in stored:
        raise TensorMismatch(f"{of.file}: {of.name} is there and {name} is missing")
    return stored.pop(name)


def _groups(
    index: StoredTensor | None, columns: int, count: int, what: StoredTensor, size: int | None
) -> npt.NDArray[np.int64]:
    """The group of every input, of `size` inputs where a config says so; raises TensorMismatch."""
    wanted = None if size is None else -(-columns // size) if size else 1
    if wanted not in (None, count):
        raise TensorMismatch(
            f"{what.file}: {what.name} has scales for {count} groups of its {columns} inputs; group_size "
            f"{size or -1} of quantization_config makes {wanted}: one of them is of another model"
        )
    if index is None and size:
        return np.arange(columns) // size
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
    index: StoredTensor | None, bits: int, less: bool, size: int | None,
) -> Decoded:  # fmt: skip
    fields = 32 // bits
    columns, rows = words.shape[0] * fields, words.shape[1]
    count = scales.shape[0]
    expect(scales, (count, rows), words.name)
    expect(zeros, (count, -(-rows // fields)), words.name)
    groups = _groups(index, columns, count, words, size)

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
    size = _group_size(config.get("group_size"))
    found: dict[str, Stored] = {}
    for name in [n for n in sorted(stored) if n.endswith(".qweight")]:
        base = name.removesuffix(".qweight")
        words = stored.pop(name)
        expect_matrix(words)
        zeros = stored.pop(f"{base}.qzeros", None)
        if zeros is None and config.get("zero_point"):
            raise TensorMismatch(
                f"{words.file}: {base}.qzeros is missing, and zero_point of quantization_config says "
                "that there are zero points; give the whole checkpoint"
            )
        scales = _take(stored, f"{base}.scales", words)
        found[f"{base}.weight"] = _awq(f"{base}.weight", words, zeros, scales, size)
    return found


def _awq(
    name: str,
    words: StoredTensor,
    zeros: StoredTensor | None,
    scales: StoredTensor,
    size: int | None,
) -> Decoded:
    columns, rows = words.shape[0], 8 * words.shape[1]
    count = scales.shape[0]
    expect(scales, (count, rows), words.name)
    if zeros is not None:
        expect(zeros, (count, words.shape[1]), words.name)
    groups = _groups(None, columns, count, words, size)

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


def compressed(stored: Files, config: Mapping[str, Any]) -> dict[str, Stored]:
    """Take compressed-tensors' packed integers out of `stored`; raises TensorMismatch."""
    told = _schemes(config)
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
        _expect_scheme(told, words, shape, scales, zeros, index)
    return found


def _schemes(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What each group of modules is said to be packed as."""
    groups = (config.get("config_groups") or {}).values()
    told = [group.get("weights") for group in groups if isinstance(group, Mapping)]
    return [scheme for scheme in told if isinstance(scheme, Mapping)]


def _expect_scheme(
    told: list[Mapping[str, Any]], words: StoredTensor, shape: StoredTensor, scales: StoredTensor,
    zeros: StoredTensor | None, index: StoredTensor | None,
) -> None:  # fmt: skip
    """Raise TensorMismatch where no group of modules is said to be as these tensors are."""
    columns = int(shape.map()[1])
    bits = 4 if words.shape[1] == -(-columns * 4 // 32) else 8
    count = scales.shape[1] if len(scales.shape) > 1 else 1

    def differs(scheme: Mapping[str, Any]) -> str | None:
        size = scheme.get("group_size")
        if scheme.get("num_bits", bits) != bits:
            return f"num_bits {scheme['num_bits']}, and its words are of {bits}"
        if type(size) is int and size > 0 and -(-columns // size) != count:
            return f"group_size {size}, and there are scales for {count} groups of {columns} inputs"
        if scheme.get("symmetric") is False and zeros is None:
            return "zero points (symmetric false), and there are none"
        if scheme.get("actorder") in ("group", True) and index is None:
            return "inputs out of order (actorder), and weight_g_idx is missing"
        return None

    problems = [differs(scheme) for scheme in told]
    if problems and all(problems):
        raise TensorMismatch(
            f"{words.file}: {words.name} is said to have {problems[0]}; one of them is of another model"
        )


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
    groups, half = _groups(index, columns, count, words, None), 1 << (bits - 1)
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
