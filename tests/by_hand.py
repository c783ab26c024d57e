"""docs/vector-unit.md again, from its text alone: whole numbers of any size and exact fractions.

Slow on purpose and without a line of `fixed_point`: no width can overflow here, so a
difference is an overflow there, or one of the two reads the specification wrongly.
Tables come from 50 digits of `decimal`, not from float64.
"""

from __future__ import annotations

from decimal import Decimal, getcontext
from fractions import Fraction
from functools import cache
from math import floor, isqrt

getcontext().prec = 50
HALF = Fraction(1, 2)
LOW, HIGH = -(2**31), 2**31 - 1
KEY_LOW, KEY_HIGH = -(2**23), 2**23 - 1
UNIT = 2**24


def nearest(x: Fraction | int) -> int:
    """The integer nearest to x, the higher one of two."""
    return floor(x + HALF)


def value(x: int) -> int:
    return max(LOW, min(HIGH, x))


def real(x: float) -> int:
    """A parameter as a value."""
    return value(nearest(Fraction(x) * 2**16))


def halves_to_even(x: Fraction) -> int:
    below = floor(x)
    rest = x - below
    return below + (1 if rest > HALF or (rest == HALF and below % 2) else 0)


def pi() -> Decimal:
    """Machin's formula."""

    def arctan_of_inverse(n: int) -> Decimal:
        power = Decimal(1) / n
        total, k, square = power, 1, n * n
        while abs(power) > Decimal(10) ** -49:
            power /= -square
            k += 2
            total += power / k
        return total

    return 4 * (4 * arctan_of_inverse(5) - arctan_of_inverse(239))


def decimal_sine(x: Decimal) -> Decimal:
    term, total, k = x, x, 1
    while abs(term) > Decimal(10) ** -48:
        term *= -x * x / ((k + 1) * (k + 2))
        k += 2
        total += term
    return total


@cache
def exp_entry(k: int) -> int:
    return nearest(Fraction(Decimal(2) ** (Decimal(-k) / 256)) * UNIT)


@cache
def sigmoid_entry(k: int) -> int:
    return nearest(Fraction(1 / (1 + (Decimal(-k) / 32).exp())) * UNIT)


@cache
def softplus_entry(k: int) -> int:
    return nearest(Fraction((1 + (Decimal(-k) / 32).exp()).ln()) * UNIT)


def normal_integral(k: int) -> Fraction:
    """(1 + erf(x)) / 2 of x = k / 64 / sqrt(2): erf by its series, whose terms alternate."""
    x = Decimal(k) / 64 / Decimal(2).sqrt()
    power, total, n = x, x, 0
    while power and abs(power) > Decimal(10) ** -45:
        n += 1
        power *= -x * x / n
        total += power / (2 * n + 1)
    return (1 + Fraction(2 * total / pi().sqrt())) / 2


@cache
def normal_entry(k: int) -> int:
    return nearest(normal_integral(k) * UNIT)


@cache
def sine_entry(k: int, factor: float) -> int:
    return nearest(Fraction(Decimal(factor) * decimal_sine(pi() * k / 512)) * UNIT)


LOG2_E = nearest(Fraction(1 / Decimal(2).ln()) * 2**20)


def line(low: int, high: int, at: Fraction) -> int:
    """From low (at 0) to high (at 1); the part between is rounded before it is added."""
    return low + nearest((high - low) * at)


def exponential(u: int) -> int:
    t = nearest(Fraction(min(u, 2**22) * LOG2_E, 2**20))
    whole, k, f = t // 2**16, t // 2**8 % 256, t % 2**8
    # downwards: what the line falls by is rounded, not where it arrives
    power = exp_entry(k) - nearest(Fraction((exp_entry(k) - exp_entry(k + 1)) * f, 256))
    return nearest(Fraction(power, 2**whole))


def sigmoid(z: int) -> int:
    a = min(abs(z), 2**20 - 1)
    k, f = divmod(a, 2**11)
    share = line(sigmoid_entry(k), sigmoid_entry(k + 1), Fraction(f, 2**11))
    return UNIT - share if z < 0 else share


