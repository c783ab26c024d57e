"""The vector unit in `chip` numerics: fixed point, specified bit by bit (docs/vector-unit.md).

    float parameters ──► to_fixed ──► values (32 bits, units of 2^-16) ──► norm, RoPE, attention,
    integer sums of arrays ──► values                                       SwiGLU, routing, sampling

The emulator computes with these functions, and the RTL of a chip is held to them bit for bit.
"""

from hnlpu.arithmetic.fixed_point._arrays import from_sums, quantize_values, row_shifts
from hnlpu.arithmetic.fixed_point._attention import (
    KEY_BITS,
    KEY_FRACTION,
    attend,
    query_factor,
    to_keys,
)
from hnlpu.arithmetic.fixed_point._fixed import FRACTION, VALUE_BITS, rounded, saturated, to_fixed
from hnlpu.arithmetic.fixed_point._functions import divided, exponential, inverse_root, sigmoid
from hnlpu.arithmetic.fixed_point._sampling import Random, chip_sample, inverse_temperature
from hnlpu.arithmetic.fixed_point._sharded import (
    AttendedPart,
    attend_part,
    largest_scores,
    merge_parts,
)
from hnlpu.arithmetic.fixed_point._tables import (
    EXP_TABLE,
    LOG2_E,
    SIGMOID_TABLE,
    UNIT_FRACTION,
    sine_table,
    turns,
)
from hnlpu.arithmetic.fixed_point._vectors import (
    add,
    mix,
    norm,
    norm_epsilon,
    norm_weights,
    rotate,
    rotations,
    route,
    swiglu,
)

__all__ = [
    "EXP_TABLE",
    "FRACTION",
    "KEY_BITS",
    "KEY_FRACTION",
    "LOG2_E",
    "SIGMOID_TABLE",
    "UNIT_FRACTION",
    "VALUE_BITS",
    "AttendedPart",
    "Random",
    "add",
    "attend",
    "attend_part",
    "chip_sample",
    "divided",
    "exponential",
    "from_sums",
    "inverse_root",
    "inverse_temperature",
    "largest_scores",
    "merge_parts",
    "mix",
    "norm",
    "norm_epsilon",
    "norm_weights",
    "quantize_values",
    "query_factor",
    "rotate",
    "rotations",
    "rounded",
    "route",
    "row_shifts",
    "saturated",
    "sigmoid",
    "sine_table",
    "swiglu",
    "to_fixed",
    "to_keys",
    "turns",
]
