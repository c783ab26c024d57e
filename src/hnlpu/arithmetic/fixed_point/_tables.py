"""Tables of the vector unit's functions: computed once in float64, then integers.

Between two entries all functions are straight lines.  UNIT is one: 2^24.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]

UNIT_FRACTION = 24
UNIT = 1 << UNIT_FRACTION

LOG2_E_FRACTION = 20
LOG2_E = math.floor(math.log2(math.e) * 2**LOG2_E_FRACTION + 0.5)

EXP_INDEX_BITS = 8
"""2^-(k / 256), k = 0 .. 256."""
SIGMOID_INDEX_BITS = 9
SIGMOID_STEP_BITS = 11
"""sigmoid(k / 32), k = 0 .. 512: an entry every 2^11 values of 2^-16."""
NORMAL_STEP_BITS = 10
"""The normal distribution up to k / 64, k = 0 .. 512: an entry every 2^10 values of 2^-16."""
SINE_INDEX_BITS = 8
SINE_STEP_BITS = 16
"""sin(k / 256 quarter turns), k = 0 .. 256; 16 bits of an angle between two entries."""
LARGEST_ROPE_FACTOR = 64.0
"""Above, a product of a value and a cosine would leave 64 bits; YaRN's is 1.35 for gpt-oss."""
TURN_BITS = 32
"""A whole turn is 2^32."""


def _table(values: list[float]) -> Int64:
    return np.array([math.floor(v * UNIT + 0.5) for v in values], np.int64)


EXP_TABLE = _table([2.0 ** (-k / 256) for k in range(257)])
SIGMOID_TABLE = _table([1 / (1 + math.exp(-k / 32)) for k in range(513)])
SOFTPLUS_TABLE = _table([math.log1p(math.exp(-k / 32)) for k in range(513)])
"""ln(1 + e^-x): what softplus has beyond max(x, 0)."""
NORMAL_TABLE = _table([0.5 * (1 + math.erf(k / 64 / math.sqrt(2))) for k in range(513)])


def sine_table(factor: float) -> Int64:
    """factor * sin of 0 .. 1 quarter turns in 256 steps: [257]; the factor is YaRN's."""
    return _table([factor * math.sin(math.pi / 2 * k / 256) for k in range(257)])


def turns(frequencies: npt.NDArray[np.float32]) -> Int64:
    """Angle per position [d / 2] in 2^-32 turns of frequencies in radians per position."""
    per_turn = np.asarray(frequencies, np.float64) / (2 * math.pi)
    return np.floor(per_turn * 2.0**TURN_BITS + 0.5).astype(np.int64)