def sine(angle: int, factor: float) -> int:
    quarter, within = divmod(angle, 2**30)
    if quarter in (1, 3):
        within = 2**30 - within
    k, f = within // 2**22, within // 2**6 % 2**16
    if k == 256:
        size = sine_entry(256, factor)
    else:
        size = line(sine_entry(k, factor), sine_entry(k + 1, factor), Fraction(f, 2**16))
    return -size if quarter >= 2 else size


def tanh(x: int) -> int:
    return 2 * sigmoid(value(2 * x)) - UNIT


def power(u: int) -> int:
    t = nearest(Fraction(-u * LOG2_E, 2**20))
    whole, k, f = t // 2**24, t // 2**16 % 2**8, t % 2**16
    part = exp_entry(k) - nearest(Fraction((exp_entry(k) - exp_entry(k + 1)) * f, 2**16))
    return value(nearest(part * Fraction(2) ** -whole))


def softplus(x: int) -> int:
    k, f = divmod(min(abs(x), 2**20 - 1), 2**11)
    low = line(softplus_entry(k), softplus_entry(k + 1), Fraction(f, 2**11))
    return value(max(x, 0) * 2**8 + low)


def gelu(x: int) -> int:
    k, f = divmod(min(abs(x), 2**19 - 1), 2**10)
    share = line(normal_entry(k), normal_entry(k + 1), Fraction(f, 2**10))
    return nearest(Fraction(x * (share if x >= 0 else UNIT - share), UNIT))


def gelu_tanh(x: int) -> int:
    y = max(-(2**19), min(2**19, x))
    factor = 2 * (Decimal(2) / pi()).sqrt()
    slope = nearest(Fraction(factor) * 2**16) + nearest(
        Fraction(
            nearest(Fraction(y * y, 2**16)) * nearest(Fraction(factor * 44715) * 2**24 / 10**6),
            2**24,
        )
    )
    return nearest(Fraction(x * sigmoid(value(nearest(Fraction(y * slope, 2**16)))), UNIT))


def turned(x: int) -> int:
    per_radian = nearest(2**32 / (2 * Fraction(pi())))
    return nearest(Fraction(x * per_radian, 2**16)) % 2**32


