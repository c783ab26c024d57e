"""Numbers inside Triton kernels: float64 steps that give the same bits on a GPU and a CPU.

Nothing but IEEE sums, products and quotients, each rounded once, so that what
the interpreter computes on a CPU is what a GPU computes; kernels that use
them are compiled without fused multiply-add (`EXACT`).
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

EXACT: dict[str, Any] = {"enable_fp_fusion": False}
"""Launch options of every kernel whose float32 results have a stated order of operations."""


@triton.jit
def power_of_two(e):
    """2^e in float64 for integers e from -1022 to 1023."""
    return ((e.to(tl.int64) + 1023) << 52).to(tl.float64, bitcast=True)


@triton.jit
def nearest(x):
    """The whole number nearest to float64 x, half to even; |x| below 2^51."""
    return (x + 6755399441055744.0) - 6755399441055744.0


@triton.jit
def exponential(x):
    """e^x in float64, within 0.53 units of its last place, for x cut to -110 .. 110.

    Beyond that the exp, and the sigmoid of it, are 0, 1 or infinite in float32
    all the same, or so small or large that they round to the same.  The sum
    1 + r + r^2 / 2 + ... keeps what its two largest steps round off.
    """
    x = tl.minimum(tl.maximum(x, -110.0), 110.0)
    k = nearest(x * 1.44269504088896338700)
    high = x - k * 6.93147180369123816490e-01  # exact: the constant ends in zeros
    low = k * 1.90821492927058770002e-10
    r = high - low
    tail = (high - r) - low
    # r^2 = square + error, by Dekker's product
    cut = r * 134217729.0
    upper = cut - (cut - r)
    lower = r - upper
    square = r * r
    error = ((upper * upper - square) + 2.0 * (upper * lower)) + lower * lower
    q = r * 1.14707455977297247139e-11 + 1.60590438368216145994e-10  # 1 / 14!, 1 / 13!
    q = q * r + 2.08767569878680989792e-9
    q = q * r + 2.50521083854417187751e-8
    q = q * r + 2.75573192239858906526e-7
    q = q * r + 2.75573192239858906526e-6
    q = q * r + 2.48015873015873015873e-5
    q = q * r + 1.98412698412698412698e-4
    q = q * r + 1.38888888888888888889e-3
    q = q * r + 8.33333333333333333333e-3
    q = q * r + 4.16666666666666666667e-2
    q = q * r + 1.66666666666666666667e-1  # 1 / 3!
    rest = tail + ((tail * r + error * 0.5) + (r * square) * q)
    first = r + 1.0
    lost = r - (first - 1.0)
    half = square * 0.5
    second = first + half
    lost += half - (second - first)
    return (second + (lost + rest)) * power_of_two(k.to(tl.int64))
