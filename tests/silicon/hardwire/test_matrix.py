"""Integer weights, row facts and records against the golden model and brute force."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

import hnlpu
from helpers import bfloat16, make_config, random_tensors, write_checkpoint
from hnlpu.arithmetic import golden
from hnlpu.arithmetic.mx import dequantize, unpack
from hnlpu.errors import ExponentSpread, NotFinite
from hnlpu.model.checkpoint import bfloat16_to_float32, read_model
from hnlpu.model.checkpoint._writer import SafetensorsWriter
from hnlpu.silicon.hardwire import Digit, HardwiredMatrix, open_build, row_facts
from hnlpu.silicon.hardwire._convert import sum_bits

UP = "model.layers.0.mlp.experts.gate_up_proj"
E2M1 = (0, 0.5, 1, 1.5, 2, 3, 4, 6)


@st.composite
def digits(draw: st.DrawFn) -> tuple[Digit, ...]:
    """One or two digits whose exponents spread by at most 20; zero blocks lie anywhere."""
    count, rows = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    blocks = draw(st.integers(1, 3))
    base = draw(st.integers(0, 234))
    found = []
    for _ in range(count):
        codes = draw(hnp.arrays(np.uint8, (rows, blocks, 16)))
        exponents = draw(
            hnp.arrays(np.uint8, (rows, blocks), elements=st.integers(base, base + 20))
        )
        zero = draw(hnp.arrays(np.bool_, (rows, blocks)))
        codes[zero] &= 0x88  # zeros of both signs
        exponents[zero] = draw(st.integers(0, 254))
        found.append(Digit(codes, exponents))
    return tuple(found)


def golden_row(digits_: tuple[Digit, ...], row: int) -> tuple[int | None, list[int]]:
    codes = [unpack(d.codes[row]).tolist() for d in digits_]
    exponents = [d.exponents[row].tolist() for d in digits_]
    base = golden.row_exponent(codes, exponents)
    weights = [
        golden.integer_weight([c[i] for c in codes], [e[i // 32] for e in exponents], base or 0)
        for i in range(len(codes[0]))
    ]
    return base, weights


@settings(max_examples=150, deadline=None)
@given(digits())
def test_integers_rows_and_magnitudes_are_the_golden_models(found):
    facts = row_facts(found)
    integers = HardwiredMatrix(found, facts.row_exponents, None).integers()
    for row in range(len(integers)):
        base, weights = golden_row(found, row)
        assert integers[row].tolist() == weights
        assert facts.row_exponents[row] == (127 if base is None else base)
        total = sum(abs(w) for digit in found for w in golden_row((digit,), row)[1])
        if len(found) == 1:
            assert facts.magnitudes[row] == total
        assert facts.magnitudes[row] >= sum(map(abs, weights))


@settings(max_examples=60, deadline=None)
@given(digits())
def test_values_are_the_sum_of_the_digits_values(found):
    """Real values by the standard's table, without integers or row exponents."""
    matrix = HardwiredMatrix(found, row_facts(found).row_exponents, None)
    exact = np.zeros((matrix.rows, matrix.columns))
    for digit in found:
        codes = unpack(digit.codes)
        table = np.array(E2M1 + tuple(-v for v in E2M1))
        exact += table[codes] * 2.0 ** (np.repeat(digit.exponents, 32, axis=1).astype(int) - 127)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(matrix.values(), exact.astype(np.float32))


def test_minus_zero_is_zero_and_takes_no_part_in_the_row_exponent():
    codes = np.full((1, 2, 16), 0x88, np.uint8)
    codes[0, 1, 0] = 0x2A  # input 32 is -1, input 33 is +1
    digit = Digit(codes, np.array([[3, 120]], np.uint8))
    facts = row_facts((digit,))
    assert facts.row_exponents.tolist() == [120]
    assert facts.spreads.tolist() == [0]
    assert facts.magnitudes.tolist() == [4]
    integers = HardwiredMatrix((digit,), facts.row_exponents, None).integers()
    assert integers[0, :32].tolist() == [0] * 32
    assert integers[0, 32:35].tolist() == [-2, 2, 0]


@given(st.integers(0, 2**50), st.integers(2, 16))
def test_an_accumulator_holds_the_worst_sum_and_has_no_bit_to_spare(magnitude, activation_bits):
    """The worst input is -2^(A-1) against every positive weight, or against every negative one."""
    bits = sum_bits(magnitude, activation_bits)
    worst = magnitude << (activation_bits - 1)
    assert -(1 << (bits - 1)) <= -worst
    assert worst < 1 << (bits - 1)
    if magnitude:
        assert worst >= 1 << (bits - 2)