def root(x: int) -> int:
    if x <= 0:
        return HIGH
    length = x.bit_length()
    t = length - 32 if length % 2 == 0 else length - 31
    return value(nearest(Fraction(inverse_root(x * 2**-t), 2 ** (15 + t // 2))))


def quotient(a: int, b: int, fraction: int) -> int:
    if b == 0:
        return HIGH if a > 0 else LOW if a < 0 else 0
    found = divided(a, abs(b), fraction)
    return value(-found if b < 0 else found)


def brought(x: int, has: int, wanted: int) -> int:
    return value(nearest(x * Fraction(2) ** (wanted - has)))


def divided(a: int, b: int, fraction: int) -> int:
    size = abs(a) * 2**fraction // b
    return -size if a < 0 else size


def inverse_root(m: int) -> int:
    return isqrt(2**78 // m)


def norm(x: list[int], weights: list[int], epsilon: int) -> list[int]:
    pairs = zip(unit_norm(x, epsilon), weights, strict=True)
    return [value(nearest(Fraction(s * w, UNIT))) for s, w in pairs]


def unit_norm(x: list[int], epsilon: int) -> list[int]:
    total = epsilon + sum(v * v for v in x)
    t = next(t for t in range(-30, 128, 2) if Fraction(total) / Fraction(2) ** t < 2**32)
    m = floor(Fraction(total) / Fraction(2) ** t)
    assert 2**30 <= m < 2**32
    r = inverse_root(m)
    return [nearest(Fraction(v * r, 2 ** (15 + t // 2))) for v in x]


def quantize(x: list[int], bits: int) -> tuple[list[int], int]:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    for s in range(64):
        found = [halves_to_even(Fraction(v, 2**s)) for v in x]
        if low <= min(found) and max(found) <= high:
            return found, s
    raise AssertionError


def from_sums(y: int, s: int, b: int, bias: int) -> int:
    return value(value(nearest(y * Fraction(2) ** (b - 128 + s))) + bias)


def add(x: int, y: int) -> int:
    return value(x + y)


def rotate(x: list[int], position: int, per_position: list[int], factor: float) -> list[int]:
    half = len(x) // 2
    out = list(x)
    for i, step in enumerate(per_position):
        angle = position * step % 2**32
        cos, sin = sine((angle + 2**30) % 2**32, factor), sine(angle, factor)
        a, b = x[i], x[i + half]
        out[i] = value(nearest(Fraction(a * cos - b * sin, UNIT)))
        out[i + half] = value(nearest(Fraction(b * cos + a * sin, UNIT)))
    return out


def to_key(v: int, factor: int) -> int:
    return max(KEY_LOW, min(KEY_HIGH, nearest(Fraction(v * factor, 2**20))))


def attend(
    query: list[int], keys: list[list[int]], values: list[list[int]], sink: int | None,
    cap: float | None = None,
) -> list[int]:  # fmt: skip
    """One head of one query over the positions that it sees."""
    scores = [
        value(nearest(Fraction(sum(a * b for a, b in zip(query, key, strict=True)), 2**8)))
        for key in keys
    ]
    if cap is not None:
        inverse = floor(2**24 / Fraction(cap) + HALF)
        bent = [tanh(value(nearest(Fraction(score * inverse, UNIT)))) for score in scores]
        scores = [value(nearest(Fraction(x * real(cap), UNIT))) for x in bent]
    sinks = [] if sink is None else [sink]
    largest = max([*sinks, *scores])
    shares = [exponential(largest - score) for score in scores]
    total = sum(exponential(largest - x) for x in sinks) + sum(shares)
    return [
        value(
            divided(
                sum(
                    nearest(Fraction(share * row[i], 2**8))
                    for share, row in zip(shares, values, strict=True)
                ),
                total,
                12,
            )
        )
        for i in range(len(values[0]))
    ]


def swiglu(gate: int, up: int, alpha: int, limit: int) -> int:
    gate, up = min(gate, limit), max(-limit, min(limit, up))
    share = sigmoid(value(nearest(Fraction(gate * alpha, 2**16))))
    opened = nearest(Fraction(gate * share, UNIT))
    return value(nearest(Fraction((up + 2**16) * opened, 2**16)))


def softmax(x: list[int], sinks: list[int]) -> list[int]:
    largest = max([*sinks, *x])
    total = sum(exponential(largest - v) for v in [*sinks, *x])
    return [divided(exponential(largest - v), total, 24) for v in x]


def route(logits: list[int], k: int, of_all: bool = False) -> tuple[list[int], list[int]]:
    order = sorted(range(len(logits)), key=lambda n: (-logits[n], n))
    powers = [exponential(logits[order[0]] - logits[n]) for n in order]
    total = sum(powers if of_all else powers[:k])
    return order[:k], [divided(power, total, 24) for power in powers[:k]]


def mix(x: int, outputs: list[int], shares: list[int]) -> int:
    total = sum(a * b for a, b in zip(outputs, shares, strict=True))
    return add(x, value(nearest(Fraction(total, UNIT))))


class Random:
    """xorshift64 on a list of bits, the lowest first."""

    def __init__(self, seed: int):
        state = seed ^ 0x9E3779B97F4A7C15
        self.bits = [state >> n & 1 for n in range(64)]
        if not any(self.bits):
            self.bits = [0x9E3779B97F4A7C15 >> n & 1 for n in range(64)]
        for _ in range(16):
            self.next()

    def next(self) -> int:
        bits = self.bits
        bits = [bit ^ (bits[n - 13] if n >= 13 else 0) for n, bit in enumerate(bits)]
        bits = [bit ^ (bits[n + 7] if n + 7 < 64 else 0) for n, bit in enumerate(bits)]
        bits = [bit ^ (bits[n - 17] if n >= 17 else 0) for n, bit in enumerate(bits)]
        self.bits = bits
        return sum(bit << n for n, bit in enumerate(bits[32:]))


def sample(logits: list[int], inverse: int, random: Random) -> int:
    if inverse == 0:
        return logits.index(max(logits))
    weights = [
        exponential(nearest(Fraction(min(max(logits) - v, HIGH) * inverse, 2**16))) for v in logits
    ]
    reach = random.next() * sum(weights) // 2**32
    at = 0
    for n, weight in enumerate(weights):
        at += weight
        if at > reach:
            return n
    raise AssertionError
