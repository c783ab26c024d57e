"""Composites against definitions that share nothing with them: closed forms, torch, transformers."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DeepseekV3Config
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3TopkRouter

from hnlpu.model.network import Builder, Given, Input, Value, check, extract, ops
from hnlpu.model.network.composites import (
    attend,
    causal_conv,
    clamped_swiglu,
    delta_rule,
    layer_norm,
    linear_attention,
    norm,
    retention,
    rope,
    route,
    route_groups,
    selective_scan,
    softmax,
    ssm_scan,
    turns,
    unit_norm,
    wkv,
    wkv7,
)
from hnlpu.run.emulate import FloatConstants, Interpreter
from studies.mixers import definitions
from studies.mixers.composed import composed as run
from studies.mixers.composed import decays, normal

Array = np.ndarray
CLOSE = {"rtol": 2e-4, "atol": 2e-5}


SIZES = st.integers(1, 5)
POSITIONS = st.integers(1, 12)
SEEDS = st.integers(0, 2**32 - 1)
few = settings(max_examples=12, deadline=None)


# attention, of all positions and of a window


@few
@given(SEEDS, POSITIONS, SIZES, st.integers(1, 3), SIZES, st.integers(1, 6), st.sampled_from([None, 2, 5]),
       st.booleans(), st.sampled_from([None, 3.0]))  # fmt: skip
def test_attend(
    seed: int, n: int, kv: int, group: int, d: int, width: int, window: int | None, sinks: bool,
    softcap: float | None,
) -> None:  # fmt: skip
    random = np.random.default_rng(seed)
    q, k, v = (
        normal(random, n, kv * group, d),
        normal(random, n, kv, d),
        normal(random, n, kv, width),
    )
    sink = normal(random, kv * group)

    def write(q: Value, k: Value, v: Value, sink: Value | None = None) -> Value:
        return attend(q, k, v, scale=0.7, window=window, sink=sink, softcap=softcap)

    y = run(write, {"q": q, "k": k, "v": v}, {"sink": sink} if sinks else None)
    expected = definitions.attention(
        q, k, v, 0.7, window=window, sink=sink if sinks else None, softcap=softcap
    )
    np.testing.assert_allclose(y, expected, **CLOSE)


# memories of fixed size, each against its closed form over all pairs of positions


@few
@given(SEEDS, POSITIONS, SIZES, SIZES, SIZES)
def test_retention(seed: int, n: int, heads: int, key: int, width: int) -> None:
    random = np.random.default_rng(seed)
    q, k, v = (
        normal(random, n, heads, key),
        normal(random, n, heads, key),
        normal(random, n, heads, width),
    )
    decay = decays(random, heads)
    y = run(retention, {"q": q, "k": k, "v": v}, {"decay": decay})
    expected = definitions.retention(q, k, v, decay)
    np.testing.assert_allclose(y, expected, **CLOSE)


@few
@given(SEEDS, POSITIONS, SIZES, SIZES, SIZES)
def test_linear_attention(seed: int, n: int, heads: int, key: int, width: int) -> None:
    random = np.random.default_rng(seed)
    q, k, v = (
        normal(random, n, heads, key),
        normal(random, n, heads, key),
        normal(random, n, heads, width),
    )
    y = run(linear_attention, {"q": q, "k": k, "v": v})
    expected = definitions.linear_attention(q, k, v)
    np.testing.assert_allclose(y, expected, **CLOSE)


@few
@given(SEEDS, POSITIONS, SIZES, SIZES, SIZES)
def test_wkv(seed: int, n: int, heads: int, key: int, width: int) -> None:
    random = np.random.default_rng(seed)
    r, k, v = (
        normal(random, n, heads, key),
        normal(random, n, heads, key),
        normal(random, n, heads, width),
    )
    decay, bonus = decays(random, n, heads, key), normal(random, heads, key)
    y = run(wkv, {"r": r, "k": k, "v": v, "decay": decay}, {"bonus": bonus})
    expected = definitions.wkv(r, k, v, decay, bonus)
    np.testing.assert_allclose(y, expected, **CLOSE)


@few
@given(SEEDS, POSITIONS, SIZES, SIZES, SIZES)
def test_wkv7(seed: int, n: int, heads: int, key: int, width: int) -> None:
    """The paper's matrices S [V, K], turned by one matrix at each position."""
    random = np.random.default_rng(seed)
    r, k, v = (normal(random, n, heads, size) for size in (key, key, width))
    removed, rate = normal(random, n, heads, key), random.uniform(size=(n, heads, key))
    removed /= np.linalg.norm(removed, axis=-1, keepdims=True)
    data = {"r": r, "k": k, "v": v, "decay": decays(random, n, heads, key), "key": removed,
            "rate": rate.astype(np.float32)}  # fmt: skip
    state, expected = np.zeros((heads, width, key)), np.empty((n, heads, width))
    for i in range(n):
        turn = np.einsum("hk,kl->hkl", data["decay"][i], np.eye(key))
        turn -= removed[i][:, :, None] * (rate * removed)[i][:, None]
        state = state @ turn + v[i][:, :, None] * k[i][:, None]
        expected[i] = np.einsum("hvk,hk->hv", state, r[i])
    np.testing.assert_allclose(run(wkv7, data), expected, rtol=1e-3, atol=1e-4)


