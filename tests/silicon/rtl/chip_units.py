"""Checks of a chip's units for vectors: silicon against `by_hand` and `fixed_point`, bit for bit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isqrt

import numpy as np
from chip_functions import HIGH, LOW, VALUE_ENDS, near, normal, spread
from chip_parts import Part, Port, Run

import by_hand
from hnlpu.arithmetic import fixed_point
from hnlpu.silicon.rtl.chip import Op

Cycle = Mapping[str, object]
WIDTH = 4


def quantizer(bits: int) -> Part:
    return Part(
        f"quantizer_{bits}", "hnlpu_quantizer",
        (Port("take", 1), Port("first", 1), Port("values", 32, WIDTH), Port("chosen", 5)),
        (Port("exponent", 5), Port("activations", bits, WIDTH, signed=True)),
        {"WIDTH": WIDTH, "ACTIVATION_BITS": bits},
    )  # fmt: skip


QUANTIZERS = [quantizer(bits) for bits in (2, 8, 12, 16)]
LANE = Part(
    "lane", "hnlpu_lane",
    (
        Port("multiply", 1), Port("first", 1), Port("op", 5, type="hnlpu_chip_pkg::opcode_t"),
        Port("both", 1), Port("kind", 4), Port("shift", 6), Port("a", 32), Port("swapped", 32),
        Port("operand", 32), Port("immediate", 32),
    ),
    (Port("product", 64), Port("y", 32, signed=True)),
)  # fmt: skip
WIDE_LANE = Part(
    "wide_lane", "hnlpu_lane", LANE.inputs, LANE.outputs,
    {"POWERS": 1, "SOFTPLUS": 1, "NORMALS": 1, "COMPARES": 1, "SUM_BITS": 68},
)  # fmt: skip
"""As a chip has it whose lanes add 16 products of any size."""
MOVER = Part(
    "mover", "hnlpu_mover",
    (Port("b", 32, 8), Port("sources", 3, 8), Port("taken", 1, 8)), (Port("moved", 32, 8),),
    {"WIDTH": 8}, clocked=False,
)  # fmt: skip
SQUARES = Part(
    "squares", "hnlpu_squares",
    (
        Port("take", 1), Port("first", 1), Port("epsilon", 64), Port("squares", 64, WIDTH),
        Port("start", 1),
    ),
    (Port("done", 1), Port("inverse", 25), Port("shift", 6)), {"WIDTH": WIDTH, "SUM_BITS": 70},
)  # fmt: skip


def _router(experts: int, ranks: int, sharing: int = 0) -> Part:
    bits = max(1, (experts - 1).bit_length())
    return Part(
        f"router_{ranks}_{sharing or ranks}", "hnlpu_router",
        (
            Port("take", 1), Port("first", 1), Port("rank", 4), Port("logits", 32, experts),
            Port("divide", 1),
        ),
        (Port("expert", bits), Port("done", 1), Port("shares", 25, ranks)),
        {"EXPERTS": experts, "RANKS": ranks, "SHARING": sharing or ranks},
    )  # fmt: skip


ROUTERS = [
    _router(1, 1), _router(3, 2), _router(7, 3), _router(8, 4), _router(7, 3, 7), _router(16, 1, 16),
]  # fmt: skip
"""The last two share among all experts."""


def _sampler(width: int, vocabulary: int) -> Part:
    return Part(
        f"sampler_{vocabulary}", "hnlpu_sampler",
        (
            Port("rst", 1), Port("store", 1), Port("beat", 10), Port("logits", 32, width),
            Port("start", 1), Port("inverse", 31), Port("number", 32),
        ),
        (
            Port("done", 1), Port("token", (vocabulary - 1).bit_length()),
            Port("values", 32, -(-vocabulary // width) * width, signed=True),
        ),
        {"WIDTH": width, "VOCABULARY": vocabulary},
    )  # fmt: skip


SAMPLERS = [_sampler(4, 10), _sampler(4, 16)]


def in_cycles(part: Part, cycles: Iterable[Cycle]) -> dict[str, object]:
    """Inputs of a part, cycle by cycle; what a cycle does not name is 0."""
    listed, found = list(cycles), {}
    for port in part.inputs:
        nothing = [0] * port.count
        numbers = [np.reshape(one.get(port.name, nothing), port.count).tolist() for one in listed]
        found[port.name] = np.array(numbers, np.uint64 if port.name == "squares" else np.int64)
    return found


def check_quantizer(run: Run, part: Part) -> None:
    rng = np.random.default_rng(8)
    bits = part.parameters["ACTIVATION_BITS"]
    ends = [
        sign * (2**bits + odd) << s >> 1 for s in range(32 - bits) for odd in (-1, 0, 1) for sign in (-1, 1)
    ]  # fmt: skip
    vectors = [[[0] * WIDTH], [[0] * WIDTH] * 2]
    for v in near([*ends, *VALUE_ENDS], LOW, HIGH, 1):
        vectors.append([[0, v, 0, 0]])
        vectors.append([[1, 0, -1, 2], [-3, 4, v, 0]])
    for size in range(1, 32):
        for _ in range(8):
            beats = rng.integers(-(1 << size), 1 << size, (int(rng.integers(1, 4)), WIDTH))
            vectors.append(beats.tolist())
    cycles: list[Cycle] = []
    expected: list[tuple[int, list[int]]] = []
    at: list[int] = []
    for beats in vectors:
        found, s = by_hand.quantize([v for beat in beats for v in beat], bits)
        for n, beat in enumerate(beats):
            cycles.append({"take": 1, "first": n == 0, "values": beat})
        for n, beat in enumerate(beats):  # nothing is taken: the exponent stays
            at.append(len(cycles))
            expected.append((s, found[WIDTH * n : WIDTH * n + WIDTH]))
            cycles.append({"chosen": s, "values": beat, "first": n % 2})
    out = run(part, in_cycles(part, cycles))
    assert out["exponent"][at].tolist() == [s for s, _ in expected]
    assert out["activations"][at].tolist() == [activations for _, activations in expected]


def check_quantizer_of_numerics(run: Run, part: Part) -> None:
    """Vectors of many beats at once, as the emulator quantizes them."""
    rng = np.random.default_rng(9)
    vectors = (rng.standard_normal((40, 6 * WIDTH)) * 10.0 ** rng.uniform(0, 8, (40, 1))).astype(
        int
    )
    found, s = fixed_point.quantize_values(vectors, part.parameters["ACTIVATION_BITS"])
    beats = vectors.reshape(40, 6, WIDTH)
    cycles: list[Cycle] = []
    for vector, chosen in zip(beats.tolist(), s.tolist(), strict=True):
        cycles += [{"take": 1, "first": n == 0, "values": beat} for n, beat in enumerate(vector)]
        cycles += [{"chosen": chosen, "values": beat} for beat in vector]
    out = run(part, in_cycles(part, cycles))
    assert (out["exponent"].reshape(40, 12)[:, 6:] == s[:, None]).all()
    assert (out["activations"].reshape(40, 12, WIDTH)[:, 6:].reshape(40, -1) == found).all()


@dataclass
class _Sums:
    """What a lane keeps."""

    total: int = 0


def check_lane(run: Run) -> None:
    rng = np.random.default_rng(10)
    cycles: list[dict[str, int]] = []
    expected: list[tuple[int, int]] = []
    kept = _Sums()

    def add(op: Op, **given: int) -> None:
        one = {
            "a": 0,
            "swapped": 0,
            "operand": 0,
            "immediate": 0,
            "shift": 0,
            "both": 0,
            "kind": 0,
            "first": 0,
        }
        one |= given
        a, operand, bound = one["a"], one["operand"], one["immediate"]
        product = one["swapped"] * operand
        total = (0 if one["first"] else kept.total) + product
        if op == Op.ADD:
            y = by_hand.add(a, operand)
        elif op == Op.SUBTRACT:
            y = by_hand.value(operand - a if one["both"] else a - operand)
        elif op == Op.CLAMP:
            y = min(a, bound)
            y = max(y, -bound) if one["both"] else y
        elif op == Op.SIGMOID:
            y = by_hand.sigmoid(a)
        else:
            y = by_hand.value((total + (1 << one["shift"] >> 1)) >> one["shift"])
        if one.get("multiply"):
            kept.total = total
        cycles.append({"multiply": 0, **one, "op": int(op)})
        expected.append((product, y))

    for shift in range(64):
        ends = [v << shift for v in (LOW, -1, 0, 1, HIGH)] + [
            (2 * v + 1) << shift >> 1 for v in (-2, -1, 0, 1)
        ]
        for total in near(ends, -(2**61), 2**61, 1):
            # total = root * factor + rest
            root = max(1, isqrt(abs(total)))
            factor = total // root
            add(Op.MULTIPLY, multiply=1, first=1, swapped=root, operand=factor, shift=shift)
            add(Op.MULTIPLY, multiply=1, swapped=1, operand=total - root * factor, shift=shift)
            add(Op.MULTIPLY, multiply=0, swapped=3, operand=5, shift=shift)
            add(Op.MULTIPLY, multiply=1, swapped=0, operand=7, shift=shift, a=LOW)
    for one, other in ((LOW, LOW), (LOW, HIGH), (HIGH, HIGH)):
        add(Op.MULTIPLY, multiply=1, first=1, swapped=one, operand=other, shift=31)
        add(Op.SQUARES, first=1, swapped=one, operand=one)
    for _ in range(500):
        first, shift = 1, int(rng.integers(64))
        for _ in range(4):
            a, b = spread(rng, 31, 2)
            add(Op.MULTIPLY, multiply=1, first=first, swapped=a, operand=b >> 3, shift=shift)
            first = 0
    for a in VALUE_ENDS:
        for b in VALUE_ENDS:
            add(Op.ADD, a=a, operand=b, swapped=b)
            for both in (0, 1):
                add(Op.CLAMP, a=a, immediate=abs(b) % 2**31, both=both)
                add(Op.SUBTRACT, a=a, operand=b, both=both)
        add(Op.SIGMOID, a=a)
    for bound in (0, 1, 458752, HIGH):
        for a in near([bound, -bound], LOW, HIGH):
            for both in (0, 1):
                add(Op.CLAMP, a=a, immediate=bound, both=both, operand=99)
    for a, b in zip(spread(rng, 32, 500), spread(rng, 32, 500), strict=True):
        add(Op.ADD, a=by_hand.value(a), operand=by_hand.value(b))
        add(Op.SIGMOID, a=by_hand.value(a >> 9), operand=3)
    out = run(LANE, {port.name: [one[port.name] for one in cycles] for port in LANE.inputs})
    assert out["y"].tolist() == [y for _, y in expected]
    assert out["product"].tolist() == [product for product, _ in expected]


def check_wide_lane(run: Run) -> None:
    """Functions and comparisons by their kinds, and sums beyond 64 bits."""
    rng = np.random.default_rng(16)
    cycles: list[dict[str, int]] = []
    expected: list[int] = []

    def add(op: Op, y: int, **given: int) -> None:
        cycles.append(dict.fromkeys((port.name for port in LANE.inputs), 0) | given | {"op": op})
        expected.append(y)

    sides = [*VALUE_ENDS, *(by_hand.value(v) for v in spread(rng, 32, 30))]
    for a in sides:
        add(Op.CURVE, by_hand.power(a), a=a, kind=0)
        add(Op.CURVE, by_hand.softplus(a), a=a, kind=1)
        add(Op.CURVE, normal(a), a=a, kind=2)
        for b in sides:
            found = (max(a, b), min(a, b), int(a < b), int(a <= b), int(a == b))
            for kind, y in enumerate(found):
                add(Op.COMPARE, y, a=a, operand=b, swapped=b, kind=kind)
    for _ in range(60):
        total, shift = 0, int(rng.integers(30, 64))
        pairs = rng.choice([LOW, HIGH, LOW + 1, 0], (16, 2)).tolist()
        if rng.random() < 0.3:
            pairs = [[LOW, LOW]] * 16
        for n, (a, b) in enumerate(pairs):
            total += a * b
            y = by_hand.value((total + (1 << shift >> 1)) >> shift)
            add(Op.MULTIPLY, y, multiply=1, first=n == 0, swapped=a, operand=b, shift=shift)
    out = run(WIDE_LANE, {port.name: [one[port.name] for one in cycles] for port in LANE.inputs})
    assert out["y"].tolist() == expected


def check_mover(run: Run) -> None:
    rng = np.random.default_rng(17)
    b = rng.integers(0, 2**32, (400, 8))
    sources, taken = rng.integers(0, 8, (400, 8)), rng.integers(0, 2, (400, 8))
    moved = run(MOVER, {"b": b, "sources": sources, "taken": taken})["moved"]
    for row, lanes, takes, found in zip(
        b.tolist(), sources.tolist(), taken.tolist(), moved.tolist(), strict=True
    ):
        assert found == [row[lane] if take else 0 for lane, take in zip(lanes, takes, strict=True)]


def check_squares(run: Run) -> None:
    rng = np.random.default_rng(11)
    vectors = [([[0] * WIDTH], 1), ([[0] * WIDTH], 3), ([[0] * WIDTH] * 3, 2**63 - 1)]
    vectors += [([[LOW] * WIDTH] * beats, 1) for beats in (1, 3, 15)]
    vectors += [([[0] * WIDTH], 2**n + d) for n in range(1, 63) for d in (-1, 0, 1)]
    for size in range(1, 32):
        for _ in range(3):
            beats = rng.integers(-(1 << size), 1 << size, (int(rng.integers(1, 5)), WIDTH))
            vectors.append((beats.tolist(), int(rng.integers(1, 2**20))))
    cycles: list[Cycle] = []
    at, expected = [], []
    for beats, epsilon in vectors:
        for n, beat in enumerate(beats):
            squares = [v * v for v in beat]
            cycles.append({"take": 1, "first": n == 0, "epsilon": epsilon, "squares": squares})
        cycles.append({"start": 1})
        cycles += [{"squares": [9] * WIDTH}] * 27  # nothing is taken
        at.append(len(cycles) - 2)
        total = epsilon + sum(v * v for beat in beats for v in beat)
        t = total.bit_length() - 32 + total.bit_length() % 2
        m = total >> t if t >= 0 else total << -t
        expected.append((by_hand.inverse_root(m), 15 + t // 2))
    out = run(SQUARES, in_cycles(SQUARES, cycles))
    ends = np.array(at)
    assert not out["done"][ends - 1].any()
    assert out["done"][ends].all()
    assert out["done"][ends + 1].all()
    for n in (ends, ends + 1):
        assert (
            list(zip(out["inverse"][n].tolist(), out["shift"][n].tolist(), strict=True)) == expected
        )
    # the same numbers in a norm of the emulator
    for (beats, epsilon), (inverse, shift) in zip(vectors[-60:], expected[-60:], strict=True):
        x = np.array(beats, np.int64).reshape(1, -1)
        weights = np.full(x.shape[1], 1 << 24, np.int64)
        shares = [(int(v) * inverse + (1 << shift >> 1)) >> shift for v in x[0]]
        assert fixed_point.norm(x, weights, epsilon)[0].tolist() == shares


def check_router(run: Run, part: Part) -> None:
    rng = np.random.default_rng(12)
    experts, ranks = part.parameters["EXPERTS"], part.parameters["RANKS"]
    sharing = part.parameters["SHARING"]
    of_all = sharing == experts
    rows = [[v] * experts for v in VALUE_ENDS]
    rows += rng.choice([LOW, HIGH, 0, -1], (60, experts)).tolist()
    rows += rng.integers(-3, 3, (60, experts)).tolist()
    rows += [[int(v) << 14 for v in row] for row in rng.integers(-40, 40, (120, experts))]
    rows += rng.integers(LOW, HIGH, (60, experts)).tolist()
    cycles: list[Cycle] = []
    period = sharing + 29
    for row in rows:
        cycles += [
            {"take": 1, "first": place == 0, "rank": min(place, ranks), "logits": row}
            for place in range(sharing)
        ]
        cycles.append({"divide": 1})
        cycles += [{"logits": row[::-1]}] * 28  # nothing is taken
    out = run(part, in_cycles(part, cycles))
    chosen, shares = fixed_point.route(np.array(rows, np.int64), ranks, of_all)
    found = {name: of.reshape(len(rows), period, -1) for name, of in out.items()}
    assert (found["expert"][:, :ranks, 0] == chosen).all()
    assert not found["done"][:, sharing + 1 : sharing + 26].any()
    assert found["done"][:, sharing + 26 :].all()
    assert (found["shares"][:, sharing + 26] == shares).all()
    assert (found["shares"][:, sharing + 28] == shares).all()
    for row, ids, parts in zip(rows[::5], chosen[::5], shares[::5], strict=True):
        assert by_hand.route(row, ranks, of_all) == (ids.tolist(), parts.tolist())


class _Number:
    """A generator with one number."""

    def __init__(self, number: int):
        self.number = number

    def next(self) -> int:
        return self.number


def check_sampler(run: Run, part: Part) -> None:
    rng = np.random.default_rng(13)
    width, vocabulary = part.parameters["WIDTH"], part.parameters["VOCABULARY"]
    beats = -(-vocabulary // width)
    rows = [[v] * vocabulary for v in (LOW, -1, 0, HIGH)]
    rows += rng.choice([LOW, HIGH, 0], (30, vocabulary)).tolist()
    rows += rng.integers(-2, 3, (30, vocabulary)).tolist()
    rows += [[int(v) << 13 for v in row] for row in rng.integers(-40, 40, (80, vocabulary))]
    for n in range(vocabulary):  # one that stands out, last and first of its beat too
        rows.append([HIGH if i == n else HIGH - 1 for i in range(vocabulary)])
    inverses = [0, 0, 1, 65536, 100000, 2**31 - 1, 2**30]
    numbers = [0, 1, 2**31, 2**32 - 1]
    wait = 2 * vocabulary + 4
    cycles: list[Cycle] = [{"rst": 1}]
    cases = []
    for n, row in enumerate(rows):
        inverse = inverses[n % len(inverses)]
        number = numbers[n // 7 % 4] if n % 2 else int(rng.integers(2**32))
        # lanes beyond the vocabulary hold anything, the largest value too
        padded = row + [HIGH] * (beats * width - vocabulary)
        for beat in range(beats):
            given = padded[beat * width : beat * width + width]
            cycles.append({"store": 1, "beat": beat, "logits": given})
        cases.append((len(cycles), row, inverse, number))
        cycles.append({"start": 1, "inverse": inverse, "number": number, "logits": [HIGH] * width})
        cycles += [{"inverse": 5, "number": 7, "logits": [HIGH] * width}] * wait
    out = run(part, in_cycles(part, cycles))
    for at, row, inverse, number in cases:
        generator = _Number(number)
        token = by_hand.sample(row, inverse, generator)  # type: ignore[arg-type]
        logits = np.array(row, np.int64)
        assert token == fixed_point.chip_sample(logits, inverse, generator)  # type: ignore[arg-type]
        ready = at + 1 if inverse == 0 else at + 2 + vocabulary + token
        assert out["done"][at + 1 : at + wait].tolist() == [
            n >= ready for n in range(at + 1, at + wait)
        ]
        assert (out["token"][ready : at + wait + 1] == token).all()
        assert out["values"][at][:vocabulary].tolist() == row
