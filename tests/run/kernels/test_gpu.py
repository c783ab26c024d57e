"""Triton kernels against the definitions, bit for bit, in Triton's interpreter on the CPU."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

import triton.language as tl  # noqa: E402
from triton import jit  # noqa: E402

from hnlpu.model.network import Builder, Input  # noqa: E402
from hnlpu.model.network.composites import route  # noqa: E402
from hnlpu.run.emulate import (  # noqa: E402
    FloatConstants,
    Interpreter,
    project,
    quantize_activations,
)
from hnlpu.run.emulate import vector_unit as definition  # noqa: E402
from hnlpu.run.kernels import gpu  # noqa: E402
from hnlpu.run.kernels.gpu import _attention  # noqa: E402
from hnlpu.run.kernels.gpu import _vector_unit as unit  # noqa: E402
from hnlpu.run.kernels.gpu._numbers import EXACT, exponential  # noqa: E402
from kernel_samples import random_activations, random_matrix  # noqa: E402

CPU = torch.device("cpu")


def bits(x):
    return np.asarray(x, np.float32).view(np.int32)


def on_device(integers, scales, width):
    return gpu.Integers(torch.tensor(integers.astype(np.float32)), torch.tensor(scales), width)


def flags(n):
    return torch.zeros(n, dtype=torch.int32)


@pytest.mark.parametrize("grouped", [False, True], ids=["few", "tensor cores"])
@pytest.mark.parametrize(
    ("rows", "blocks", "digits", "spread", "tokens", "width"),
    [(33, 2, 2, 20, 3, 16), (5, 3, 1, 5, 1, 12), (270, 5, 1, 0, 17, 8)],
)
def test_sums_are_exact_and_round_once(rows, blocks, digits, spread, tokens, width, grouped):
    random = np.random.default_rng(rows)
    matrix = random_matrix(random, rows, blocks, digits, spread, bias=True)
    x = random_activations(random, tokens, matrix.columns, width)
    x[0, :2] = -(2 ** (width - 1)), 2 ** (width - 1) - 1
    scales = random.integers(-140 - width, 60, tokens).astype(np.int32)
    stack, inputs = gpu.GpuStack.of_matrix(matrix, CPU), on_device(x, scales, width)
    meeting = gpu.meet_one(tokens, CPU, grouped=grouped)
    sums = gpu.gpu_project(stack, inputs, meeting, sums=True).numpy()
    assert np.array_equal(sums, x.astype(np.int64) @ matrix.integers().T)
    with np.errstate(over="ignore"):
        y = gpu.gpu_project(stack, inputs, meeting).numpy()
    assert np.array_equal(bits(y), bits(project(matrix, x, scales)))


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("tokens", [1, 40])
def test_every_token_meets_its_experts(tokens, grouped):
    random = np.random.default_rng(tokens)
    matrices = [random_matrix(random, 40, 2, 1, 6, bias=True) for _ in range(5)]
    digits = [m.digits[0] for m in matrices]
    stack = gpu.GpuStack.of(
        [(np.stack([d.codes for d in digits]), np.stack([d.exponents for d in digits]))],
        np.stack([m.row_exponents for m in matrices]), np.stack([m.bias for m in matrices]), CPU,
    )  # fmt: skip
    x = random_activations(random, tokens, 64, 12)
    scales = random.integers(-160, -120, tokens).astype(np.int32)
    chosen = np.array([random.permutation(5)[:2] for _ in range(tokens)])
    chosen[chosen[:, 1] != 3, 0] = 3  # one expert in nearly every row: more than one group
    expected = [project(matrices[e], x[t : t + 1], scales[t : t + 1])
                for t in range(tokens) for e in chosen[t]]  # fmt: skip
    meeting = gpu.meet_experts(torch.tensor(chosen), 5, grouped=grouped)
    found = gpu.gpu_project(stack, on_device(x, scales, 12), meeting).numpy()
    assert np.array_equal(bits(found), bits(np.concatenate(expected)))


def test_exponents_that_no_build_may_hold_are_refused():
    matrix = random_matrix(np.random.default_rng(0), 4, 2, 1, 3)
    matrix.digits[0].codes[2, 1] = 0x11
    matrix.digits[0].exponents[2, 1] = matrix.row_exponents[2] + 40
    with pytest.raises(gpu.SpreadTooWide):
        gpu.GpuStack.of_matrix(matrix, CPU)


@jit
def _all_exp(x, out, n: tl.constexpr):
    i = tl.arange(0, n)
    tl.store(out + i, exponential(tl.load(x + i)))


def test_exp_is_the_c_librarys():
    n = 2**15
    x = np.random.default_rng(0).uniform(-104, 88, n).astype(np.float32).astype(np.float64)
    x[:6] = 0.0, -0.0, math.log(2) / 2, -103.9, 88.7, -1e-30
    out = torch.empty(n, dtype=torch.float64)
    _all_exp[(1,)](torch.tensor(x), out, n=n, **EXACT)
    expected = np.array([math.exp(v) for v in x])
    found = out.numpy()
    apart = np.abs(found.view(np.int64) - expected.view(np.int64))
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.005  # correctly rounded nearly always, as the C library's is
    assert np.array_equal(bits(found), bits(expected))


def near_a_tie(eps, n, random):
    """Rows whose norm may round either way, depending on the order of its sum."""
    row = random.standard_normal(n).astype(np.float32)
    row[-1] = 0
    last = random.uniform(0.5, 40, 2**21).astype(np.float32)
    total = float((row.astype(np.float64) ** 2).sum()) + last.astype(np.float64) ** 2
    apart = (2 * n + 16) * 2.0**-53
    low, high = (
        np.float32(1 / np.sqrt(total * (1 + s) / n + eps)) for s in (-0.5 * apart, 0.5 * apart)
    )
    found = last[low != high][:3]
    assert len(found) > 0
    rows = np.repeat(row[None], len(found), axis=0)
    rows[:, -1] = found
    return rows


@pytest.mark.parametrize("n", [96, 2880])
def test_norm(n):
    random, eps = np.random.default_rng(n), 1e-5
    x = random.standard_normal((4, n)) * 10.0 ** random.integers(-3, 4, (4, n))
    x = np.concatenate([x.astype(np.float32), near_a_tie(eps, n, random)])
    weight = random.standard_normal(n).astype(np.float32)
    more = np.zeros_like(x)
    more[:4] = random.standard_normal((4, n))
    into, infinite = torch.tensor(x), flags(len(x))
    out, integers = unit.norm(
        into, torch.tensor(weight), eps, 12, infinite, more=torch.tensor(more)
    )
    expected = definition.rms_norm(x + more, weight, eps)
    assert np.array_equal(bits(into), bits(x + more))
    assert np.array_equal(bits(out), bits(expected))
    whole, scales = quantize_activations(expected, 12)
    assert np.array_equal(integers.values.numpy(), whole)
    assert np.array_equal(integers.scales.numpy(), scales)
    assert not infinite.any()


@pytest.mark.parametrize("width", [2, 8, 12, 16])
def test_activations_become_the_same_integers(width):
    random = np.random.default_rng(width)
    x = (random.standard_normal((12, 50)) * 10.0 ** random.integers(-40, 38, (12, 1))).astype(
        np.float32
    )
    top = np.float32(2 ** (width - 1))
    x[0] = 0
    x[1] = np.float32(1e-45)
    x[2, :3] = -top, top / 2, 0.5  # the largest negative number fits
    x[2, 3:] = 0
    x[3, :3] = top - 0.5, 1.5, -0.5  # ties; and the largest one would round to 2^(bits - 1)
    x[3, 3:] = 0
    x[4] = -np.abs(x[4])
    integers = unit.quantize(torch.tensor(x), width, flags(len(x)))
    whole, scales = quantize_activations(x, width)
    assert np.array_equal(integers.values.numpy()[:, :50], whole)
    assert not integers.values.numpy()[:, 50:].any()  # up to whole blocks
    assert np.array_equal(integers.scales.numpy(), scales)


def test_what_is_not_finite_is_noted():
    x = torch.ones((4, 5))
    x[1, 4], x[2, 0], x[3, 2] = torch.inf, -torch.inf, torch.nan
    infinite = flags(4)
    unit.quantize(x, 12, infinite)
    assert infinite.tolist() == [0, 1, 1, 1]


def test_swiglu():
    random = np.random.default_rng(4)
    gate_up = (random.standard_normal((6, 2 * 96)) * np.array([[0.1, 1, 5, 30, 100, 0]]).T).astype(
        np.float32
    )
    found = unit.swiglu(torch.tensor(gate_up), 1.702, 7.0, 12, flags(6))
    whole, scales = quantize_activations(definition.swiglu(gate_up, 1.702, 7.0), 12)
    assert np.array_equal(found.values.numpy(), whole)
    assert np.array_equal(found.scales.numpy(), scales)


def test_the_router_prefers_lower_numbers_among_equals():
    random = np.random.default_rng(5)
    logits = random.integers(-2, 3, (20, 10)).astype(np.float32)  # full of ties
    logits[10:] = random.standard_normal((10, 10))
    chosen, shares = unit.route(torch.tensor(logits), 3)
    expected, expected_shares = definition.route(logits, 3)
    assert np.array_equal(chosen.numpy(), expected)
    assert np.array_equal(bits(shares), bits(expected_shares))


@pytest.mark.parametrize("normalise", [True, False])
def test_shares_of_all_experts_are_those_of_the_steps(normalise):
    random = np.random.default_rng(9)
    logits = random.integers(-2, 3, (12, 10)).astype(np.float32)  # full of ties
    logits[6:] = 3 * random.standard_normal((6, 10))
    b = Builder("routes")
    x = b.input(Input("x", "data", (10,), "real"))
    network = b.finish(*route(x, 3, share_first=True, normalise=normalise))
    runs = Interpreter(network, FloatConstants(network, {}))
    (expected_shares, expected), _ = runs.run({"x": logits}, runs.start())
    chosen, shares = unit.route(torch.tensor(logits), 3, of_all=True, normalise=normalise)
    assert np.array_equal(chosen.numpy(), expected)
    assert np.array_equal(bits(shares), bits(expected_shares))


def test_gates_of_silu():
    """Rows that lie beside each other, of a width that is no multiple of 32."""
    random = np.random.default_rng(10)
    both = (random.standard_normal((5, 2 * 40)) * np.array([[0.1, 1, 5, 30, 100]]).T).astype("f4")
    gates, ups = torch.tensor(both)[:, :40], torch.tensor(both)[:, 40:]
    found = unit.gated(gates, ups, 12, flags(5))
    x = both[:, :40]
    sigmoid = (1.0 / (1.0 + np.exp(-x.astype(np.float64)))).astype(np.float32)
    padded = np.pad((x * sigmoid) * both[:, 40:], ((0, 0), (0, 24)))
    whole, scales = quantize_activations(padded, 12)
    assert np.array_equal(found.values.numpy(), whole)
    assert np.array_equal(found.scales.numpy(), scales)


def test_experts_are_mixed_in_order():
    random = np.random.default_rng(6)
    x, outputs, shares = (
        random.standard_normal(shape).astype(np.float32) for shape in ((3, 70), (3, 4, 70), (3, 4))
    )
    parts = outputs * shares[..., None]
    mixed = ((parts[:, 0] + parts[:, 1]) + parts[:, 2]) + parts[:, 3]
    given = torch.tensor(outputs.reshape(12, 70)), torch.tensor(shares)
    assert np.array_equal(bits(unit.mix(None, *given)), bits(mixed))
    into = torch.tensor(x)
    assert unit.mix(into, *given) is into
    assert np.array_equal(bits(into), bits(x + mixed))


def test_a_softmax_near_a_tie_adds_in_order():
    """Two positions whose weights add up to the middle between two float32, but for the order."""
    sinks = np.array([0.0, 0.5], np.float32)
    random = np.random.default_rng(8)
    scores = random.uniform(-3, 0, (2, 2**20)).astype(np.float32)
    scores[0] = -1.25
    weights = np.exp(scores.astype(np.float64)).astype(np.float32).astype(np.float64)
    total = 1.0 + weights.sum(0)
    apart = 0.5 * 17 * 2.0**-52
    close = np.float32(total * (1 - apart)) != np.float32(total * (1 + apart))
    found = scores[:, close][:, :3]
    assert found.shape[1] > 0
    for pair in found.T:
        given = torch.tensor(np.stack([pair, pair])[None])  # [rows, heads, positions]
        shares = torch.zeros_like(given)
        _attention._shares[(1, 1)](
            given, shares, torch.tensor(sinks), torch.tensor([1]), 2, heads=2, kv_heads=1,
            window=0, width=2, span=16, **EXACT,
        )  # fmt: skip
        for head, sink in enumerate(sinks):
            largest = max(pair.max(), sink)
            expected = np.exp((pair - largest).astype(np.float64)).astype(np.float32)
            total = np.float64(np.float32(np.exp(np.float64(sink - largest))))
            for weight in expected:
                total += np.float64(weight)
            assert np.array_equal(bits(shares[0, head]), bits(expected / np.float32(total)))


@pytest.mark.parametrize(
    ("window", "spread", "turns"),
    [(0, 1.0, True), (1, 1.0, True), (37, 1000.0, True), (37, 1.0, False)],
)
def test_paged_attention(window, spread, turns):
    """With RoPE and sinks as gpt-oss has them, and with neither."""
    random = np.random.default_rng(7)
    heads, kv, size, start, tokens, page = 6, 2, 24, 90, 2, 16
    total = start + tokens
    qkv = random.standard_normal((tokens, (heads + 2 * kv) * size)).astype(np.float32)
    qkv[:, : heads * size] *= np.float32(spread)
    keys = random.standard_normal((kv, size, total)).astype(np.float32)
    values = random.standard_normal((kv, total, size)).astype(np.float32)
    sinks = random.standard_normal(heads).astype(np.float32)
    angles = random.uniform(-3, 3, (tokens, size // 2))
    cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)

    count = -(-total // page)
    table = random.permutation(count + 2)[:count]
    paged_keys = np.full((count + 2, kv, size, page), np.nan, np.float32)
    paged_values = np.full((count + 2, kv, page, size), np.nan, np.float32)
    for j in range(start):
        paged_keys[table[j // page], :, :, j % page] = keys[:, :, j]
        paged_values[table[j // page], :, j % page] = values[:, j]
    places = gpu.Places(
        torch.tensor(table[None]), torch.zeros(tokens, dtype=torch.int64),
        torch.arange(start, total),
    )  # fmt: skip
    by = (torch.tensor(cos), torch.tensor(sin)) if turns else None
    q, k, v = np.split(qkv.reshape(tokens, -1, size), [heads, heads + kv], axis=1)
    beside = torch.tensor(qkv).reshape(tokens, -1, size)  # rows that lie beside each other
    found = gpu.attend(
        *torch.split(beside, [heads, kv, kv], 1), by, torch.tensor(paged_keys),
        torch.tensor(paged_values), places, window, torch.tensor(sinks) if turns else None,
        1 / math.sqrt(size),
    )  # fmt: skip

    q, k = np.ascontiguousarray(q), np.ascontiguousarray(k)
    if turns:
        definition.rotate(q, cos, sin)
        definition.rotate(k, cos, sin)
    else:
        sinks[:] = -np.inf
    keys[:, :, start:], values[:, start:] = k.transpose(1, 2, 0), v.transpose(1, 0, 2)
    expected = definition.attend(q, keys, values, start, window, sinks)
    assert np.array_equal(bits(found), bits(expected))


def test_they_compile_for_an_h100_without_one():
    """No fused multiply-add, no flushed subnormals, no quick division: what the order rests on."""
    script = Path(__file__).with_name("gpu_compile.py")
    environment = os.environ | {"TRITON_INTERPRET": "0"}
    done = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    divides = {
        "_norm": " div.rn.f64 sqrt.rn.f64", "_swiglu": " div.rn.f64", "_gated": " div.rn.f64",
        "_route": " div.rn.f32", "_route_all": " div.rn.f32", "_shares": " div.rn.f32",
    }  # fmt: skip
    expected = [
        f"{name} | {'tensor cores' if name == '_many' else '-'} | keeps |{divides.get(name, '')}"
        for name in (
            "_few", "_many", "_norm", "_quantize", "_swiglu", "_gated", "_route", "_route_all",
            "_mix", "_rotate", "_scores", "_shares", "_mixed",
        )
    ]  # fmt: skip
    assert done.stdout.splitlines() == expected
