"""The numbers worked by hand in docs/exchange.md."""

from __future__ import annotations

import numpy as np

from hnlpu.arithmetic import fixed_point
from hnlpu.arithmetic.exchange import (
    CANDIDATE_BITS,
    FORMATS,
    WAYS,
    as_fp16,
    as_int8,
    attended_part,
    attention_bits,
    chance_bits,
    expert_bits,
    fp16_codes,
    int8_codes,
    int8_values,
    merged,
    packed,
    signed_bits,
    summed,
    unpacked,
)


def test_fp16() -> None:
    values = np.array([123456789, 2049, 2051, -2051, 2**31 - 1, -(2**31)])
    assert as_fp16(values).tolist() == [123469824, 2048, 2052, -2052, 2**31 - 1, -(2**31)]
    assert fp16_codes(np.array([98304, -98304, 1])).tolist() == [0x3E00, 0xBE00, 0x0100]


def test_int8() -> None:
    values = np.array([100000, -70000, 300, 5])
    codes = int8_codes(values)
    assert codes.shape == (1, 33)
    assert bytes(codes[0, :5]).hex() == "0a62bc0000"
    assert not codes[0, 5:].any()
    assert int8_values(codes, 4).tolist() == [100352, -69632, 0, 0]
    assert as_int8(values).tolist() == [100352, -69632, 0, 0]


def test_message() -> None:
    assert packed([5, -3, 7], 5).hex() == "a51f"
    assert unpacked(bytes.fromhex("a51f"), 5, 3) == [5, -3, 7]


def test_partial_sums() -> None:
    assert signed_bits(576 * 128) == 18
    assert signed_bits(112 * 128) == 15
    sums, shifts = np.array([[-9216], [-4608]]), np.array([128 - 124])
    scales = np.array([10, 10], np.int32)
    parts = fixed_point.from_sums(sums, scales, shifts, np.array([0]))
    assert parts.tolist() == [[-589824], [-294912]]
    whole = fixed_point.from_sums(sums.sum(0)[None], scales[:1], shifts, np.array([0]))
    for way in WAYS:
        for form in FORMATS:
            assert summed(parts, form, way).tolist() == whole[0].tolist() == [-884736]


def test_sums_round_at_each_hop() -> None:
    """2^16 + 1 needs 17 bits: halves go to the even, where each way rounds."""
    parts = np.array([[65536 + 32], [32], [32], [32]])
    assert summed(parts, "vector", "direct").tolist() == [65664]
    assert summed(parts, "fp16", "direct").tolist() == [65632]  # 65568 is a half, and goes down
    assert summed(parts, "fp16", "scatter").tolist() == [65664]  # 65632 is a half, and goes up
    # one number: the last chip owns it, 65536 + 32 + 32 + 32 from place 0 on
    assert summed(parts, "fp16", "ring").tolist() == [65536]
    # middle 2: 65536 and 32 from the left, 32 from the right, and its own
    assert summed(parts, "fp16", "line").tolist() == [65600]


def test_attention() -> None:
    queries = np.array([[2896, -1448]], np.int32)
    keys = np.array([[[4096, 0], [8192, 4096]]], np.int32)
    values = np.array([[[4096, 8192], [-4096, 0]]], np.int32)
    sinks = np.array([0])
    own = [fixed_point.largest_scores(queries, keys[:, n : n + 1]) for n in range(2)]
    assert [int(x[0]) for x in own] == [46336, 69504]
    exact = [
        fixed_point.attend_part(
            queries, keys[:, n : n + 1], values[:, n : n + 1], np.array([69504])
        )
        for n in range(2)
    ]
    assert [part.total.tolist() for part in exact] == [[11781268], [16777216]]
    assert [part.sums.tolist() for part in exact] == [[[188500288, 377000576]], [[-268435456, 0]]]
    assert fixed_point.merge_parts(exact, np.array([69504]), sinks).tolist() == [-9526, 44931]
    parts = [
        attended_part(
            fixed_point.attend_part(queries, keys[:, n : n + 1], values[:, n : n + 1], largest),
            largest,
        )
        for n, largest in enumerate(own)
    ]
    assert [p.total.tolist() for p in parts] == [[16384], [16384]]
    assert [p.output.tolist() for p in parts] == [[[65536, 131072]], [[-65536, 0]]]
    assert merged(parts, sinks).tolist() == [[-9527, 44931]]


def test_widths() -> None:
    assert attention_bits(1) == (25, 40)
    assert attention_bits(131072) == (42, 57)
    assert expert_bits(1) == 56
    assert expert_bits(4) == 58
    assert CANDIDATE_BITS == 32 + 32  # a value, and the number of a token
    assert chance_bits(12568) == 38