@few
@given(SEEDS, POSITIONS, st.integers(1, 3), st.integers(1, 3), SIZES, SIZES)
def test_ssm_scan(seed: int, n: int, groups: int, each: int, p: int, size: int) -> None:
    random = np.random.default_rng(seed)
    heads = groups * each
    x, dt = normal(random, n, heads, p), decays(random, n, heads)
    b_in, c_out = normal(random, n, groups, size), normal(random, n, groups, size)
    a, skip = -decays(random, heads), normal(random, heads)

    def write(x: Value, dt: Value, b: Value, c: Value, a: Value, skip: Value) -> Value:
        return ssm_scan(x, dt, a, b, c, skip)

    y = run(write, {"x": x, "dt": dt, "b": b_in, "c": c_out}, {"a": a, "skip": skip})
    expected = definitions.state_space(x, dt, b_in, c_out, a, skip)
    np.testing.assert_allclose(y, expected, **CLOSE)


@few
@given(SEEDS, POSITIONS, st.integers(1, 6), SIZES)
def test_selective_scan(seed: int, n: int, channels: int, size: int) -> None:
    random = np.random.default_rng(seed)
    x, dt = normal(random, n, channels), decays(random, n, channels)
    b_in, c_out = normal(random, n, size), normal(random, n, size)
    a, skip = -decays(random, channels, size), normal(random, channels)

    def write(x: Value, dt: Value, b: Value, c: Value, a: Value, skip: Value) -> Value:
        return selective_scan(x, dt, a, b, c, skip)

    y = run(write, {"x": x, "dt": dt, "b": b_in, "c": c_out}, {"a": a, "skip": skip})
    fade = np.exp((np.cumsum(dt, 0)[:, None] - np.cumsum(dt, 0)[None])[..., None] * a)
    among = np.tri(n)[:, :, None, None] * fade  # of position i what is left of j
    expected = np.einsum("in,jn,ijcn,jc,jc->ic", c_out, b_in, among, dt, x) + skip * x
    np.testing.assert_allclose(y, expected, **CLOSE)


@few
@given(SEEDS, POSITIONS, SIZES, st.integers(2, 6), SIZES)
def test_delta_rule(seed: int, n: int, heads: int, key: int, width: int) -> None:
    random = np.random.default_rng(seed)
    q, k, v = (
        normal(random, n, heads, key),
        normal(random, n, heads, key),
        normal(random, n, heads, width),
    )
    beta, decay = random.uniform(size=(n, heads)).astype(np.float32), decays(random, n, heads)

    def write(q: Value, k: Value, v: Value, beta: Value, decay: Value) -> Value:
        return delta_rule(q * key**-0.5, unit_norm(k, 1e-6), v, beta, decay)

    y = run(write, {"q": q, "k": k, "v": v, "beta": beta, "decay": decay})
    expected = definitions.delta_rule(q, k, v, beta, decay)
    np.testing.assert_allclose(y, expected, **CLOSE)