def recount(codes: np.ndarray, exponents: np.ndarray) -> tuple[list[int], Counter[int], int]:
    flat = unpack(codes).reshape(-1, 32)
    of_code = Counter(flat.reshape(-1).tolist())
    used = [bool((block & 7).any()) for block in flat]
    of_exponent = Counter(
        int(e) for e, is_used in zip(exponents.reshape(-1), used, strict=True) if is_used
    )
    return [of_code[c] for c in range(16)], of_exponent, used.count(False)


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_the_manifests_counts_are_a_brute_force_recount(tmp_path, preset):
    tensors = random_tensors(make_config(layers=1))
    tensors[UP + "_blocks"][1, :50] &= 0x88  # rows of zeros of both signs
    tensors[UP + "_blocks"][2, 7, 0] = 0
    checkpoint = write_checkpoint(tmp_path / "c", layers=1, tensors=tensors)
    build = open_build(hnlpu.build(checkpoint, tmp_path / "b", hnlpu.make_policy(preset)))
    model = read_model(checkpoint)
    bits = build.manifest.policy.activation_bits
    tight = False
    for name, shape in build.shapes().items():
        record = build.manifest.matrices[name]
        stack = [build.matrix(shape, i) for i in range(shape.count)]
        integers = np.stack([m.integers() for m in stack])
        for d, digit in enumerate(record.digits):
            codes = np.stack([m.digits[d].codes for m in stack])
            exponents = np.stack([m.digits[d].exponents for m in stack])
            of_code, of_exponent, zero_blocks = recount(codes, exponents)
            assert list(digit.codes) == of_code
            assert dict(digit.exponents) == of_exponent
            assert digit.zero_blocks == zero_blocks
        assert record.weights == integers.size
        both = np.stack([[unpack(d.codes) & 7 for d in m.digits] for m in stack])
        assert record.zeros == int((both == 0).all(axis=1).sum())
        assert record.spread == max(int(row_facts(m.digits).spreads.max()) for m in stack)
        largest = int(np.abs(integers).sum(axis=2).max()) << (bits - 1)
        assert largest < 1 << (record.accumulator_bits - 1)
        tight |= largest >= 1 << (record.accumulator_bits - 2)
        assert (record.format == "native") == (shape.role == "experts")
        if record.format != "native":
            error = np.abs(model.matrices[name].dense(0).astype(float) - stack[0].values())
            norm = np.linalg.norm(model.matrices[name].dense(0).astype(float))
            assert record.largest_error == pytest.approx(error.max(), rel=1e-5)
            assert record.relative_error == pytest.approx(np.linalg.norm(error) / norm, rel=1e-5)
            assert 0 < record.relative_error < (0.2 if record.format == "mxfp4" else 0.02)
        else:
            assert record.relative_error == record.largest_error == 0
    assert tight, "one bit less would hold every matrix"
    if preset == "default":
        assert {r.format for r in build.manifest.matrices.values()} == {"native", "mxfp4x2"}


def test_expert_digits_are_the_checkpoints_bytes(tiny_checkpoint: Path, tiny_build: Path):
    model, build = read_model(tiny_checkpoint), open_build(tiny_build)
    for name, matrix in model.matrices.items():
        if matrix.is_mxfp4:
            for i in range(matrix.shape.count):
                metal = build.matrix(build.shapes()[name], i)
                np.testing.assert_array_equal(metal.digits[0].codes, matrix.packed(i)[0])
                np.testing.assert_array_equal(metal.digits[0].exponents, matrix.packed(i)[1])


def test_one_digit_suffices_where_it_reproduces_a_matrix(tmp_path):
    """`auto` takes one digit for weights on the MXFP4 grid, two as soon as one is off it."""
    name = "model.layers.0.self_attn.q_proj"
    on_grid = np.resize(np.array(E2M1, np.float32) * 2.0**-5, (128, 64))
    off_grid = on_grid.copy()
    off_grid[127, 63] = 2.5 * 2.0**-5
    for values, expected in ((on_grid, "mxfp4"), (off_grid, "mxfp4x2")):
        tensors = {f"{name}.weight": bfloat16(values)}
        checkpoint = write_checkpoint(tmp_path / "c", tensors=tensors)
        build = open_build(hnlpu.build(checkpoint, tmp_path / "b"))
        assert build.manifest.matrices[name].format == expected
        np.testing.assert_array_equal(build.matrix(build.shapes()[name]).values(), values)


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """A checkpoint with one row, of expert 2, whose exponents span 33."""
    tensors = random_tensors(make_config(layers=1))
    tensors[UP + "_blocks"][2, 5] = 0x22
    tensors[UP + "_scales"][2, 5] = (90, 123)
    return write_checkpoint(tmp_path / "wide", layers=1, tensors=tensors)


def test_a_row_that_spreads_too_far_is_refused_by_name(wide, tmp_path):
    with pytest.raises(ExponentSpread, match=f"{UP}: expert 2, row 5 .*span 33.*`requantize`"):
        hnlpu.build(wide, tmp_path / "b")


def test_requantize_rounds_only_the_rows_that_spread_too_far(wide, tmp_path):
    policy = hnlpu.make_policy(requantize=True)
    path = hnlpu.build(wide, tmp_path / "b", policy)
    assert hnlpu.verify(path).passed
    build = open_build(path)
    record = build.manifest.matrices[UP]
    assert record.spread <= 20
    assert record.largest_error == pytest.approx(2.0**-37)  # block 0 rounds to zero
    matrix = read_model(wide).matrices[UP]
    for i in range(4):
        metal = build.matrix(build.shapes()[UP], i)
        for row in range(192):
            same = np.array_equal(metal.digits[0].codes[row], matrix.packed(i)[0][row])
            assert same != ((i, row) == (2, 5))


