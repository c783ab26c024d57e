"""Sequence mixers by closed forms over all pairs of positions, and by torch and transformers.

They share nothing with the composites of the package, which tests and the study hold to them.  Arrays
have positions first: q and k [n, heads, K], v [n, heads, V].
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

Array = np.ndarray[Any, Any]


def attention(
    q: Array, k: Array, v: Array, scale: float, *, window: int | None = None,
    sink: Array | None = None, softcap: float | None = None,
) -> Array:  # fmt: skip
    """y [n, heads * V]; query heads share the heads of k and v in equal runs; `sink` [heads]."""
    n, group = len(q), q.shape[1] // k.shape[1]
    keys, values = (torch.tensor(x).repeat_interleave(group, 1) for x in (k, v))
    scores = scale * torch.einsum("ihd,jhd->hij", torch.tensor(q), keys)
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    i, j = torch.arange(n)[:, None], torch.arange(n)
    scores = scores.masked_fill((j > i) | (i - j >= (window or n)), -torch.inf)
    if sink is not None:
        scores = torch.cat([scores, torch.tensor(sink)[:, None, None].expand(-1, n, 1)], -1)
    shares = scores.softmax(-1)[..., :n]
    return torch.einsum("hij,jhd->ihd", shares, values).reshape(n, -1).numpy()


def retention(q: Array, k: Array, v: Array, decay: Array) -> Array:
    """y [n, heads, V]; decay [heads]."""
    age = np.arange(len(q))[:, None] - np.arange(len(q))
    fade = np.where(age >= 0, decay[:, None, None] ** np.maximum(age, 0), 0)
    return np.asarray(np.einsum("ihk,jhk,hij,jhv->ihv", q, k, fade, v))


def linear_attention(q: Array, k: Array, v: Array) -> Array:
    """y [n, heads, V]."""
    f, g = (torch.nn.functional.elu(torch.tensor(x)).double().numpy() + 1 for x in (q, k))
    scores = np.einsum("ihk,jhk->hij", f, g) * np.tri(len(q))
    return np.asarray(np.einsum("hij,jhv->ihv", scores / scores.sum(-1, keepdims=True), v))


def wkv(r: Array, k: Array, v: Array, decay: Array, bonus: Array) -> Array:
    """y [n, heads, V]; decay [n, heads, K], bonus [heads, K]."""
    y = np.zeros(v.shape)
    for i in range(len(r)):
        for j in range(i + 1):
            # the entry of j fades at every position between the two
            weight = bonus if i == j else np.prod(decay[j + 1 : i].astype(np.float64), axis=0)
            y[i] += np.einsum("hk,hk,hk,hv->hv", r[i], weight, k[j], v[j])
    return y


def state_space(x: Array, dt: Array, b: Array, c: Array, a: Array, skip: Array) -> Array:
    """y [n, heads, P] of x: Mamba-2's quadratic form, a mask of decays times C B^T.

    dt [n, heads], B and C [n, groups, N], a and skip [heads].
    """
    n, heads, _ = x.shape
    each = heads // b.shape[1]
    total = np.cumsum(dt.astype(np.float64) * a, axis=0)
    fade = np.exp(total[:, None] - total[None]) * np.tri(n)[..., None]
    bh, ch = (np.repeat(z, each, axis=1) for z in (b, c))
    return np.asarray(np.einsum("ihn,jhn,ijh,jh,jhp->ihp", ch, bh, fade, dt, x) + skip[:, None] * x)


def delta_rule(q: Array, k: Array, v: Array, beta: Array, decay: Array) -> Array:
    """y [n, heads, V] by transformers' form in chunks; beta and decay [n, heads].

    Keys are made unit length first; queries are scaled by 1 / sqrt(K) there.
    """
    from transformers.models.qwen3_next.modeling_qwen3_next import torch_chunk_gated_delta_rule

    length = k / np.sqrt((k * k).sum(-1, keepdims=True) + 1e-6)
    parts = (torch.tensor(x)[None] for x in (q, length, v, np.log(decay), beta))
    y, _ = torch_chunk_gated_delta_rule(*parts, chunk_size=4)
    return np.asarray(y[0])


def causal_conv(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """y [n, channels] of x [n, channels] by weights [channels, K]."""
    length = weight.shape[1]
    padded = torch.nn.functional.pad(torch.tensor(x).T[None], (length - 1, 0))
    weights, biases = torch.tensor(weight)[:, None], None if bias is None else torch.tensor(bias)
    y = torch.nn.functional.conv1d(padded, weights, biases, groups=len(weight))
    return np.asarray(y[0].T)
