"""The vector unit in Triton: float32 in the order that `run/emulate/_vector_unit.py` states.

One program takes one row.  Where the definition adds in float64 in index order
and rounds the result once, the sum is taken in any order first, and both ends
of what the order can change are rounded; only where they round apart does the
program add in order.  So the bits are the definition's, but for exp: see
`exponential`.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from hnlpu.run.kernels.gpu._numbers import EXACT, exponential, nearest, power_of_two
from hnlpu.run.kernels.gpu._project import Integers


@triton.jit
def _root(total, n: tl.constexpr, eps: tl.constexpr):
    """1 / sqrt(total / n + eps) in float64, rounded to float32."""
    return (1.0 / tl.sqrt(total / n + eps)).to(tl.float32)


@triton.jit
def _to_integers(
    value, i, row, n: tl.constexpr, pitch: tl.constexpr, bits: tl.constexpr, integers, scales,
    infinite,
):  # fmt: skip
    """Store a row as `pitch` integers of `bits` bits, zeros from n on, and the exponent of their scale.

    What is not finite is noted.

    The scale is the smallest power of two that does not clip; from where the
    larger side clips for sure it takes at most two more steps.
    """
    finite = tl.min(tl.where((tl.abs(value) < float("inf")) | (i >= n), 1, 0), axis=0)
    wide = tl.where(finite > 0, value.to(tl.float64), 0.0)
    most, least = tl.max(wide, axis=0), tl.min(wide, axis=0)
    most, least = tl.maximum(most, 0.0), tl.minimum(least, 0.0)
    magnitude = tl.maximum(most, -least)
    s = ((magnitude.to(tl.int64, bitcast=True) >> 52) & 2047) - 1023 - bits + 1
    s = tl.where(magnitude == 0.0, 0, s)
    limit: tl.constexpr = 2 ** (bits - 1) - 1
    for _ in tl.static_range(2):
        unit = power_of_two(-s)
        clips = (nearest(most * unit) > limit) | (nearest(least * unit) < -limit - 1)
        s = tl.where(clips, s + 1, s)
    whole = nearest(wide * power_of_two(-s)).to(tl.float32)
    tl.store(integers + row * pitch + i, whole, mask=i < pitch)
    tl.store(scales + row, s.to(tl.int32))
    if finite == 0:
        tl.store(infinite + row, 1)


@triton.jit
def _norm(
    x, more, weight, out, integers, scales, infinite, eps: tl.constexpr, n: tl.constexpr,
    pitch: tl.constexpr, bits: tl.constexpr, adds: tl.constexpr, rounds: tl.constexpr,
    width: tl.constexpr,
):  # fmt: skip
    """x += more where `adds`; then RMSNorm of x into `out`, where it `rounds` as integers beside."""
    row = tl.program_id(0).to(tl.int64)
    i = tl.arange(0, width)
    inside = i < n
    value = tl.load(x + row * n + i, mask=inside, other=0.0)
    if adds:
        value = value + tl.load(more + row * n + i, mask=inside, other=0.0)
        tl.store(x + row * n + i, value, mask=inside)
    wide = value.to(tl.float64)
    total = tl.sum(wide * wide, axis=0)
    # n sums of what is not negative, in any two orders: within 2 n units of 2^-53
    apart: tl.constexpr = (2 * n + 16) * 1.1102230246251565e-16
    factor = _root(total * (1.0 - apart), n, eps)
    if factor != _root(total * (1.0 + apart), n, eps):
        tl.debug_barrier()  # x may have been stored by other threads
        total = tl.zeros([], tl.float64)
        for j in range(n):
            one = tl.load(x + row * n + j).to(tl.float64)
            total += one * one
        factor = _root(total, n, eps)
    scaled = tl.load(weight + i, mask=inside, other=0.0) * (value * factor)
    scaled = tl.where(inside, scaled, 0.0)
    tl.store(out + row * n + i, scaled, mask=inside)
    if rounds:
        _to_integers(scaled, i, row, n, pitch, bits, integers, scales, infinite)


@triton.jit
def _quantize(
    x, integers, scales, infinite, n: tl.constexpr, pitch: tl.constexpr, bits: tl.constexpr,
    width: tl.constexpr,
):  # fmt: skip
    """A row as integers."""
    row = tl.program_id(0).to(tl.int64)
    i = tl.arange(0, width)
    value = tl.load(x + row * n + i, mask=i < n, other=0.0)
    _to_integers(value, i, row, n, pitch, bits, integers, scales, infinite)


@triton.jit
def _swiglu(
    gate_up, integers, scales, infinite, gain: tl.constexpr, limit: tl.constexpr,
    n: tl.constexpr, pitch: tl.constexpr, bits: tl.constexpr, width: tl.constexpr,
):  # fmt: skip
    """(up + 1) * gate * sigmoid(gain * gate), both clamped, as integers."""
    row = tl.program_id(0).to(tl.int64)
    i = tl.arange(0, width)
    inside = i < n
    gate = tl.load(gate_up + row * 2 * n + 2 * i, mask=inside, other=0.0)
    up = tl.load(gate_up + row * 2 * n + 2 * i + 1, mask=inside, other=0.0)
    gate = tl.minimum(gate, limit)
    up = tl.minimum(tl.maximum(up, -limit), limit)
    e = exponential((-(gate * gain)).to(tl.float64))
    sigmoid = (1.0 / (1.0 + e)).to(tl.float32)
    value = tl.where(inside, (up + 1.0) * (gate * sigmoid), 0.0)
    _to_integers(value, i, row, n, pitch, bits, integers, scales, infinite)


@triton.jit
def _gated(
    gates, ups, integers, scales, infinite, gate_row, up_row, n: tl.constexpr,
    pitch: tl.constexpr, bits: tl.constexpr, width: tl.constexpr,
):  # fmt: skip
    """gate * sigmoid(gate) * up, as integers."""
    row = tl.program_id(0).to(tl.int64)
    i = tl.arange(0, width)
    inside = i < n
    gate = tl.load(gates + row * gate_row + i, mask=inside, other=0.0)
    up = tl.load(ups + row * up_row + i, mask=inside, other=0.0)
    sigmoid = (1.0 / (1.0 + exponential((-gate).to(tl.float64)))).to(tl.float32)
    value = tl.where(inside, (gate * sigmoid) * up, 0.0)
    _to_integers(value, i, row, n, pitch, bits, integers, scales, infinite)


@triton.jit
def _route(
    logits, chosen, shares, experts: tl.constexpr, active: tl.constexpr, width: tl.constexpr,
    ranks: tl.constexpr,
):  # fmt: skip
    """The `active` largest logits of a row and their softmax; of equals the lower number first."""
    row = tl.program_id(0).to(tl.int64)
    e, r = tl.arange(0, width), tl.arange(0, ranks)
    left = tl.load(logits + row * experts + e, mask=e < experts, other=float("-inf"))
    open_ = e < experts
    first = tl.max(left, axis=0)
    total = tl.zeros([], tl.float64)
    found = tl.zeros([ranks], tl.int64)
    weights = tl.zeros([ranks], tl.float32)
    for rank in tl.static_range(active):
        best = tl.max(tl.where(open_, left, float("-inf")), axis=0)
        at = tl.min(tl.where(open_ & (left == best), e, width), axis=0)
        at = tl.minimum(at, experts - 1)  # NaN equals nothing; such a row is refused later
        open_ = open_ & (e != at)
        weight = exponential((best - first).to(tl.float64)).to(tl.float32)
        total += weight.to(tl.float64)
        found = tl.where(r == rank, at.to(tl.int64), found)
        weights = tl.where(r == rank, weight, weights)
    divisor = tl.zeros([ranks], tl.float32) + total.to(tl.float32)
    inside = r < active
    tl.store(chosen + row * active + r, found, mask=inside)
    tl.store(shares + row * active + r, tl.div_rn(weights, divisor), mask=inside)


@triton.jit
def _route_all(
    logits, chosen, shares, experts: tl.constexpr, active: tl.constexpr, normalise: tl.constexpr,
    width: tl.constexpr, ranks: tl.constexpr,
):  # fmt: skip
    """The `active` largest of the softmax of all logits of a row, divided by their sum if asked.

    Of equals the lower number is first; sums are in float64 in the order of numbers, or of ranks.
    """
    row = tl.program_id(0).to(tl.int64)
    e, r = tl.arange(0, width), tl.arange(0, ranks)
    left = tl.load(logits + row * experts + e, mask=e < experts, other=float("-inf"))
    first = tl.max(left, axis=0)
    total = tl.zeros([], tl.float64)
    for at in range(experts):
        one = tl.load(logits + row * experts + at)
        total += exponential((one - first).to(tl.float64)).to(tl.float32).to(tl.float64)
    weight = exponential((left - first).to(tl.float64)).to(tl.float32)
    parts = tl.div_rn(weight, tl.zeros([width], tl.float32) + total.to(tl.float32))
    open_ = e < experts
    taken = tl.zeros([], tl.float64)
    found = tl.zeros([ranks], tl.int64)
    of_ranks = tl.zeros([ranks], tl.float32)
    for rank in tl.static_range(active):
        best = tl.max(tl.where(open_, parts, -1.0), axis=0)
        at = tl.min(tl.where(open_ & (parts == best), e, width), axis=0)
        at = tl.minimum(at, experts - 1)  # NaN equals nothing; such a row is refused later
        open_ = open_ & (e != at)
        taken += best.to(tl.float64)
        found = tl.where(r == rank, at.to(tl.int64), found)
        of_ranks = tl.where(r == rank, best, of_ranks)
    if normalise:
        of_ranks = tl.div_rn(of_ranks, tl.zeros([ranks], tl.float32) + taken.to(tl.float32))
    inside = r < active
    tl.store(chosen + row * active + r, found, mask=inside)
    tl.store(shares + row * active + r, of_ranks, mask=inside)


@triton.jit
def _mix(
    x, outputs, shares, out, n: tl.constexpr, active: tl.constexpr, adds: tl.constexpr,
    width: tl.constexpr,
):  # fmt: skip
    """The experts' outputs of a row, each times its share, in the order of their rank; x added."""
    row = tl.program_id(0).to(tl.int64)
    i = tl.program_id(1) * width + tl.arange(0, width)
    inside = i < n
    total = tl.zeros([width], tl.float32)
    for rank in tl.static_range(active):
        share = tl.load(shares + row * active + rank)
        part = share * tl.load(outputs + (row * active + rank) * n + i, mask=inside, other=0.0)
        if rank == 0:
            total = part
        else:
            total += part
    if adds:
        total = tl.load(x + row * n + i, mask=inside, other=0.0) + total
    tl.store(out + row * n + i, total, mask=inside)