@few
@given(SEEDS, POSITIONS, SIZES, st.integers(1, 5), st.booleans())
def test_causal_conv(seed: int, n: int, channels: int, length: int, biased: bool) -> None:
    random = np.random.default_rng(seed)
    x, weight, bias = (
        normal(random, n, channels),
        normal(random, channels, length),
        normal(random, channels),
    )
    constants = {"weight": weight} | ({"bias": bias} if biased else {})
    y = run(causal_conv, {"x": x}, constants)
    expected = definitions.causal_conv(x, weight, bias if biased else None)
    np.testing.assert_allclose(y, expected, **CLOSE)


# what a position does with itself


@few
@given(SEEDS, st.lists(SIZES, min_size=0, max_size=2), st.integers(1, 40))
def test_norms(seed: int, rows: list[int], n: int) -> None:
    random = np.random.default_rng(seed)
    x, weight, bias = normal(random, 3, *rows, n), normal(random, n), normal(random, n)
    t, w, b = (torch.tensor(v) for v in (x, weight, bias))
    functional = torch.nn.functional
    y = run(lambda x, weight: norm(x, weight, 1e-2), {"x": x}, {"weight": weight})
    np.testing.assert_allclose(y, functional.rms_norm(t, (n,), w, 1e-2), **CLOSE)
    y = run(
        lambda x, weight, bias: layer_norm(x, weight, bias, 1e-2), {"x": x},
        {"weight": weight, "bias": bias},
    )  # fmt: skip
    np.testing.assert_allclose(y, functional.layer_norm(t, (n,), w, b, 1e-2), **CLOSE)
    y = run(lambda x: unit_norm(x, 1e-6), {"x": x})
    np.testing.assert_allclose(y, t / (t.square().sum(-1, keepdim=True) + 1e-6).sqrt(), **CLOSE)


@few
@given(SEEDS, SIZES, st.integers(1, 9), st.booleans())
def test_softmax(seed: int, rows: int, n: int, sinks: bool) -> None:
    random = np.random.default_rng(seed)
    x, sink = 20 * normal(random, 2, rows, n), normal(random, rows, 1)
    y = run(softmax, {"x": x}, {"sink": sink} if sinks else None)
    whole = np.concatenate([x, np.broadcast_to(sink, (2, rows, 1))], -1) if sinks else x
    np.testing.assert_allclose(y, torch.tensor(whole).softmax(-1)[..., :n], **CLOSE)


@few
@given(SEEDS, SIZES, st.integers(1, 4), st.integers(0, 3))
def test_rope_turns_pairs_and_leaves_the_rest(seed: int, heads: int, pairs: int, rest: int) -> None:
    random = np.random.default_rng(seed)
    x, frequencies = normal(random, 9, heads, 2 * pairs + rest), decays(random, pairs)

    def write(x: Value, frequencies: Value) -> Value:
        return rope(x, turns(x.builder.position(), frequencies, 1.5))

    y = run(write, {"x": x}, {"frequencies": frequencies})
    turn = 1.5 * np.exp(1j * np.arange(9)[:, None, None] * frequencies)
    turned = (x[..., :pairs] + 1j * x[..., pairs : 2 * pairs]) * turn
    expected = np.concatenate([turned.real, turned.imag, x[..., 2 * pairs :]], -1)
    np.testing.assert_allclose(y, expected, **CLOSE)


@few
@given(SEEDS, st.integers(1, 9), st.data(), st.booleans(), st.booleans())
def test_route(seed: int, experts: int, data: st.DataObject, first: bool, normalise: bool) -> None:
    logits = normal(np.random.default_rng(seed), 4, experts)
    k = data.draw(st.integers(1, experts))
    y = run(lambda x: route(x, k, share_first=first, normalise=normalise)[0], {"x": logits})
    shares = torch.tensor(logits).softmax(-1).topk(k).values
    if normalise or not first:
        shares = shares / shares.sum(-1, keepdim=True)
    np.testing.assert_allclose(y, shares, **CLOSE)


