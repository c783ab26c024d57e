"""Random blocks of ggml's formats, and what the gguf package says that they are."""

from __future__ import annotations

import gguf
import numpy as np
from gguf.quants import dequantize

Type = gguf.GGMLQuantizationType
Random = np.random.Generator
Array = np.ndarray

HALVES = {
    "Q4_0": (0,), "Q4_1": (0, 2), "Q5_0": (0,), "Q5_1": (0, 2), "Q8_0": (0,), "Q2_K": (80, 82),
    "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,), "IQ4_NL": (0,),
    "IQ4_XS": (0,), "TQ1_0": (52,), "TQ2_0": (64,), "MXFP4": (),
}  # fmt: skip
"""Where a block's half-precision numbers lie."""
TYPES = [*HALVES, "F16", "BF16", "F32"]
LARGEST = {"Q8_0": 100, "Q2_K": 45, "Q3_K": 120, "Q4_K": 900, "Q5_K": 1900, "Q6_K": 4000,
           "IQ4_NL": 120, "IQ4_XS": 3800}  # fmt: skip
"""About the largest number of a block whose scale is one."""


def random_blocks(random: Random, kind: str, shape: tuple[int, ...], size: float) -> Array:
    """Bytes [..., bytes of a row] of numbers up to about `size`; plain formats as their numbers."""
    if kind in ("F16", "BF16", "F32"):
        values = random.normal(0, size / 3, shape).astype(np.float32)
        if kind == "BF16":
            return (values.view(np.uint32) >> 16).astype(np.uint16)
        return values.astype(np.float16) if kind == "F16" else values
    block, width = gguf.GGML_QUANT_SIZES[Type[kind]]
    rows = int(np.prod(shape[:-1]))
    raw = random.integers(0, 256, (rows, shape[-1] // block, width), dtype=np.uint8)
    for at in HALVES[kind]:
        scale = random.uniform(0.2, 1, raw.shape[:2]) * size / LARGEST.get(kind, 16)
        raw[..., at : at + 2] = scale.astype("<f2")[..., None].view(np.uint8)
    if kind == "MXFP4":
        raw[..., 0] = 125 + int(np.log2(size / 1.5)) + random.integers(-1, 1, raw.shape[:2])
    return raw.reshape(*shape[:-1], -1)


def values_of(raw: Array, kind: str) -> Array:
    """What the gguf package says that bytes are, in float32."""
    if kind == "BF16":
        return (raw.astype(np.uint32) << 16).view(np.float32)
    if kind in ("F16", "F32"):
        return raw.astype(np.float32)
    return np.asarray(dequantize(raw, Type[kind]), np.float32)
