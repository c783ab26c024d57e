"""Elements under scales: FP8, INT8, and 4-bit elements two a byte, whatever the scales' grid.

    NAME          FP8 or INT8 [rows, columns], or bytes of two E2M1 [rows, columns / 2]
    NAME_scale..  one number, one a row, or a grid of blocks    ─► NAME, float32 [rows, columns]

`weight_scale_inv` (DeepSeek, Qwen) multiplies as `weight_scale` does: it is the inverse of what the
quantiser multiplied by.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hnlpu.arithmetic.mx import TWICE_E2M1
from hnlpu.errors import TensorMismatch
from hnlpu.model.checkpoint._part import Stored
from hnlpu.model.checkpoint._tensors import StoredTensor
from hnlpu.model.checkpoint.packed._decoded import (
    FLOAT8,
    Array,
    Decoded,
    Files,
    Float32,
    float8,
    unsigned,
    whole,
)

SCALES = ("_scale_inv", "_scale")
E2M1 = TWICE_E2M1.astype(np.float32) / 2
NVFP4_BLOCK, MXFP4_BLOCK = 16, 32


def scaled(stored: Files, config: dict[str, Any]) -> dict[str, Stored]:
    """Take FP8, INT8, NVFP4 and MXFP4 matrices with their scales out of `stored`, decoded.

    Raises TensorMismatch for scales that do not lie on the matrix.
    """
    block = _block_size(config)
    found: dict[str, Stored] = {}
    for name in sorted(stored):
        tensor = stored.get(name)
        if tensor is None or name.endswith((*SCALES, "_blocks")):
            continue
        base = name.removesuffix("_packed")
        scale = next((s for end in SCALES if (s := stored.get(base + end))), None)
        four_bits = tensor.dtype == "U8" or (tensor.dtype == "I8" and _is_power(scale))
        if four_bits and scale is not None and _four_bit_block(tensor, scale) is not None:
            found[base] = _four_bits(stored, base, tensor, scale)
        elif tensor.dtype in FLOAT8 or (tensor.dtype == "I8" and scale is not None):
            if scale is None and config.get("quant_method"):
                raise TensorMismatch(
                    f"{tensor.file}: {name} is {tensor.dtype} and has no {base}_scale, though config.json "
                    f"says that it is quantised ({config['quant_method']}); give the whole checkpoint"
                )
            found[base] = _eight_bits(stored, base, tensor, scale, block)
        else:
            continue
        del stored[name]
    return found


def _block_size(config: dict[str, Any]) -> Any:
    """Rows and columns that a scale covers, as a config says: blocks at the end may be cut."""
    if config.get("weight_block_size"):
        return config["weight_block_size"]
    groups = config.get("config_groups")
    of = [group.get("weights") for group in (groups or {}).values() if isinstance(group, dict)]
    told = [w["block_structure"] for w in of if isinstance(w, dict) and w.get("block_structure")]
    if any(block != told[0] for block in told):
        raise TensorMismatch(
            "quantization_config: config_groups have blocks of several sizes, which is not read; "
            "give the model that was quantised"
        )
    return told[0] if told else None


def _is_power(scale: StoredTensor | None) -> bool:
    return scale is not None and scale.dtype in ("U8", "F8_E8M0")


def _eight_bits(
    stored: Files, name: str, tensor: StoredTensor, scale: StoredTensor | None, block: Any
) -> Decoded:
    zeros = stored.pop(f"{name}_zero_point", None)
    points = None if zeros is None else np.asarray(zeros.map(), np.float32)
    table = float8(tensor.dtype) if tensor.dtype in FLOAT8 else None
    grid = _grid(tensor, tensor.shape, scale, block)
    if scale is not None:
        stored.pop(scale.name, None)

    def decode(box: tuple[slice, ...]) -> Array:
        every = slice(0, tensor.shape[-1], 1)
        raw = tensor.read((*box, every))
        values = raw.astype(np.float32) if table is None else table[raw]
        if points is not None:
            values -= _spread(points, tensor.shape, None)(box)
        return values if grid is None else values * grid(box)

    return Decoded(name, tensor.shape, tensor.file, decode)


def _grid(
    tensor: StoredTensor, shape: tuple[int, ...], scale: StoredTensor | None, block: Any
) -> Callable[[tuple[slice, ...]], Float32] | None:
    """The scale of every number in some rows; raises TensorMismatch where scales do not fit."""
    if scale is None:
        return None
    try:
        return _spread(whole(scale), shape, block)
    except ValueError as error:
        raise TensorMismatch(
            f"{scale.file}: {scale.name} {list(scale.shape)} is no grid of scales on {tensor.name} "
            f"{list(shape)} ({error})"
        ) from None


def _spread(
    scale: Array, shape: tuple[int, ...], block: Any
) -> Callable[[tuple[slice, ...]], Float32]:
    """Scales [..., grid rows, grid columns] on a shape [..., rows, columns]."""
    rows, columns = shape[-2:]
    lead = shape[:-2]
    if scale.size == 1:
        scale = scale.reshape(*(1 for _ in lead), 1, 1)
    elif scale.ndim == 1 and not lead and len(scale) == rows:
        scale = scale.reshape(rows, 1)
    elif lead and scale.shape == lead:
        scale = scale.reshape(*lead, 1, 1)
    if scale.ndim != len(shape):
        raise ValueError("another number of axes")
    tall, wide = (
        _step(length, count, given)
        for length, count, given in zip(
            (rows, columns), scale.shape[-2:], block or (None, None), strict=True
        )
    )

    def of(box: tuple[slice, ...]) -> Float32:
        *first, asked = box
        lines = np.arange(rows)[asked] // tall
        of_lead = scale[tuple(first)] if scale.shape[:-2] == lead else scale
        part = of_lead[..., lines, :]
        return part if wide >= columns else np.repeat(part, wide, axis=-1)[..., :columns]

    return of


def _step(length: int, count: int, given: int | None) -> int:
    """Numbers that a scale covers along an axis of `length` with `count` scales."""
    if count == 1:
        return length
    if given and -(-length // given) == count:
        return int(given)
    if given:
        raise ValueError(
            f"{count} scales for {length}; blocks of {given} are said to have one each"
        )
    if length % count:
        raise ValueError(f"{count} scales for {length}")
    return length // count


def _four_bit_block(tensor: StoredTensor, scale: StoredTensor) -> int | None:
    """Elements that share a scale where two elements lie in a byte, else None."""
    if tensor.shape[:-1] != scale.shape[:-1] or not scale.shape or not scale.shape[-1]:
        return None
    block, rest = divmod(2 * tensor.shape[-1], scale.shape[-1])
    wanted = MXFP4_BLOCK if _is_power(scale) else NVFP4_BLOCK
    return block if not rest and block == wanted else None


def _four_bits(stored: Files, name: str, tensor: StoredTensor, scale: StoredTensor) -> Decoded:
    """NVFP4 (a second scale for all: ModelOpt multiplies, compressed-tensors divides), or MXFP4."""
    del stored[scale.name]
    shape = (*tensor.shape[:-1], 2 * tensor.shape[-1])
    times = stored.pop(f"{name}_scale_2", None)
    divided = stored.pop(f"{name}_global_scale", None)
    if times is None and divided is None and not _is_power(scale):
        raise TensorMismatch(
            f"{tensor.file}: {tensor.name} is NVFP4, and neither {name}_scale_2 nor {name}_global_scale "
            "is there, by which all of its scales are multiplied; give the whole checkpoint"
        )
    scales = whole(scale)
    if times is not None:
        scales = scales * _per_matrix(whole(times), shape)
    if divided is not None:
        scales = scales / _per_matrix(whole(divided), shape)
    block = shape[-1] // scales.shape[-1]

    def decode(box: tuple[slice, ...]) -> Array:
        codes = unsigned(tensor.read((*box, slice(0, tensor.shape[-1], 1))), 4)
        values = E2M1[codes].reshape(*codes.shape[:-1], -1, block)
        return (values * scales[box][..., None]).reshape(codes.shape)

    return Decoded(name, shape, tensor.file, decode)


def _per_matrix(scale: Array, shape: tuple[int, ...]) -> Array:
    """One number for all, or one for each matrix of a stack."""
    if scale.size == 1:
        return scale.reshape(1)
    return scale.reshape(*shape[:-2], 1, 1)