@few
@given(SEEDS, st.integers(1, 4), st.integers(2, 4), st.data(), st.booleans())
def test_route_groups(seed: int, groups: int, each: int, data: st.DataObject, norm: bool) -> None:
    """As transformers' router of DeepSeek-V3, whose matrix is the identity here."""
    random, experts = np.random.default_rng(seed), groups * each
    kept = data.draw(st.integers(1, groups))
    k = data.draw(st.integers(1, kept * each))
    config = DeepseekV3Config(
        hidden_size=experts, n_routed_experts=experts, n_group=groups, topk_group=kept,
        num_experts_per_tok=k, norm_topk_prob=norm, routed_scaling_factor=1.5,
    )  # fmt: skip
    router = DeepseekV3TopkRouter(config)
    logits, correction = normal(random, 4, experts), 0.1 * normal(random, experts)
    router.weight.data = torch.eye(experts)
    router.e_score_correction_bias = torch.tensor(correction)
    _, shares, numbers = router(torch.tensor(logits))
    expected = torch.zeros(4, experts).scatter(1, numbers, shares).detach()
    constants = {"correction": correction}
    if kept < groups:
        constants["groups"] = np.arange(groups, dtype=np.float32)

    def write(x: Value, correction: Value, groups: Value | None = None) -> Value:
        found, chosen = route_groups(
            x, correction, k, groups=groups, kept=kept, normalise=norm, scale=1.5
        )
        rows = x.builder.parameter("rows", (experts, experts), Given(
            tuple(map(float, np.eye(experts).ravel())), (experts, experts)
        ))  # fmt: skip
        return x.builder.step(ops.Dot("k,ke->e"), found, x.builder.lookup(rows, chosen))

    np.testing.assert_allclose(run(write, {"x": logits}, constants), expected, **CLOSE)


def test_clamped_swiglu_interleaves() -> None:
    x = 6 * normal(np.random.default_rng(0), 3, 2, 20)
    gate, up = np.minimum(x[..., ::2], 7), np.clip(x[..., 1::2], -7, 7)
    y = run(lambda x: clamped_swiglu(x, 1.702, 7.0), {"x": x})
    np.testing.assert_allclose(y, (up + 1) * gate / (1 + np.exp(-1.702 * gate)), **CLOSE)


# spans


def test_a_span_stands_alone() -> None:
    random = np.random.default_rng(4)
    b = Builder("two")
    x = b.input(Input("x", "data", (2, 3), "real"))
    decay = b.parameter("decay", (2,), Given((0.5, 0.9), (2,)))
    kept = retention(x * 2.0, x + 1.0, x, decay)
    network = b.finish(softmax(kept) - x)
    by_name = {span.composite: span for span in network.spans}
    parts = {name: extract(network, span) for name, span in by_name.items()}
    assert [x.name for x in parts["retention"].inputs] == ["add", "x", "mul"]
    assert check(parts["softmax"])
    data = {"x": normal(random, 6, 2, 3)}
    seen: dict[str, list[Array]] = {}

    def watch(step: object, position: int, results: tuple[Array, ...]) -> None:
        for name, value in zip(step.outs, results, strict=True):  # type: ignore[attr-defined]
            seen.setdefault(name, []).append(value)

    runs = Interpreter(network, FloatConstants(network, {}))
    runs.run(data, runs.start(), watch)
    seen["x"] = list(data["x"])
    for part in parts.values():
        alone = Interpreter(part, FloatConstants(part, {}))
        outputs, _ = alone.run({x.name: np.stack(seen[x.name]) for x in part.inputs}, alone.start())
        for name, output in zip(part.outputs, outputs, strict=True):
            assert output.tobytes() == np.stack(seen[name]).tobytes()
