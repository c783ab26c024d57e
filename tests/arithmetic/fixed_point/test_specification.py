"""docs/vector-unit.md: its example comes out as it says, by hand and in code; its widths suffice."""

import contextlib
import io
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import by_hand
from hnlpu.arithmetic import fixed_point

PAGE = Path(__file__).parents[3] / "docs" / "vector-unit.md"
TEXT = " ".join(PAGE.read_text(encoding="utf-8").split())
EXAMPLE = TEXT.split("## An example by hand")[1].split("The same in code")[0]


def listed(numbers):
    return ", ".join(map(str, numbers))


def test_the_norm_and_its_activations():
    x = [by_hand.real(v) for v in (1.5, -0.25, 3.0, 0.0)]
    weights = [by_hand.real(2.0)] * 4
    epsilon = by_hand.nearest(Fraction(4e-5) * 2**32)
    total = epsilon + sum(v * v for v in x)
    m = total >> 4
    r = by_hand.inverse_root(m)
    shares = [by_hand.nearest(Fraction(v * r, 2**17)) for v in x]
    out = by_hand.norm(x, weights, epsilon)
    activations, s = by_hand.quantize(out, 8)
    assert (total.bit_length(), s) == (36, 10)
    for said in (listed(x), f"= {epsilon}", f"**{total}**", f"**{m}**", f"**{r}**",
                 listed(shares), f"**{listed(out)}**", f"**{listed(activations)}**"):  # fmt: skip
        assert said in EXAMPLE


def test_the_row():
    y = sum(w * x for w, x in zip((3, -2, 1, 4), (57, -10, 114, 0), strict=True))
    bias = by_hand.real(0.1)
    for said in (f"**{y}**", f"is {bias}"):
        assert said in EXAMPLE
    for b in (112, 120):
        assert f"**{by_hand.from_sums(y, 10, b, bias)}**" in EXAMPLE


def test_the_exponential_and_the_gate():
    t = 65536 * by_hand.LOG2_E >> 20
    power = by_hand.exp_entry(113) - by_hand.nearest(Fraction(33408 * 84, 256))
    assert t == 1 * 2**16 + 113 * 2**8 + 84
    assert by_hand.exp_entry(113) - by_hand.exp_entry(114) == 33408
    alpha = by_hand.real(1.702)
    z = by_hand.nearest(Fraction(49152 * alpha, 2**16))
    opened = by_hand.nearest(Fraction(49152 * by_hand.sigmoid(z), 2**24))
    for said in (f"power = 12355018 - rounded(33408 * 84, 8) = {power}",
                 f"**{by_hand.exponential(65536)}**", f"gate = {z}, entry 40, f = {z - 40 * 2048}",
                 f"{by_hand.sigmoid_entry(40)} and {by_hand.sigmoid_entry(41)}",
                 f"lies {by_hand.sigmoid(z)}", f"= {opened}",
                 f"**{by_hand.swiglu(49152, 16384, alpha, 7 << 16)}**"):  # fmt: skip
        assert said in EXAMPLE


def test_the_attention():
    q = [by_hand.to_key(by_hand.real(v), 46341) for v in (1, -0.5)]
    keys = [[4096, 0], [8192, 4096]]
    values = [[4096, 8192], [-4096, 0]]
    assert keys == [[by_hand.to_key(v << 16, 2**16) for v in k] for k in ((1, 0), (2, 1))]
    assert values == [[by_hand.to_key(v << 16, 2**16) for v in k] for k in ((1, 2), (-1, 0))]
    shares = [by_hand.exponential(69504 - score) for score in (46336, 69504, 0)]
    for said in (f"({listed(q)})", f"{shares[0]}, {shares[1]} and for the sink {shares[2]}",
                 f"**{sum(shares)}**", f"**{listed(by_hand.attend(q, keys, values, 0))}**"):  # fmt: skip
        assert said in EXAMPLE


def test_the_unit_of_a_gru():
    r, z = by_hand.sigmoid(49152), by_hand.sigmoid(114688)
    reset = by_hand.nearest(Fraction(r * 131072, 2**24))
    new = by_hand.tanh(by_hand.add(-16384, reset))
    coarse = by_hand.brought(new, 24, 20)
    apart = 524288 - coarse
    kept = by_hand.nearest(Fraction(z * apart, 2**24))
    for said in (f"sigmoid(49152) = **{r}**", f"sigmoid(114688) = **{z}**", f"24) = {reset}",
                 f"is {reset - 16384} and its tanh **{new}**", f"2^-20 {coarse}.",
                 f"n = {apart}, z times it {kept}", f"H = **{coarse + kept}**"):  # fmt: skip
        assert said in EXAMPLE


def test_the_step_of_a_state_space():
    dt = by_hand.softplus(-262144)
    u = by_hand.nearest(Fraction(dt * -98304, 2**16))
    t = by_hand.nearest(Fraction(-u * by_hand.LOG2_E, 2**20))
    for said in (f"softplus(-262144) = **{dt}**", f"16) = {u} in units", f"t = {t}",
                 f"decay = **{by_hand.power(u)}**"):  # fmt: skip
        assert said in EXAMPLE


