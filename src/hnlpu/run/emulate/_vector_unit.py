"""The vector unit in `float` numerics: everything that is not a hardwired matrix.

Stated order of operations, the same for any number of tokens at once:

- values are float32; every product, sum and quotient rounds once, but for the
  steps named next;
- in float64, rounded once at the end: a norm's 1 / sqrt(mean of squares +
  eps), a sigmoid, every exp, and the sum of a softmax's rounded exps;
- sums run in index order; nothing is fused or re-associated.

exp, cos and sin are the C library's in float64, so two libraries may differ
in the last bit of a float64; after rounding to float32 that is rarely seen.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


@njit(cache=True, nogil=True)
def rms_norm(x: Float32, weight: Float32, eps: float) -> Float32:
    """x / sqrt(mean(x^2) + eps) * weight over the last axis of x [tokens, n]."""
    tokens, n = x.shape
    out = np.empty_like(x)
    for t in range(tokens):
        total = 0.0
        for i in range(n):
            total += np.float64(x[t, i]) * np.float64(x[t, i])
        factor = np.float32(1.0 / math.sqrt(total / n + eps))
        for i in range(n):
            out[t, i] = weight[i] * (x[t, i] * factor)
    return out


@njit(cache=True, nogil=True)
def rotate(x: Float32, cos: Float32, sin: Float32) -> None:
    """RoPE on split halves, in place: x [tokens, heads, d], cos and sin [tokens, d / 2]."""
    tokens, heads, size = x.shape
    half = size // 2
    for t in range(tokens):
        for h in range(heads):
            for i in range(half):
                a, b = x[t, h, i], x[t, h, i + half]
                x[t, h, i] = a * cos[t, i] - b * sin[t, i]
                x[t, h, i + half] = b * cos[t, i] + a * sin[t, i]


@njit(cache=True, nogil=True)
def attend(
    queries: Float32, keys: Float32, values: Float32, start: int, window: int, sinks: Float32
) -> Float32:
    """Grouped-query attention with sinks: [tokens, heads * d].

    `queries` [tokens, heads, d] stand at positions start, start + 1, ...;
    `keys` [kv heads, d, capacity] and `values` [kv heads, capacity, d] hold all
    positions up to their own.  Each query sees the last `window` positions
    (0: all).  A head's sink joins its softmax and contributes no value.
    """
    tokens, heads, size = queries.shape
    group = heads // keys.shape[0]
    scale = np.float32(1.0 / math.sqrt(size))
    out = np.zeros((tokens, heads * size), np.float32)
    scores = np.empty(start + tokens, np.float32)
    for t in range(tokens):
        position = start + t
        first = max(0, position - window + 1) if window > 0 else 0
        n = position + 1 - first
        for h in range(heads):
            g = h // group
            scores[:n] = np.float32(0.0)
            for d in range(size):
                q = queries[t, h, d]
                row = keys[g, d, first : first + n]
                for j in range(n):
                    scores[j] += q * row[j]
            largest = sinks[h]
            for j in range(n):
                scores[j] *= scale
                largest = max(largest, scores[j])
            total = np.float64(np.float32(math.exp(np.float64(sinks[h] - largest))))
            for j in range(n):
                scores[j] = np.float32(math.exp(np.float64(scores[j] - largest)))
                total += np.float64(scores[j])
            divisor = np.float32(total)
            head = out[t, h * size : (h + 1) * size]
            for j in range(n):
                share = scores[j] / divisor
                value = values[g, first + j]
                for d in range(size):
                    head[d] += share * value[d]
    return out


@njit(cache=True, nogil=True)
def swiglu(gate_up: Float32, alpha: float, limit: float) -> Float32:
    """(up + 1) * gate * sigmoid(alpha * gate), both clamped: [tokens, n] from [tokens, 2n].

    Even columns are the gate (at most `limit`), odd ones up (within +-limit).
    """
    tokens, twice = gate_up.shape
    out = np.empty((tokens, twice // 2), np.float32)
    most, gain, one = np.float32(limit), np.float32(alpha), np.float32(1.0)
    for t in range(tokens):
        for i in range(twice // 2):
            gate = min(gate_up[t, 2 * i], most)
            up = min(max(gate_up[t, 2 * i + 1], -most), most)
            sigmoid = np.float32(1.0 / (1.0 + math.exp(np.float64(-(gain * gate)))))
            out[t, i] = (up + one) * (gate * sigmoid)
    return out


@njit(cache=True, nogil=True)
def route(logits: Float32, k: int) -> tuple[Int64, Float32]:
    """The k largest of logits [tokens, experts] and their softmax: ids and shares [tokens, k].

    Falling order; of equal logits the expert with the lower number comes first.
    """
    tokens, experts = logits.shape
    chosen = np.empty((tokens, k), np.int64)
    shares = np.empty((tokens, k), np.float32)
    for t in range(tokens):
        taken = np.zeros(experts, np.bool_)
        for rank in range(k):
            best = -1
            for e in range(experts):
                if not taken[e] and (best < 0 or logits[t, e] > logits[t, best]):
                    best = e
            taken[best] = True
            chosen[t, rank] = best
        total = 0.0
        for rank in range(k):
            difference = logits[t, chosen[t, rank]] - logits[t, chosen[t, 0]]
            shares[t, rank] = np.float32(math.exp(np.float64(difference)))
            total += np.float64(shares[t, rank])
        for rank in range(k):
            shares[t, rank] = shares[t, rank] / np.float32(total)
    return chosen, shares