BLOCK = 32
"""Inputs that a matrix takes together: rows of integers are as long as whole blocks."""


def _empty(
    rows: int, n: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, dict[str, int]]:
    """Integers and scales of rows [rows, n], and the sizes that a kernel asks for."""
    pitch = triton.cdiv(n, BLOCK) * BLOCK
    return (
        torch.empty((rows, pitch), dtype=torch.float32, device=device),
        torch.empty(rows, dtype=torch.int32, device=device),
        {"n": n, "pitch": pitch, "width": triton.next_power_of_2(pitch)},
    )


def norm(
    x: torch.Tensor, weight: torch.Tensor, eps: float, bits: int, infinite: torch.Tensor | None,
    more: torch.Tensor | None = None,
) -> tuple[torch.Tensor, Integers | None]:  # fmt: skip
    """RMSNorm of x [rows, n] as float32 and as integers; `more` is added to x first, in place.

    `infinite` int32 [rows] becomes 1 where a value is not finite; where it is left out, there are
    no integers.
    """
    rows, n = x.shape
    integers, scales, sizes = _empty(rows if infinite is not None else 0, n, x.device)
    out = torch.empty_like(x)
    _norm[(rows,)](
        x, x if more is None else more, weight, out, integers, scales,
        scales if infinite is None else infinite, eps=eps, bits=bits, adds=more is not None,
        rounds=infinite is not None, **sizes, **EXACT,
    )  # fmt: skip
    return out, None if infinite is None else Integers(integers, scales, bits)