def test_the_draw():
    random = by_hand.Random(0)
    numbers = [random.next() for _ in range(3)]
    weights = [by_hand.exponential(u) for u in (65536, 0, 131072)]
    reach = numbers[0] * sum(weights) >> 32
    for said in (f"**{numbers[0]}**, {numbers[1]}, {numbers[2]}", listed(weights),
                 f"together {sum(weights)}", f"= {reach} <"):  # fmt: skip
        assert said in EXAMPLE
    assert by_hand.sample([65536, 131072, 0], 65536, by_hand.Random(0)) == 0


def test_the_code_prints_what_its_comments_say():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, PAGE.name, "exec"), {})
    said = re.findall(r"\)  # (.*)", code)
    assert printed.getvalue().splitlines() == said
    assert len(said) == 6


def test_the_first_and_the_last_entries():
    table = TEXT.split("| table | entries |")[1].split("F is the factor")[0]
    for first, last in (
        (by_hand.exp_entry(0), by_hand.exp_entry(256)),
        (by_hand.sigmoid_entry(0), by_hand.sigmoid_entry(512)),
        (by_hand.softplus_entry(0), by_hand.softplus_entry(512)),
        (by_hand.normal_entry(0), by_hand.normal_entry(512)),
        (by_hand.sine_entry(0, 1.0), by_hand.sine_entry(256, 1.0)),
    ):
        assert f"{first}, {last}" in table
    assert f"| {by_hand.LOG2_E} |" in table


def test_no_entry_lies_near_a_half():
    """So float64, good to 2^-28 of a step, rounds every entry as 50 digits do."""
    exact = [Fraction(by_hand.Decimal(2) ** (by_hand.Decimal(-k) / 256)) for k in range(257)]
    exact += [Fraction(1 / (1 + (by_hand.Decimal(-k) / 32).exp())) for k in range(513)]
    exact += [
        Fraction(by_hand.decimal_sine(by_hand.pi() * k / 512) * by_hand.Decimal(factor))
        for k in range(257)
        for factor in (1.0, 0.1 * np.log(32) + 1)
    ]
    assert min(abs(x * 2**24 % 1 - Fraction(1, 2)) for x in exact) > Fraction(1, 10**4)
    exact = [Fraction((1 + (by_hand.Decimal(-k) / 32).exp()).ln()) for k in range(513)]
    exact += [by_hand.normal_integral(k) for k in range(513)]
    assert min(abs(x * 2**24 % 1 - Fraction(1, 2)) for x in exact) > Fraction(1, 10**6)


def signed_bits(*numbers):
    """Bits of two's complement that hold all of them."""
    return max((n if n >= 0 else ~n).bit_length() + 1 for n in numbers)


def width(row):
    """The cell of the table of widths that ends the row beginning so."""
    return TEXT.split(row)[1].split(" |")[0]


def test_widths_at_the_ends():
    """The largest each step can see, for gpt-oss; the table may say no less."""
    low, high, key_low, key_high = -(2**31), 2**31 - 1, -(2**23), 2**23 - 1
    n, d, positions, vocabulary, k = 2880, 64, 131_072, 201_088, 4
    assert (n * 2**62 + n * 2**32).bit_length() == 74
    assert "[74]" in width("| norm | S | ")
    assert signed_bits(d * key_low * key_low + 2**7, d * key_low * key_high) == 54
    assert "[54]" in width("| attend | q * k, their sum | ")
    assert (2**24 * (positions + 1)).bit_length() == 42
    assert "[42]" in width("| attend | total | ")
    sums = positions * by_hand.nearest(Fraction(2**24 * key_low, 2**8))
    assert signed_bits(sums) == 57
    assert "[57]" in width("| attend | p * v, rounded, sum_i | ")
    assert signed_bits(low * 111542, high * 111542 + 2**15) == 49
    assert "[49]" in width("| swiglu | gate * alpha | ")
    assert signed_bits((8 << 16) * low, (8 << 16) * high + 2**15) <= 52
    assert "[52]" in width("| swiglu | (up + 2^16) * open | ")
    assert signed_bits(low * low, high * low) == 64
    assert "64 signed" in width("| mul, outer | a * b | ")
    assert signed_bits(low * 1512775, high * 1512775) == 53
    assert "53 signed" in width("| power | u * LOG2_E, t, p * 2^-whole | ")
    slope = 104580 + (2**22 * 1197135 >> 24)
    assert ((2**38).bit_length(), (2**22 * 1197135 + 2**23).bit_length()) == (39, 43)
    assert signed_bits(-(2**19) * slope, 2**19 * slope + 2**15) <= 40
    assert "39, 43, 40 signed" in width("| gelu_tanh | y * y, times 1197135, y * p | ")
    assert signed_bits(low * 683565276, high * 683565276 + 2**15) == 62
    assert "62 signed" in width("| turned | x * 683565276 | ")
    assert (k * 2**24).bit_length() == 27
    assert "[27]" in width("| route | total, p << 24 | ")
    assert signed_bits(2**24 * low, 2**24 * high + 2**23) == 56
    assert (vocabulary * 2**24).bit_length() == 42
    assert ((2**32 - 1) * vocabulary * 2**24).bit_length() == 74
    assert "[42], 32 more [74]" in width("| sampling | sum of p, u * sum | ")


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=3), st.integers(1, 2**40))
def test_shares_of_a_norm_are_at_most_one(x, epsilon):
    """So a weight of one gives at most one, and a product with a weight has 57 bits."""
    found = fixed_point.norm(np.array([x]), np.full(len(x), 65536), epsilon)
    assert np.abs(found).max() <= 65536
