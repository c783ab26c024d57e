"""Functions of vectors against exact fractions: random numbers, and the ends where things wrap."""

import math

import numpy as np
import pytest

import by_hand
from hnlpu.arithmetic import fixed_point

LOW, HIGH = -(2**31), 2**31 - 1
EXTREMES = (LOW, LOW + 1, -1, 0, 1, HIGH - 1, HIGH)


@pytest.fixture
def random():
    return np.random.default_rng(7)


def spread_values(random, *shape):
    """Numbers of every size, both signs, with some of the ends among them."""
    size = 2.0 ** random.uniform(0, 31.2, shape)
    x = np.clip(size * random.choice([-1, 1], shape), LOW, HIGH).astype(np.int64)
    ends = random.choice(EXTREMES, shape)
    return np.where(random.random(shape) < 0.1, ends, x)


def ordinary_values(random, *shape):
    return (65536 * random.standard_normal(shape)).astype(np.int64)


KINDS = {"ordinary": ordinary_values, "spread": spread_values}


@pytest.fixture(params=KINDS)
def values(request):
    return KINDS[request.param]


@pytest.mark.parametrize("bits", [2, 5, 8, 12, 16])
def test_activations(random, values, bits):
    rows = [*values(random, 12, 40), *(np.full(40, v) for v in EXTREMES)]
    rows += [np.array([n << 4 | 8] * 20 + [-(n << 4 | 8)] * 20) for n in (0, 1, 2, 127, 128, 2047)]
    rows += [np.array([(1 << bits - 1 + k) - d] * 40) for k in range(3) for d in (-1, 0, 1)]
    rows += [np.array([-(1 << bits - 1 + k) - d] * 40) for k in range(3) for d in (-1, 0, 1)]
    x = np.array(rows)
    found, scales = fixed_point.quantize_values(x, bits)
    assert found.dtype == scales.dtype == np.int32
    for row, integers, s in zip(x.tolist(), found.tolist(), scales.tolist(), strict=True):
        assert (integers, s) == by_hand.quantize(row, bits)


def test_sums_become_values(random):
    """Shifts from beyond every bit to the left to beyond every bit to the right."""
    b = np.array([0, 60, 66, 90, 112, 118, 120, 127, 128, 140, 158, 159, 190, 254], np.uint8)
    large = 2**53 - 1
    y = np.array([0, 1, -1, 2, -2, 3, 5, -5, 12345, -98765, 2**31, -(2**31), 2**40, large, -large])
    shifts = fixed_point.row_shifts(b)
    assert shifts.tolist() == [128 - int(e) for e in b]
    bias = random.choice(EXTREMES, len(b))
    for s in (0, 1, 7, 20, 30):
        sums = np.repeat(y[:, None], len(b), 1)
        found = fixed_point.from_sums(sums, np.full(len(y), s, np.int32), shifts, bias)
        for row, total in zip(found.tolist(), y.tolist(), strict=True):
            expected = [
                by_hand.from_sums(total, s, int(e), int(c)) for e, c in zip(b, bias, strict=True)
            ]
            assert row == expected


@pytest.mark.parametrize("n", [1, 32, 77])
def test_norm(random, values, n):
    x, weights = values(random, 20, n), values(random, n)
    x[0] = 0
    for eps in (1e-5, 1e-12, 0.9):
        epsilon = fixed_point.norm_epsilon(eps, n)
        assert epsilon == max(1, by_hand.nearest(by_hand.Fraction(n * eps) * 2**32))
        found = fixed_point.norm(x, weights, epsilon)
        for row, out in zip(x.tolist(), found.tolist(), strict=True):
            assert out == by_hand.norm(row, weights.tolist(), epsilon)


@pytest.mark.parametrize("n", [2880, 4096])
@pytest.mark.parametrize("end", [LOW, HIGH])
def test_norm_at_the_largest_sum(n, end):
    """All squares at their largest: 62 bits and those of n."""
    x, weights = np.full((1, n), end), np.full(n, HIGH)
    weights[::2] = LOW
    found = fixed_point.norm(x, weights, fixed_point.norm_epsilon(0.999, n))
    assert found[0].tolist() == by_hand.norm(
        x[0].tolist(), weights.tolist(), fixed_point.norm_epsilon(0.999, n)
    )