def quantize(x: torch.Tensor, bits: int, infinite: torch.Tensor) -> Integers:
    """x [rows, n] as integers."""
    rows, n = x.shape
    integers, scales, sizes = _empty(rows, n, x.device)
    _quantize[(rows,)](x, integers, scales, infinite, bits=bits, **sizes, **EXACT)
    return Integers(integers, scales, bits)


def swiglu(
    gate_up: torch.Tensor, gain: float, limit: float, bits: int, infinite: torch.Tensor
) -> Integers:
    """SwiGLU of [entries, 2n], gates and ups alternating, as integers; `infinite` is [entries]."""
    rows, n = len(gate_up), gate_up.shape[1] // 2
    integers, scales, sizes = _empty(rows, n, gate_up.device)
    _swiglu[(rows,)](
        gate_up, integers, scales, infinite, gain=gain, limit=limit, bits=bits, **sizes, **EXACT
    )
    return Integers(integers, scales, bits)


def gated(gates: torch.Tensor, ups: torch.Tensor, bits: int, infinite: torch.Tensor) -> Integers:
    """gate * sigmoid(gate) * up of [entries, n] each, as integers; `infinite` is [entries]."""
    rows, n = gates.shape
    integers, scales, sizes = _empty(rows, n, gates.device)
    gates, ups = (x if x.stride(1) == 1 else x.contiguous() for x in (gates, ups))
    _gated[(rows,)](
        gates, ups, integers, scales, infinite, gates.stride(0), ups.stride(0), bits=bits, **sizes,
        **EXACT,
    )  # fmt: skip
    return Integers(integers, scales, bits)


