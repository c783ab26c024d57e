"""What crosses a link: exact where it says so, NumPy's binary16, and the same whatever the way."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hnlpu.arithmetic import fixed_point
from hnlpu.arithmetic.exchange import (
    FORMATS,
    WAYS,
    as_fp16,
    as_int8,
    attended_part,
    attention_bits,
    bits_of,
    choose,
    fp16_codes,
    fp16_values,
    int8_codes,
    int8_values,
    merged,
    packed,
    sent,
    summed,
    unpacked,
)
from hnlpu.errors import InvalidInput

Array = np.ndarray[Any, Any]
VALUES = st.integers(-(2**31), 2**31 - 1)
VECTORS = st.lists(VALUES, min_size=1, max_size=70).map(np.array)
some = settings(max_examples=60, deadline=None)


@some
@given(VECTORS)
def test_fp16_is_binary16(values: Array) -> None:
    theirs = (values / 65536).astype(np.float16)
    assert np.array_equal(fp16_codes(values), theirs.view(np.uint16))
    exact = np.clip(theirs.astype(np.float64) * 65536, -(2**31), 2**31 - 1).astype(np.int64)
    assert np.array_equal(as_fp16(values), exact)
    assert np.array_equal(fp16_values(fp16_codes(values)), exact)


def test_every_code_of_fp16_below_2_to_the_15_comes_back() -> None:
    codes = np.arange(0x7801)  # 0x7800 is 2^15
    both = np.concatenate([codes, codes | 0x8000])
    real = both.astype(np.uint16).view(np.float16).astype(np.float64) * 65536
    whole = real == np.floor(real)  # below 2^-16 there are codes that no value has
    values = fp16_values(both[whole].astype(np.uint16))
    assert np.array_equal(values, np.clip(real[whole], -(2**31), 2**31 - 1))
    not_zero = values != 0
    assert np.array_equal(fp16_codes(values)[not_zero], both[whole][not_zero])


@some
@given(VECTORS)
def test_int8_holds_its_blocks(values: Array) -> None:
    codes = int8_codes(values)
    assert codes.shape == (-(-len(values) // 32), 33)
    assert np.array_equal(int8_values(codes, len(values)), as_int8(values))
    for block, code in enumerate(codes):
        own = values[32 * block : 32 * block + 32]
        scale = int(code[0])
        assert np.abs(as_int8(values)[32 * block : 32 * block + 32] - own).max() <= 2**scale / 2 + 1
        if scale:  # the next smaller scale would clip
            halves = [round(int(v) / 2 ** (scale - 1)) for v in own]
            assert max(halves) > 127 or min(halves) < -128


@some
@given(VECTORS, st.sampled_from(FORMATS))
def test_what_was_sent_is_not_rounded_again(values: Array, form: Any) -> None:
    once = sent(values, form)
    assert np.array_equal(sent(once, form), once)
    assert bits_of(len(values), form) >= 8 * len(values)


@some
@given(st.integers(1, 64), st.data())
def test_messages_come_back(bits: int, data: st.DataObject) -> None:
    numbers = data.draw(st.lists(st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1), max_size=9))
    message = packed(numbers, bits)
    assert len(message) == -(-bits * len(numbers) // 8)
    assert unpacked(message, bits, len(numbers)) == numbers
    raw = [n % 2**bits for n in numbers]
    assert packed(raw, bits, signed=False) == message
    assert unpacked(message, bits, len(numbers), signed=False) == raw


def test_messages_that_are_wrong() -> None:
    with pytest.raises(InvalidInput, match="16 does not fit 5 bits"):
        packed([16], 5)
    with pytest.raises(InvalidInput, match="3 bytes; 3 numbers of 5 bits have 2"):
        unpacked(b"\0\0\0", 5, 3)
    with pytest.raises(InvalidInput, match="behind its last number"):
        unpacked(b"\0\x80", 5, 3)


@some
@given(
    st.integers(1, 5),
    st.integers(0, 80),
    st.integers(0, 2**32 - 1),
    st.sampled_from(FORMATS),
    st.sampled_from(WAYS),
)
def test_sums(chips: int, n: int, seed: int, form: Any, way: Any) -> None:
    """Every way gives the sum to what its format and its hops round, and saturates it."""
    random = np.random.default_rng(seed)
    size = int(random.choice([100, 2**20, 2**31]))
    parts = random.integers(-size, size, (chips, n))
    total = summed(parts, form, way)
    exact = np.clip(parts.sum(0), -(2**31), 2**31 - 1)
    if form in ("exact", "vector") and size < 2**31:
        assert np.array_equal(total, exact)
    elif chips > 1:
        share = {"fp16": 2**-11, "int8": 2**-7}.get(form, 0.0)
        if size < 2**31:
            assert np.abs(total - exact).max(initial=0) <= share * chips**2 * size * 1.1 + 1
    assert np.abs(total).max(initial=0) <= 2**31
    if way == "direct" and chips > 1:  # no order matters where all add what all have sent
        order = random.permutation(chips)
        assert np.array_equal(summed(parts[order], form, way), total)


@some
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 40))
def test_attention_over_chips(seed: int, rows: int, positions: int) -> None:
    """Position p lies on chip p mod rows; narrow parts differ from the whole by their rounding."""
    random = np.random.default_rng(seed)
    heads, kv, d = 4, 2, 8
    queries = random.integers(-(2**13), 2**13, (heads, d)).astype(np.int32)
    keys = random.integers(-(2**13), 2**13, (kv, positions, d)).astype(np.int32)
    values = random.integers(-(2**23), 2**23, (kv, positions, d)).astype(np.int32)
    sinks = random.choice([0, 2**17, fixed_point.NO_SINK], heads)
    shards = [(keys[:, row::rows], values[:, row::rows]) for row in range(rows)]
    own = [fixed_point.largest_scores(queries, k) for k, _ in shards]
    largest = np.maximum(np.max(own, 0), sinks)
    exact = [fixed_point.attend_part(queries, k, v, largest) for k, v in shards]
    whole = fixed_point.attend(
        queries[None], keys, values, positions - 1, 0, sinks
    )  # the last position sees all
    assert np.array_equal(fixed_point.merge_parts(exact, largest, sinks), whole[0])
    for part, (k, _) in zip(exact, shards, strict=True):
        total_bits, sum_bits = attention_bits(k.shape[1])
        packed(part.total.ravel().tolist(), total_bits, signed=False)
        packed(part.sums.ravel().tolist(), sum_bits)
    narrow = [
        attended_part(fixed_point.attend_part(queries, k, v, m), m)
        for (k, v), m in zip(shards, own, strict=True)
    ]
    found = merged(narrow, sinks).ravel()
    # totals to 2^-14 of at least one position, outputs below 2^11 in units of 2^-16
    assert np.abs(found - whole[0]).max() <= rows * 2**27 * 2**-12


@some
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.sampled_from([0.0, 0.5, 1.0, 3.0]))
def test_chips_choose_what_one_chip_chooses(seed: int, chips: int, temperature: float) -> None:
    random = np.random.default_rng(seed)
    logits = random.integers(-3, 3, int(random.integers(1, 50))) << 15  # many are equal
    edges = [0, *sorted(random.integers(0, len(logits) + 1, chips - 1).tolist()), len(logits)]
    pieces = [logits[a:b] for a, b in itertools.pairwise(edges)]
    inverse = fixed_point.inverse_temperature(temperature)
    one, many = fixed_point.Random(seed), fixed_point.Random(seed)
    for _ in range(5):
        assert choose(pieces, inverse, many) == fixed_point.chip_sample(logits, inverse, one)
        assert one.state == many.state