def test_norm_of_every_length_of_sum():
    """One value of every size: every shift that a sum of squares can need."""
    for v in (1 << n for n in range(31)):
        for d in (-1, 0, 1):
            found = fixed_point.norm(np.array([[v + d]]), np.array([65536]), 1)
            assert found[0].tolist() == by_hand.norm([v + d], [65536], 1)


def test_norm_weights_take_in_the_root_of_n():
    weight = np.array([1.0, -2.0, 0.5, 1e9], np.float32)
    assert fixed_point.norm_weights(weight).tolist() == [131072, -262144, 65536, HIGH]


def test_addition_saturates(random):
    x, y = np.meshgrid(EXTREMES, EXTREMES)
    expected = [
        [by_hand.add(a, b) for a, b in zip(*rows, strict=True)]
        for rows in zip(x.tolist(), y.tolist(), strict=True)
    ]
    assert fixed_point.clipped(x + y).tolist() == expected


@pytest.mark.parametrize("factor", [1.0, 0.1 * math.log(32) + 1, 64.0])
def test_rotation(random, values, factor):
    half, heads = 4, 3
    per_position = fixed_point.turns(np.array([1, 0.3, 0.01, 1e-5], np.float32))
    positions = np.array([0, 1, 2, 127, 4095, 131071, 2**31 - 1])
    x = values(random, len(positions), heads, 2 * half)
    x[1] = LOW
    x[2] = HIGH
    before = x.tolist()
    fixed_point.rotate(
        x, fixed_point.rotations(positions, per_position, fixed_point.sine_table(factor))
    )
    for position, rows, turned in zip(positions.tolist(), before, x.tolist(), strict=True):
        for row, out in zip(rows, turned, strict=True):
            assert out == by_hand.rotate(row, position, per_position.tolist(), factor)


def test_keys_have_24_bits(random, values):
    x = values(random, 6, 2, 8)
    for factor in (1 << 16, fixed_point.score_factor(1 / 8), fixed_point.score_factor(0.5**0.5)):
        found = fixed_point.to_keys(x, factor)
        assert found.dtype == np.int32
        expected = [by_hand.to_key(v, factor) for v in x.ravel().tolist()]
        assert found.ravel().tolist() == expected