def route(
    logits: torch.Tensor, active: int, *, of_all: bool = False, normalise: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """Experts int64 and shares float32 [rows, active] of logits [rows, experts].

    Shares are the softmax of the chosen; with `of_all` of all, then divided by their sum if
    `normalise`.
    """
    rows, experts = logits.shape
    chosen = torch.empty((rows, active), dtype=torch.int64, device=logits.device)
    shares = torch.empty((rows, active), dtype=torch.float32, device=logits.device)
    sizes = {"width": triton.next_power_of_2(experts), "ranks": triton.next_power_of_2(active)}
    arguments = (logits, chosen, shares)
    if of_all:
        _route_all[(rows,)](
            *arguments, experts=experts, active=active, normalise=normalise, **sizes, **EXACT
        )
    else:
        _route[(rows,)](*arguments, experts=experts, active=active, **sizes, **EXACT)
    return chosen, shares


def mix(x: torch.Tensor | None, outputs: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Outputs [rows * active, n], each times its share [rows, active]: [rows, n].

    With x [rows, n] they are added to it, in place.
    """
    (rows, active), n = shares.shape, outputs.shape[1]
    out = x
    if out is None:
        out = torch.empty((rows, n), dtype=torch.float32, device=outputs.device)
    width = min(1024, triton.next_power_of_2(n))
    _mix[rows, triton.cdiv(n, width)](
        out, outputs, shares, out, n=n, active=active, adds=x is not None, width=width, **EXACT
    )
    return out
