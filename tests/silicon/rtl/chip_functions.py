"""Checks of a chip's functions of one value: silicon against `by_hand`, bit for bit.

Every check takes what simulates a part and raises AssertionError at the first difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from chip_parts import Part, Port, Run

import by_hand
from hnlpu.arithmetic import fixed_point
from hnlpu.arithmetic.fixed_point import sine_table
from hnlpu.arithmetic.fixed_point._functions import sine

Int64 = npt.NDArray[np.int64]
LOW, HIGH = -(2**31), 2**31 - 1
VALUE_ENDS = [LOW, LOW + 1, -(2**30), -65536, -2, -1, 0, 1, 2, 65535, 65536, 2**30, HIGH - 1, HIGH]
YARN = 1.3465735902799727  # 0.1 ln(32) + 1

EXPONENTIAL = Part(
    "exponential", "hnlpu_exponential", (Port("distance", 32),), (Port("y", 25),), clocked=False
)
SIGMOID = Part("sigmoid", "hnlpu_sigmoid", (Port("z", 32),), (Port("y", 25),), clocked=False)
POWER = Part("power", "hnlpu_power", (Port("u", 32),), (Port("y", 32, signed=True),), clocked=False)
SOFTPLUS = Part(
    "softplus", "hnlpu_softplus", (Port("x", 32),), (Port("y", 32, signed=True),), clocked=False
)
NORMAL = Part("normal", "hnlpu_normal", (Port("x", 32),), (Port("y", 25),), clocked=False)
SINES = [
    Part(
        name, "hnlpu_sine", (Port("angle", 32),), (Port("y", 32, signed=True),), clocked=False,
        factor=factor,
    )
    for name, factor in (("sine", 1.0), ("sine_yarn", YARN))
]  # fmt: skip
INVERSE_ROOT = Part(
    "inverse_root", "hnlpu_inverse_root", (Port("start", 1), Port("m", 32)),
    (Port("done", 1), Port("r", 25)),
)  # fmt: skip


MEAN = Part(
    "mean", "hnlpu_mean",
    (
        Port("take", 1), Port("first", 1), Port("values", 32, 4), Port("start", 1), Port("count", 6),
    ),
    (Port("done", 1), Port("mean", 32, signed=True)), {"WIDTH": 4, "LONGEST": 40},
)  # fmt: skip
QUOTIENT = Part(
    "quotient", "hnlpu_quotient",
    (Port("start", 1), Port("a", 32), Port("b", 32), Port("fraction", 5)),
    (Port("done", 1), Port("y", 32, signed=True)),
)  # fmt: skip


def _divider(name: str, numerator: int, denominator: int, fraction: int, quotient: int) -> Part:
    return Part(
        name, "hnlpu_divider",
        (Port("start", 1), Port("numerator", numerator), Port("denominator", denominator)),
        (Port("done", 1), Port("quotient", quotient)),
        {
            "NUMERATOR_BITS": numerator, "DENOMINATOR_BITS": denominator, "FRACTION": fraction,
            "QUOTIENT_BITS": quotient,
        },
    )  # fmt: skip


DIVIDERS = [_divider("shares", 25, 28, 24, 25), _divider("quotients", 49, 34, 12, 28)]
"""As the router of 4 ranks and the attention unit of 256 positions have it."""
FROM_SUMS = [
    Part(
        f"from_sums_{bits}", "hnlpu_from_sums",
        (Port("sum", bits), Port("shift", 9), Port("exponent", 5), Port("bias", 32)),
        (Port("value", 32, signed=True),), {"SUM_BITS": bits}, clocked=False,
    )
    for bits in (20, 62)
]  # fmt: skip
SATURATES = [
    Part(
        f"saturate_{wide}_{near}", "hnlpu_saturate", (Port("wide", wide),),
        (Port("near", near, signed=True),), {"FROM": wide, "TO": near}, clocked=False,
    )
    for wide, near in ((33, 32), (32, 24), (63, 32))
]  # fmt: skip


def near(ends: Sequence[int], low: int, high: int, reach: int = 3) -> list[int]:
    """Numbers up to `reach` from any end, within bounds."""
    found = {end + step for end in ends for step in range(-reach, reach + 1)}
    return sorted(v for v in found if low <= v <= high)


def spread(rng: np.random.Generator, bits: int, count: int, *, signed: bool = True) -> list[int]:
    """Numbers of every size up to `bits` bits alike."""
    sizes = rng.integers(0, bits + (not signed), count)
    signs = rng.choice([-1, 1], count) if signed else np.ones(count, int)
    return [
        int(sign) * int(rng.integers(2**62) % (1 << int(size)))
        for size, sign in zip(sizes, signs, strict=True)
    ]


def check_exponential(run: Run) -> None:
    rng = np.random.default_rng(1)
    steps = [k * 2**16 // 256 for k in range(0, 64 * 256, 61)]
    u = near([0, 65536, 18 * 65536, 2**22, 2**31, 2**32 - 1, *steps], 0, 2**32 - 1)
    u += rng.integers(0, 20 * 65536, 4000).tolist() + spread(rng, 32, 1000, signed=False)
    y = run(EXPONENTIAL, {"distance": u})["y"]
    assert y.tolist() == [fixed_point.exponential(v) for v in u]
    assert y[:1500].tolist() == [by_hand.exponential(v) for v in u[:1500]]


def check_sigmoid(run: Run) -> None:
    rng = np.random.default_rng(2)
    steps = [sign * k * 2048 for k in range(0, 513, 7) for sign in (-1, 1)]
    z = near([*VALUE_ENDS, 2**20, -(2**20), *steps], LOW, HIGH)
    z += rng.integers(-(2**20), 2**20, 4000).tolist() + spread(rng, 32, 1000)
    y = run(SIGMOID, {"z": z})["y"]
    assert y.tolist() == [fixed_point.sigmoid(v) for v in z]
    assert y[:1500].tolist() == [by_hand.sigmoid(v) for v in z[:1500]]


def check_power(run: Run) -> None:
    rng = np.random.default_rng(14)
    # where a result of 2^n begins, and where lines between entries meet
    whole = [round(n * 2**24 / 1.4426950408889634) for n in range(-27, 9)]
    steps = [round(-k * 2**16 / 1.4426950408889634) for k in range(0, 20 * 256, 7)]
    u = near([LOW, HIGH, 0, *whole], LOW, HIGH, 12) + near(steps, LOW, HIGH, 1)
    u += rng.integers(-20 << 24, 6 << 24, 3000).tolist() + spread(rng, 32, 1000)
    u = [max(LOW, min(HIGH, v)) for v in u]
    y = run(POWER, {"u": u})["y"]
    assert y.tolist() == [fixed_point.power(v) for v in u]
    assert y[:2500].tolist() == [by_hand.power(v) for v in u[:2500]]
    assert {0, 1, HIGH} <= set(y.tolist())


def check_softplus(run: Run) -> None:
    rng = np.random.default_rng(15)
    steps = [sign * k * 2048 for k in range(0, 513, 7) for sign in (-1, 1)]
    x = near([*VALUE_ENDS, 2**20, -(2**20), 2**23, *steps], LOW, HIGH)
    x += rng.integers(-(2**20), 2**20, 3000).tolist() + spread(rng, 32, 1000)
    x = [max(LOW, min(HIGH, v)) for v in x]
    y = run(SOFTPLUS, {"x": x})["y"]
    assert y.tolist() == [fixed_point.softplus(v) for v in x]
    assert y[:1500].tolist() == [by_hand.softplus(v) for v in x[:1500]]


def normal(x: int) -> int:
    """The integral, as gelu of docs/vector-unit.md has it."""
    k, f = divmod(min(abs(x), 2**19 - 1), 2**10)
    share = by_hand.line(by_hand.normal_entry(k), by_hand.normal_entry(k + 1), Fraction(f, 2**10))
    return share if x >= 0 else by_hand.UNIT - share


def check_normal(run: Run) -> None:
    rng = np.random.default_rng(20)
    steps = [sign * k * 1024 for k in range(0, 513, 29) for sign in (-1, 1)]
    x = near([*VALUE_ENDS, 2**19, -(2**19), *steps], LOW, HIGH, 2)
    x += rng.integers(-(2**19), 2**19, 2000).tolist() + spread(rng, 31, 500)
    y = run(NORMAL, {"x": x})["y"].tolist()
    assert [by_hand.nearest(Fraction(a * b, 2**24)) for a, b in zip(x, y, strict=True)] == [
        fixed_point.gelu(v) for v in x
    ]
    assert y[:300] == [normal(v) for v in x[:300]]


def check_sine(run: Run, part: Part) -> None:
    rng = np.random.default_rng(3)
    steps = [k << 22 for k in range(0, 1024, 5)]
    quarters = [n << 30 for n in range(5)]
    angles = near(quarters, 0, 2**32 - 1, 130) + near(steps, 0, 2**32 - 1)
    angles += rng.integers(0, 2**32, 5000).tolist()
    y, table = run(part, {"angle": angles})["y"], sine_table(part.factor)
    assert y.tolist() == [sine(v, table) for v in angles]
    assert y[:1500].tolist() == [by_hand.sine(v, part.factor) for v in angles[:1500]]


def check_inverse_root(run: Run) -> None:
    rng = np.random.default_rng(4)
    squares = [2**78 // r**2 for r in rng.integers(2**23, 2**24, 200).tolist()]
    m = near([2**30, 2**32 - 1, *squares], 2**30, 2**32 - 1, 1)
    m += rng.integers(2**30, 2**32, 600).tolist()
    period = 28  # a cycle to start, 25 to work, two to read
    start, given = np.zeros(period * len(m), int), np.zeros(period * len(m), np.int64)
    start[::period] = 1
    given[::period] = m
    out = run(INVERSE_ROOT, {"start": start, "m": given})
    done, r = out["done"].reshape(-1, period), out["r"].reshape(-1, period)
    assert not done[:, 1:26].any()
    assert done[:, 26:].all()
    expected = [by_hand.inverse_root(v) for v in m]
    assert r[:, 26].tolist() == r[:, 27].tolist() == expected
    assert expected[::9] == [fixed_point.inverse_root(v) for v in m[::9]]


def check_mean(run: Run) -> None:
    rng = np.random.default_rng(18)
    vectors = [[v] * n for v in VALUE_ENDS for n in (1, 4, 39, 40)]
    vectors += [[v, v + 1] for v in (-3, -2, -1, 0, 1)] + [[-1, 0, 0, 0], [1, 0, 0, 0], [LOW, HIGH]]
    for size in range(1, 33):
        for n in rng.integers(1, 41, 6).tolist():
            vectors.append(rng.integers(-(1 << size - 1), 1 << size - 1, n).tolist())
    cycles: list[tuple[int, int, list[int], int, int]] = []
    ends, expected = [], []
    for vector in vectors:
        padded = vector + [0] * (-len(vector) % 4)
        cycles += [(1, n == 0, padded[n : n + 4], 0, 0) for n in range(0, len(padded), 4)]
        cycles.append((0, 0, [5] * 4, 1, len(vector)))
        cycles += [(0, 1, [9] * 4, 0, 7)] * 34  # nothing is taken
        ends.append(len(cycles) - 2)
        expected.append(by_hand.nearest(Fraction(sum(vector), len(vector))))
    names = ("take", "first", "values", "start", "count")
    out = run(MEAN, dict(zip(names, map(np.array, zip(*cycles, strict=True)), strict=True)))
    at = np.array(ends)
    assert not out["done"][at - 1].any()
    assert out["done"][at].all()
    assert out["mean"][at].tolist() == out["mean"][at + 1].tolist() == expected


def check_quotient(run: Run) -> None:
    rng = np.random.default_rng(19)
    cases = [(a, b, f) for a in VALUE_ENDS for b in VALUE_ENDS for f in (0, 16, 20, 24)]
    for a, b in zip(spread(rng, 32, 700), spread(rng, 32, 700), strict=True):
        cases.append((by_hand.value(a), by_hand.value(b), int(rng.choice([16, 20, 24]))))
    # quotients next to the ends
    for b, f in zip(spread(rng, 20, 100), rng.choice([16, 20, 24], 100).tolist(), strict=True):
        a = by_hand.value((HIGH * b) >> f)
        cases += [(max(LOW, a + step), b, f) for step in (-1, 0, 1) if a + step <= HIGH]
    period = 60
    given = np.zeros((4, period * len(cases)), np.int64)
    given[0, ::period], given[1:, ::period] = 1, np.array(cases).T
    names = ("start", "a", "b", "fraction")
    out = run(QUOTIENT, dict(zip(names, given, strict=True)))
    done, y = out["done"].reshape(-1, period), out["y"].reshape(-1, period)
    assert not done[:, 1:58].any()
    assert done[:, 58:].all()
    expected = [by_hand.quotient(a, b, f) for a, b, f in cases]
    assert y[:, 58].tolist() == y[:, 59].tolist() == expected


def check_divider(run: Run, part: Part) -> None:
    rng = np.random.default_rng(5)
    size = part.parameters
    high = size["NUMERATOR_BITS"] + size["FRACTION"]
    cases = []
    for b in [1, 2, 3, *spread(rng, size["DENOMINATOR_BITS"], 300, signed=False)]:
        for b_ in (b, (1 << size["DENOMINATOR_BITS"]) - 1 - b % 7):
            if b_ == 0:
                continue
            # the largest quotient that fits, none, one, and one of any size
            most = min(
                2 ** size["NUMERATOR_BITS"] - 1,
                ((b_ << size["QUOTIENT_BITS"]) - 1) >> size["FRACTION"],
            )
            a = {0, most, max(0, most - 1), min(most, b_), int(rng.integers(most + 1))}
            cases += [(v, b_) for v in sorted(a)]
    assert max(a << size["FRACTION"] for a, _ in cases).bit_length() <= high
    period = size["QUOTIENT_BITS"] + 3
    start = np.zeros(period * len(cases), int)
    given = np.zeros((2, period * len(cases)), np.int64)
    start[::period] = 1
    given[:, ::period] = np.array(cases).T
    out = run(part, {"start": start, "numerator": given[0], "denominator": given[1]})
    done, quotient = out["done"].reshape(-1, period), out["quotient"].reshape(-1, period)
    assert not done[:, 1 : period - 2].any()
    assert done[:, period - 2 :].all()
    expected = [by_hand.divided(a, b, size["FRACTION"]) for a, b in cases]
    assert quotient[:, period - 2].tolist() == quotient[:, period - 1].tolist() == expected


def check_from_sums(run: Run, part: Part) -> None:
    rng = np.random.default_rng(6)
    bits = part.parameters["SUM_BITS"]
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    cases = []
    for shift in range(-127, 129):
        for exponent in (0, 1, 30, 31, int(rng.integers(32)), int(rng.integers(32))):
            right = shift - exponent
            ties = [3 << (right - 1), -(3 << (right - 1))] if 1 <= right < bits - 2 else []
            # what becomes the ends of 32 bits, and what passes them
            ends = [end << right if right >= 0 else end >> -right for end in (LOW, HIGH)]
            sums = near([0, *ties, *ends, low, high], low, high, 1) + spread(rng, bits, 4)
            for y in sums:
                bias = int(rng.choice(VALUE_ENDS)) if rng.random() < 0.5 else spread(rng, 31, 1)[0]
                cases.append((y, shift, exponent, bias))
    sums_, shifts, exponents, biases = np.array(cases, np.int64).T
    value = run(part, {"sum": sums_, "shift": shifts, "exponent": exponents, "bias": biases})[
        "value"
    ]
    for s in range(32):
        of = exponents == s
        expected = fixed_point.from_sums(
            sums_[of][None], np.array([s], np.int32), shifts[of], biases[of]
        )
        assert (value[of] == expected[0]).all()
    chosen = rng.permutation(len(cases))[:3000]
    for n in chosen.tolist():
        y, shift, exponent, bias = cases[n]
        assert value[n] == by_hand.from_sums(y, exponent, 128 - shift, bias)


def check_saturate(run: Run, part: Part) -> None:
    rng = np.random.default_rng(7)
    bits, to = part.parameters["FROM"], part.parameters["TO"]
    low, high = -(2 ** (to - 1)), 2 ** (to - 1) - 1
    ends = [-(2 ** (bits - 1)), low, 0, high, 2 ** (bits - 1) - 1]
    wide = near(ends, ends[0], ends[-1]) + spread(rng, bits - 1, 500)
    found = run(part, {"wide": wide})["near"]
    assert found.tolist() == [max(low, min(high, v)) for v in wide]