def attention_by_hand(q, k, v, start, window, sinks):
    heads, group = q.shape[1], q.shape[1] // len(k)
    out = []
    for token, row in enumerate(q.tolist()):
        end = start + token + 1
        first = max(0, end - window) if window else 0
        out.append(
            [
                x
                for head in range(heads)
                for x in by_hand.attend(
                    row[head], k[head // group, first:end].tolist(),
                    v[head // group, first:end].tolist(), int(sinks[head]),
                )
            ]
        )  # fmt: skip
    return out


@pytest.mark.parametrize("window", [0, 1, 5, 100])
def test_attention(random, window):
    q = random.integers(-(2**14), 2**14, (4, 6, 8), np.int32)
    k, v = (random.integers(-(2**14), 2**14, (2, 15, 8), np.int32) for _ in range(2))
    sinks = ordinary_values(random, 6)
    found = fixed_point.attend(q, k, v, 9, window, sinks)
    assert found.tolist() == attention_by_hand(q, k, v, 9, window, sinks)


def test_attention_at_the_ends(random):
    ends = np.array([-(2**23), 2**23 - 1, 0, 1, -1], np.int32)
    q, k, v = (random.choice(ends, shape) for shape in ((3, 4, 6), (2, 9, 6), (2, 9, 6)))
    sinks = np.array([LOW, HIGH, 0, -1])
    found = fixed_point.attend(q, k, v, 6, 0, sinks)
    assert found.tolist() == attention_by_hand(q, k, v, 6, 0, sinks)


def test_scores_of_the_widest_head_do_not_wrap():
    """4,096 products of 46 bits: the largest score saturates, and so does the smallest."""
    size, low, high = 4096, -(2**23), 2**23 - 1
    k = np.full((1, 2, size), low, np.int32)
    k[0, 1] = high
    v = np.array([[[7] * size, [-9] * size]], np.int32)
    for end in (low, high):
        q = np.full((1, 1, size), end, np.int32)
        found = fixed_point.attend(q, k, v, 1, 0, np.array([LOW]))
        assert found.tolist() == attention_by_hand(q, k, v, 1, 0, np.array([LOW]))


@pytest.mark.parametrize("end", [-(2**23), 2**23 - 1])
def test_131072_positions_at_the_end_do_not_wrap(end):
    """All shares are one, all values the largest: the sums need 57 bits, the total 42."""
    n = 131_072
    v = np.full((1, n, 2), end, np.int32)
    found = fixed_point.attend(
        np.zeros((1, 1, 2), np.int32), np.zeros((1, n, 2), np.int32), v, n - 1, 0, np.zeros(1, int)
    )
    sums = n * by_hand.nearest(by_hand.Fraction(2**24 * end, 2**8))
    assert -(2**56) <= sums < 2**56
    assert found.tolist() == [[by_hand.divided(sums, (n + 1) << 24, 12)] * 2]
    assert np.abs(found).max() <= 2**27


def test_swiglu(random, values):
    for alpha, limit in ((111542, 7 << 16), (HIGH, HIGH), (1, 0), (1000 << 16, 100 << 16)):
        x = values(random, 6, 40)
        x[0] = LOW
        x[1] = HIGH
        x[2, ::2], x[2, 1::2] = LOW, HIGH
        found = fixed_point.swiglu(x, alpha, limit)
        for row, out in zip(x.tolist(), found.tolist(), strict=True):
            pairs = zip(row[::2], row[1::2], strict=True)
            assert out == [by_hand.swiglu(gate, up, alpha, limit) for gate, up in pairs]


@pytest.mark.parametrize("k", [1, 4, 9])
def test_routing(random, values, k):
    logits = values(random, 12, 9)
    logits[0], logits[1] = 5, random.choice([LOW, HIGH], 9)
    logits[2, 3] = logits[2, 6] = HIGH
    chosen, shares = fixed_point.route(logits, k)
    for row, ids, parts in zip(logits.tolist(), chosen.tolist(), shares.tolist(), strict=True):
        assert (ids, parts) == by_hand.route(row, k)
        assert 2**24 - k < sum(parts) <= 2**24


def mixed(x, outputs, shares):
    """Outputs [tokens, k, n], each times its share, added to x [tokens, n]: a `dot` and an `add`."""
    shared = fixed_point.inner(
        outputs.transpose(0, 2, 1), shares[:, None], 2, fixed_point.UNIT_FRACTION
    )
    return fixed_point.clipped(x + shared)


def test_mixing(random, values):
    _, shares = fixed_point.route(ordinary_values(random, 8, 5), 4)
    x, outputs = values(random, 8, 10), values(random, 8, 4, 10)
    outputs[0], outputs[1] = LOW, HIGH
    expected = [
        [
            by_hand.mix(int(x[t, i]), outputs[t, :, i].tolist(), shares[t].tolist())
            for i in range(10)
        ]
        for t in range(8)
    ]
    assert mixed(x, outputs, shares).tolist() == expected


def test_a_mix_rounds_halves_up():
    """Sums next to the halves of a unit, which a share of one 2^24th reaches exactly."""
    sums = np.array([2**23 - 1, 2**23, 2**23 + 1, -(2**23) - 1, -(2**23), -(2**23) + 1])
    x = np.zeros((1, 6), np.int64)
    found = mixed(x, sums[None, None], np.ones((1, 1), np.int64))
    assert found.tolist() == [[0, 1, 1, -1, 0, 0]]