def test_a_smaller_spread_can_be_asked_for(tmp_path, tiny_checkpoint):
    with pytest.raises(ExponentSpread, match="more than the 2 allowed"):
        hnlpu.build(tiny_checkpoint, tmp_path / "b", hnlpu.make_policy(max_spread=2))
    policy = hnlpu.make_policy(max_spread=2, requantize=True)
    path = hnlpu.build(tiny_checkpoint, tmp_path / "b", policy)
    assert hnlpu.verify(path).passed
    assert max(m.spread for m in open_build(path).manifest.matrices.values()) == 2


@pytest.mark.parametrize("bits", [0x7F7F, 0xFF7F, 0x7F40, 0x7F00, 0x0001, 0x8001, 0x0080])
def test_the_ends_of_bfloat16s_range_are_weights_too(tmp_path, bits):
    """The largest once became a digit beyond float32, and the build died of it."""
    name = "model.layers.0.self_attn.q_proj"
    values = np.full((128, 64), bits, np.uint16)
    values[::2] = 0
    checkpoint = write_checkpoint(tmp_path / "c", layers=1, tensors={f"{name}.weight": values})
    path = hnlpu.build(checkpoint, tmp_path / "b")
    assert hnlpu.verify(path).passed
    metal = open_build(path).matrix(open_build(path).shapes()[name])
    digits_ = [dequantize(d.codes, d.exponents).astype(float) for d in metal.digits]
    exact = bfloat16_to_float32(values).astype(float)
    assert np.isfinite(digits_).all()
    subnormal = bits & 0x7F80 == 0
    assert subnormal or np.abs(sum(digits_) - exact).max() <= 0.01 * np.abs(exact).max()


def test_native_weights_beyond_float32_cannot_be_requantized(tmp_path):
    tensors = random_tensors(make_config(layers=1))
    tensors[UP + "_scales"][:] = 254
    checkpoint = write_checkpoint(tmp_path / "c", layers=1, tensors=tensors)
    assert hnlpu.verify(hnlpu.build(checkpoint, tmp_path / "b")).passed
    with pytest.raises(NotFinite, match=f"model.safetensors: {UP} holds weights beyond float32"):
        hnlpu.build(checkpoint, tmp_path / "b", hnlpu.make_policy(requantize=True))


def test_the_library_reads_the_files_that_we_write(tmp_path):
    random = np.random.default_rng(0)
    tensors = {
        "a": random.integers(0, 256, (3, 5), np.uint8),
        "b": random.integers(0, 2**15, (7,), np.uint16),
        "c": random.integers(0, 256, (2, 2, 4), np.uint8),
        "empty": np.zeros((0, 4), np.uint8),
    }
    layout = {n: ("BF16" if t.itemsize == 2 else "U8", t.shape) for n, t in tensors.items()}
    path = tmp_path / "x.safetensors"
    with SafetensorsWriter(path, layout) as writer:
        writer.put("c", tensors["c"][1:], 8)
        writer.put("c", tensors["c"][:1])
        writer.put("b", tensors["b"])
        writer.put("a", tensors["a"])
        with pytest.raises(ValueError, match="do not fit"):
            writer.put("a", tensors["a"], 1)
        with pytest.raises(ValueError, match="do not fit"):
            writer.put("a", tensors["b"])
    with safe_open(path, framework="pt") as file:
        assert set(file.keys()) == set(tensors)
        for name, array in tensors.items():
            found = file.get_tensor(name)
            assert tuple(found.shape) == array.shape
            raw = found.contiguous().view(-1).numpy() if array.itemsize == 1 else None
            if raw is None:
                import torch

                raw = found.view(torch.int16).numpy().view(np.uint16)
            np.testing.assert_array_equal(raw, array.reshape(-1))


def test_the_library_reads_a_build(tiny_build: Path):
    build = open_build(tiny_build)
    seen = 0
    for path in sorted((tiny_build / "weights").iterdir()):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  not a dictionary
                import torch

                ours, theirs = build.tensors[name].map(), file.get_tensor(name)
                if theirs.dtype == torch.bfloat16:
                    theirs = theirs.view(torch.int16)
                np.testing.assert_array_equal(ours.view(theirs.numpy().dtype), theirs.numpy())
                seen += 1
    assert seen == len(build.tensors)


def test_a_build_takes_at_most_0_56_bytes_per_fp4_weight(tmp_path):
    checkpoint = write_checkpoint(tmp_path / "c", hidden=256, intermediate=256, layers=1, experts=8)
    build = open_build(hnlpu.build(checkpoint, tmp_path / "b"))
    for name, shape in build.shapes().items():
        if shape.role == "experts":
            size = sum(
                math.prod(t.shape) * (2 if t.dtype == "BF16" else 1)
                for n, t in build.tensors.items()
                if n.startswith(name + ".") and not n.endswith(".bias")
            )
            assert size / shape.weights <= 0.56
