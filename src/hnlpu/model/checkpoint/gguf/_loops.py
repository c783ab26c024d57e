"""The loops over numbers of the formats that most files have: Q4_K, Q5_K and Q6_K.

Each number is made once, in float32, from its block's scale: what `_blocks` says with arrays, without
arrays in between.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]
_options: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(**_options)
def k_values(halves: UInt8, fifths: UInt8, steps: Float32, lows: Float32, out: Float32) -> None:
    """Set `out` [n, 256] to steps times numbers less lows, eight sub-blocks of 32.

    `halves` [n, 128] are the lower halves of two sub-blocks a byte, `fifths` [n, 32] a bit worth 16
    for each sub-block, or [0, 32] where there are none; `steps` and `lows` are [n, 8].
    """
    fifth = len(fifths) > 0
    for block in range(len(out)):
        for pair in range(4):
            low, high = 2 * pair, 2 * pair + 1
            step, less = steps[block, low], lows[block, low]
            next_step, next_less = steps[block, high], lows[block, high]
            for i in range(32):
                byte = halves[block, 32 * pair + i]
                first, second = byte & np.uint8(15), byte >> np.uint8(4)
                if fifth:
                    bits = fifths[block, i]
                    first |= ((bits >> np.uint8(low)) & np.uint8(1)) << np.uint8(4)
                    second |= ((bits >> np.uint8(high)) & np.uint8(1)) << np.uint8(4)
                out[block, 64 * pair + i] = step * np.float32(first) - less
                out[block, 64 * pair + 32 + i] = next_step * np.float32(second) - next_less


@njit(**_options)
def q6_values(halves: UInt8, uppers: UInt8, steps: Float32, out: Float32) -> None:
    """Set `out` [n, 256] to steps [n, 16] times numbers of six bits less 32.

    `halves` [n, 128] are lower halves of two numbers a byte, `uppers` [n, 64] upper bits of four.
    """
    for block in range(len(out)):
        for half in range(2):
            for field in range(4):
                shift = np.uint8(4 * (field // 2))
                for i in range(32):
                    low = halves[block, 64 * half + 32 * (field % 2) + i] >> shift
                    high = uppers[block, 32 * half + i] >> np.uint8(2 * field)
                    number = (low & np.uint8(15)) | ((high & np.uint8(3)) << np.uint8(4))
                    at = 128 * half + 32 * field + i
                    out[block, at] = steps[block, at // 16] * (np.float32(number) - np.float32(32))
