"""Vectors of values: norm, RoPE, SwiGLU, routing, mixing.  Every line is a step of the hardware."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.arithmetic.fixed_point._fixed import FRACTION, rounded, saturated, to_fixed
from hnlpu.arithmetic.fixed_point._functions import (
    divided,
    exponential,
    inverse_root,
    sigmoid,
    sine,
)
from hnlpu.arithmetic.fixed_point._tables import UNIT_FRACTION

Int64 = npt.NDArray[np.int64]

ONE = 1 << FRACTION


def norm_weights(weight: npt.NDArray[np.float32]) -> Int64:
    """A norm's weights [..., n] times sqrt(n), as values: `norm` divides by the root of a sum."""
    return to_fixed(np.asarray(weight, np.float64) * math.sqrt(weight.shape[-1]))


def norm_epsilon(eps: float, n: int) -> int:
    """n * eps in units of 2^-32, at least 1: added to the sum of n squares."""
    return max(1, math.floor(n * eps * 2.0**32 + 0.5))


@njit(cache=True, nogil=True)
def norm(x: Int64, weights: Int64, epsilon: int) -> Int64:
    """RMSNorm of values x [tokens, n] with `norm_weights` and `norm_epsilon`."""
    out = unit_norm(x, epsilon)
    for token in range(x.shape[0]):
        for i in range(x.shape[1]):
            out[token, i] = saturated(rounded(out[token, i] * weights[i], UNIT_FRACTION))
    return out


@njit(cache=True, nogil=True)
def unit_norm(x: Int64, epsilon: int) -> Int64:
    """Values x [tokens, n] over the root of the sum of their squares and `epsilon`, in 2^-24.

    The sum of squares S (exact, up to 62 bits and those of n) becomes m * 2^t with t even and
    2^30 <= m < 2^32, the rest of S falls away; r is 1 / sqrt(m).
    """
    tokens, n = x.shape
    out = np.empty_like(x)
    for token in range(tokens):
        low, high = epsilon & 0xFFFFFFFF, epsilon >> 32
        for i in range(n):
            square = x[token, i] * x[token, i]
            low += square & 0xFFFFFFFF
            high += square >> 32
        high += low >> 32
        low &= 0xFFFFFFFF
        bits = 0
        while (high >> bits) > 0:
            bits += 1
        if bits:
            bits += 32
        else:
            while (low >> bits) > 0:
                bits += 1
        t = bits - 32 + (bits & 1)
        if t <= 0:
            m = low << -t  # high is 0
        elif t < 32:
            m = (high << (32 - t)) + (low >> t)
        else:
            m = high >> (t - 32)
        r = inverse_root(m)
        for i in range(n):
            out[token, i] = rounded(x[token, i] * r, 15 + t // 2)
    return out


@njit(cache=True, nogil=True)
def rotations(positions: Int64, per_position: Int64, table: Int64) -> Int64:
    """Cosines and sines [2, tokens, d / 2] in units of 2^-24; `per_position` are `turns`."""
    out = np.empty((2, len(positions), len(per_position)), np.int64)
    for token in range(len(positions)):
        for i in range(len(per_position)):
            angle = (positions[token] * per_position[i]) & 0xFFFFFFFF
            out[0, token, i] = sine((angle + (1 << 30)) & 0xFFFFFFFF, table)
            out[1, token, i] = sine(angle, table)
    return out


@njit(cache=True, nogil=True)
def rotate(x: Int64, turned: Int64) -> None:
    """RoPE on split halves, in place: values x [tokens, heads, d], `rotations` [2, tokens, d / 2]."""
    tokens, heads, size = x.shape
    half = size // 2
    for token in range(tokens):
        for head in range(heads):
            for i in range(half):
                a, b = x[token, head, i], x[token, head, i + half]
                cos, sin = turned[0, token, i], turned[1, token, i]
                x[token, head, i] = saturated(rounded(a * cos - b * sin, UNIT_FRACTION))
                x[token, head, i + half] = saturated(rounded(b * cos + a * sin, UNIT_FRACTION))


@njit(cache=True, nogil=True)
def swiglu(gate_up: Int64, alpha: int, limit: int) -> Int64:
    """(up + 1) * gate * sigmoid(alpha * gate), both clamped: [tokens, n] from [tokens, 2 n].

    Even columns are the gate (at most `limit`), odd ones up (within +-limit); alpha and limit are
    values.
    """
    tokens, twice = gate_up.shape
    out = np.empty((tokens, twice // 2), np.int64)
    for token in range(tokens):
        for i in range(twice // 2):
            gate = min(gate_up[token, 2 * i], limit)
            up = min(max(gate_up[token, 2 * i + 1], -limit), limit)
            share = sigmoid(saturated(rounded(gate * alpha, FRACTION)))
            open_gate = rounded(gate * share, UNIT_FRACTION)
            out[token, i] = saturated(rounded((up + ONE) * open_gate, FRACTION))
    return out


@njit(cache=True, nogil=True)
def route(logits: Int64, k: int, of_all: bool = False) -> tuple[Int64, Int64]:
    """The k largest of logits [tokens, experts] and their softmax: ids and shares [tokens, k].

    Falling order; of equal logits the expert with the lower number comes first.  Shares are in
    units of 2^-24, of the k or, with `of_all`, of all experts.
    """
    tokens, experts = logits.shape
    chosen = np.empty((tokens, k), np.int64)
    shares = np.empty((tokens, k), np.int64)
    for token in range(tokens):
        taken = np.zeros(experts, np.bool_)
        total = 0
        for rank in range(k):
            best = -1
            for expert in range(experts):
                if not taken[expert] and (best < 0 or logits[token, expert] > logits[token, best]):
                    best = expert
            taken[best] = True
            chosen[token, rank] = best
            shares[token, rank] = exponential(logits[token, chosen[token, 0]] - logits[token, best])
            total += shares[token, rank]
        if of_all:
            for expert in range(experts):
                if not taken[expert]:
                    total += exponential(logits[token, chosen[token, 0]] - logits[token, expert])
        for rank in range(k):
            shares[token, rank] = divided(shares[token, rank], total, UNIT_FRACTION)
    return chosen, shares
