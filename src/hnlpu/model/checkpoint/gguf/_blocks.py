"""Blocks of ggml -> float32: how each format packs its numbers, and what they are.

    bytes of some blocks [blocks, bytes] ─► float32 [blocks, numbers of a block]

Every function states its block as ggml lays it out (github.com/ggml-org/ggml, src/ggml-common.h) and
computes in float32 in the order of ggml's own dequantiser, so that the numbers are its bits.  `d`
and `m` are half-precision scale and offset.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.mx import TWICE_E2M1
from hnlpu.model.checkpoint.gguf._loops import k_values, q6_values

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Blocks:
    """A format: its name, numbers and bytes of a block, and how blocks become numbers."""

    name: str
    size: int
    bytes: int
    decode: Callable[[UInt8], Float32]


def _half(raw: UInt8) -> Float32:
    """Half-precision numbers of bytes [..., 2 n]: float32 [..., n]."""
    return np.ascontiguousarray(raw).view("<f2").astype(np.float32)


def _nibbles(raw: UInt8) -> UInt8:
    """Low halves of all bytes, then high halves: [..., n] -> [..., 2, n]."""
    return np.stack([raw & np.uint8(15), raw >> np.uint8(4)], axis=-2)


def _flat(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values.reshape(len(values), -1)


def _f32(raw: UInt8) -> Float32:
    return np.ascontiguousarray(raw).view("<f4")


def _bf16(raw: UInt8) -> Float32:
    bits = np.ascontiguousarray(raw).view("<u2").astype(np.uint32) << 16
    return bits.view(np.float32)


def _q4_0(raw: UInt8) -> Float32:
    """d, 16 bytes: byte j holds number j and number j + 16."""
    d, q = _half(raw[:, :2]), _flat(_nibbles(raw[:, 2:]))
    return d * (q.astype(np.float32) - 8)


def _q4_1(raw: UInt8) -> Float32:
    """d, m, 16 bytes."""
    d, m, q = _half(raw[:, :2]), _half(raw[:, 2:4]), _flat(_nibbles(raw[:, 4:]))
    return d * q.astype(np.float32) + m


def _fifth_bits(raw: UInt8) -> UInt8:
    """Bits of 4 bytes, the lowest first, each worth 16: [blocks, 32]."""
    bits = np.unpackbits(np.ascontiguousarray(raw), axis=1, bitorder="little")
    return bits << np.uint8(4)


def _q5_0(raw: UInt8) -> Float32:
    """d, a fifth bit for each of 32 numbers, 16 bytes."""
    q = _flat(_nibbles(raw[:, 6:])) | _fifth_bits(raw[:, 2:6])
    return _half(raw[:, :2]) * (q.astype(np.float32) - 16)


def _q5_1(raw: UInt8) -> Float32:
    """d, m, fifth bits, 16 bytes."""
    q = _flat(_nibbles(raw[:, 8:])) | _fifth_bits(raw[:, 4:8])
    return _half(raw[:, :2]) * q.astype(np.float32) + _half(raw[:, 2:4])


def _q8_0(raw: UInt8) -> Float32:
    """d, 32 signed bytes."""
    return _half(raw[:, :2]) * raw[:, 2:].view(np.int8).astype(np.float32)


def _quarters(raw: UInt8) -> UInt8:
    """Two-bit fields of bytes [blocks, 64]: [blocks, 2 halves, 4 fields, 32]."""
    halves = raw.reshape(len(raw), 2, 1, 32)
    steps = np.arange(0, 8, 2, dtype=np.uint8).reshape(1, 1, 4, 1)
    fields: UInt8 = (halves >> steps) & np.uint8(3)
    return fields


def _q2_k(raw: UInt8) -> Float32:
    """16 bytes of scale (low) and offset (high), 64 bytes of four numbers, d, m of the offsets."""
    scales = raw[:, :16]
    d, m = _half(raw[:, 80:82]), _half(raw[:, 82:84])
    steps, lows = (d * (scales & 15).astype(np.float32), m * (scales >> 4).astype(np.float32))
    q = _quarters(raw[:, 16:80]).reshape(len(raw), 16, 16).astype(np.float32)
    return _flat(steps[..., None] * q - lows[..., None])


def _q3_k(raw: UInt8) -> Float32:
    """32 bytes of third bits, 64 bytes of four numbers, 12 bytes of 16 scales of six bits, d."""
    packed, d = raw[:, 96:108], _half(raw[:, 108:110])
    low = _flat(_nibbles(packed[:, :8]))
    steps = np.arange(0, 8, 2, dtype=np.uint8).reshape(1, 4, 1)
    high = _flat((packed[:, None, 8:] >> steps) & np.uint8(3))
    scales = (low | (high << np.uint8(4))).astype(np.float32) - 32
    bit = np.arange(8, dtype=np.uint8).reshape(1, 8, 1)
    third = (raw[:, None, :32] >> bit) & np.uint8(1)
    q = _quarters(raw[:, 32:96]).reshape(len(raw), 8, 32).astype(np.float32)
    q -= np.where(third, np.float32(0), np.float32(4))
    return _flat((d * scales)[..., None] * q.reshape(len(raw), 16, 16))


def _k_scales(raw: UInt8) -> tuple[UInt8, UInt8]:
    """Eight scales and eight offsets of six bits in 12 bytes."""
    first, second, third = raw[:, :4], raw[:, 4:8], raw[:, 8:12]
    scales = [first & 63, (third & 15) | ((first >> 6) << 4)]
    offsets = [second & 63, (third >> 4) | ((second >> 6) << 4)]
    return np.concatenate(scales, axis=1), np.concatenate(offsets, axis=1)


def _k_values(raw: UInt8, halves: UInt8, fifths: UInt8) -> Float32:
    """d scale q - m offset of eight sub-blocks; d, m and scales come first."""
    scales, offsets = _k_scales(raw[:, 4:16])
    steps = _half(raw[:, :2]) * scales.astype(np.float32)
    lows = _half(raw[:, 2:4]) * offsets.astype(np.float32)
    values = np.empty((len(raw), 256), np.float32)
    k_values(halves, fifths, steps, lows, values)
    return values


def _q4_k(raw: UInt8) -> Float32:
    """d, m, 12 bytes of scales, 4 times 32 bytes of two sub-blocks."""
    return _k_values(raw, raw[:, 16:], raw[:0, 16:48])


def _q5_k(raw: UInt8) -> Float32:
    """d, m, 12 bytes of scales, 32 bytes of fifth bits (a bit for each sub-block), 128 bytes."""
    return _k_values(raw, raw[:, 48:], raw[:, 16:48])


def _q6_k(raw: UInt8) -> Float32:
    """128 bytes of low halves, 64 bytes of two upper bits, 16 signed scales, d."""
    steps = _half(raw[:, 208:210]) * raw[:, 192:208].view(np.int8).astype(np.float32)
    values = np.empty((len(raw), 256), np.float32)
    q6_values(raw[:, :128], raw[:, 128:192], steps, values)
    return values


_TWICE_E2M1 = TWICE_E2M1.astype(np.float32)


def _mxfp4(raw: UInt8) -> Float32:
    """An E8M0 scale and 16 bytes of two E2M1 numbers."""
    exponents = raw[:, :1].astype(np.int32) - 128  # of twice the numbers
    scale = np.ldexp(np.float32(1), exponents).astype(np.float32)
    values: Float32 = scale * _TWICE_E2M1[_flat(_nibbles(raw[:, 1:]))]
    return values


def _tq1_0(raw: UInt8) -> Float32:
    """Ternary, five numbers a byte as a fraction of 256 in base 3: 32 + 16 bytes, 4 bytes, d."""
    powers = np.array([1, 3, 9, 27, 81], np.uint8).reshape(1, 5, 1)
    parts = [
        raw[:, None, part] * powers[:, :digits]  # modulo 256, as the format means it
        for part, digits in ((slice(0, 32), 5), (slice(32, 48), 5), (slice(48, 52), 4))
    ]
    q = np.concatenate([_flat(part) for part in parts], axis=1).astype(np.uint16)
    trits = ((q * 3) >> 8).astype(np.float32) - 1
    return _half(raw[:, 52:54]) * trits


def _tq2_0(raw: UInt8) -> Float32:
    """Ternary, four numbers a byte, d."""
    trits = _flat(_quarters(raw[:, :64])).astype(np.float32) - 1
    return _half(raw[:, 64:66]) * trits


_IQ4 = np.array(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32
)


def _iq4_nl(raw: UInt8) -> Float32:
    """d, 16 bytes of two indices into a table of 16 numbers."""
    values: Float32 = _half(raw[:, :2]) * _IQ4[_flat(_nibbles(raw[:, 2:]))]
    return values


def _iq4_xs(raw: UInt8) -> Float32:
    """d, upper bits and lower halves of eight scales, 128 bytes of indices into the table."""
    high = np.ascontiguousarray(raw[:, 2:4]).view("<u2")
    steps = np.arange(0, 16, 2, dtype=np.uint16).reshape(1, 8)
    low = raw[:, 4:8, None] >> np.array([0, 4], np.uint8).reshape(1, 1, 2)
    scales = _flat(low & np.uint8(15)) | (((high >> steps) & 3) << 4).astype(np.uint8)
    d = _half(raw[:, :2]) * (scales.astype(np.float32) - 32)
    q = _nibbles(raw[:, 8:].reshape(len(raw), 8, 16)).reshape(len(raw), 8, 32)
    return _flat(d[..., None] * _IQ4[q])


BLOCKS: dict[int, Blocks] = {
    0: Blocks("F32", 1, 4, _f32),
    1: Blocks("F16", 1, 2, _half),
    2: Blocks("Q4_0", 32, 18, _q4_0),
    3: Blocks("Q4_1", 32, 20, _q4_1),
    6: Blocks("Q5_0", 32, 22, _q5_0),
    7: Blocks("Q5_1", 32, 24, _q5_1),
    8: Blocks("Q8_0", 32, 34, _q8_0),
    10: Blocks("Q2_K", 256, 84, _q2_k),
    11: Blocks("Q3_K", 256, 110, _q3_k),
    12: Blocks("Q4_K", 256, 144, _q4_k),
    13: Blocks("Q5_K", 256, 176, _q5_k),
    14: Blocks("Q6_K", 256, 210, _q6_k),
    20: Blocks("IQ4_NL", 32, 18, _iq4_nl),
    23: Blocks("IQ4_XS", 256, 136, _iq4_xs),
    30: Blocks("BF16", 1, 2, _bf16),
    34: Blocks("TQ1_0", 256, 54, _tq1_0),
    35: Blocks("TQ2_0", 256, 66, _tq2_0),
    39: Blocks("MXFP4", 32, 17, _mxfp4),
}
"""Formats that are read, by ggml's numbers."""

NAMES = {
    9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 21: "IQ3_S",
    22: "IQ2_S", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 40: "NVFP4",
}  # fmt: skip
"""Formats that are not."""
