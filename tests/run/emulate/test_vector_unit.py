"""The vector unit against straightforward float64 NumPy."""

import numpy as np
import pytest

from hnlpu.run.emulate import _vector_unit as vector_unit

CLOSE = {"rtol": 2e-6, "atol": 2e-6}


@pytest.fixture
def random():
    return np.random.default_rng(0)


def test_rms_norm(random):
    x = random.normal(size=(3, 50)).astype(np.float32)
    weight = random.normal(size=50).astype(np.float32)
    wide = x.astype(np.float64)
    expected = wide / np.sqrt((wide**2).mean(1, keepdims=True) + 1e-5) * weight
    np.testing.assert_allclose(vector_unit.rms_norm(x, weight, 1e-5), expected, **CLOSE)


def test_rotate_turns_pairs_and_keeps_their_length(random):
    x = random.normal(size=(4, 2, 6)).astype(np.float32)
    angles = random.normal(size=(4, 3))
    before = x.copy()
    vector_unit.rotate(x, np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32))
    turned = (before[..., :3] + 1j * before[..., 3:]) * np.exp(1j * angles)[:, None]
    np.testing.assert_allclose(x[..., :3] + 1j * x[..., 3:], turned, **CLOSE)


@pytest.mark.parametrize("window", [0, 1, 3, 100])
def test_attention_with_sinks_and_windows(random, window):
    tokens, heads, kv_heads, size, start = 5, 4, 2, 8, 7
    total = start + tokens
    q = random.normal(size=(tokens, heads, size)).astype(np.float32)
    k = random.normal(size=(kv_heads, size, total + 3)).astype(np.float32)
    v = random.normal(size=(kv_heads, total + 3, size)).astype(np.float32)
    sinks = random.normal(size=heads).astype(np.float32)
    out = vector_unit.attend(q, k, v, start, window, sinks).reshape(tokens, heads, size)
    for t in range(tokens):
        last = start + t
        first = max(0, last - window + 1) if window else 0
        for h in range(heads):
            scores = q[t, h].astype(np.float64) @ k[h // 2, :, first : last + 1] / np.sqrt(size)
            weights = np.exp(scores)
            weights /= weights.sum() + np.exp(float(sinks[h]))
            expected = weights @ v[h // 2, first : last + 1]
            np.testing.assert_allclose(out[t, h], expected, rtol=1e-5, atol=1e-5)


def test_attention_survives_huge_scores(random):
    q = np.full((1, 1, 4), 1e4, np.float32)
    k = np.full((1, 4, 2), 1e4, np.float32)
    v = np.arange(8, dtype=np.float32).reshape(1, 2, 4)
    out = vector_unit.attend(q, k, v, 1, 0, np.zeros(1, np.float32))
    np.testing.assert_allclose(out[0], v[0].mean(0))


def test_swiglu_clamps_and_interleaves(random):
    x = (random.normal(size=(3, 20)) * 6).astype(np.float32)
    gate = np.minimum(x[:, ::2].astype(np.float64), 7)
    up = np.clip(x[:, 1::2].astype(np.float64), -7, 7)
    expected = (up + 1) * gate / (1 + np.exp(-1.702 * gate))
    np.testing.assert_allclose(vector_unit.swiglu(x, 1.702, 7.0), expected, rtol=1e-5, atol=1e-5)


def test_route_takes_the_largest_and_prefers_the_first_of_equals():
    logits = np.array([[1, 3, 3, 2], [0, 0, 0, 0]], np.float32)
    chosen, shares = vector_unit.route(logits, 3)
    assert chosen.tolist() == [[1, 2, 3], [0, 1, 2]]
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(shares[0, 2] / shares[0, 0], np.exp(-1), rtol=1e-6)
