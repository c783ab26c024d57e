"""Turning weights into MXFP4 digits, and the policy that says how many."""

from hnlpu.quantize._mx import (
    BYTES_PER_BLOCK,
    SCALE_BIAS,
    TWICE_E2M1,
    dequantize,
    pack,
    quantize_digits,
    quantize_mxfp4,
    unpack,
    zero_blocks,
)
from hnlpu.quantize._policy import FORMATS, PRESETS, Format, Policy, make_policy

__all__ = [
    "BYTES_PER_BLOCK",
    "FORMATS",
    "PRESETS",
    "SCALE_BIAS",
    "TWICE_E2M1",
    "Format",
    "Policy",
    "dequantize",
    "make_policy",
    "pack",
    "quantize_digits",
    "quantize_mxfp4",
    "unpack",
    "zero_blocks",
]
