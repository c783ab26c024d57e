"""Paged attention in Triton, in the order of `emulate`'s `attend`: the same bits.

    q k v ─► turn ─► pages ─► scores ─► shares ─► mixed values

A score sums over the head dimension in index order, many positions at once; a
head's output adds positions in order, all its dimensions at once.  Neither
needs another order to be parallel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import triton
import triton.language as tl

from hnlpu.run.kernels.gpu._numbers import EXACT, exponential

SPAN = 64  # positions that one program scores
SCRATCH = 2**26  # scores held at a time: 256 MB, and their shares as much again


@triton.jit
def _turned(start, cos, sin, at, i, inside, half: tl.constexpr, turns: tl.constexpr):
    """Both halves of some heads, turned by the angles of a row where it `turns`."""
    a = tl.load(start + at, mask=inside, other=0.0)
    b = tl.load(start + at + half, mask=inside, other=0.0)
    if turns:
        c = tl.load(cos + i, mask=i < half, other=0.0)[None, :]
        s = tl.load(sin + i, mask=i < half, other=0.0)[None, :]
        first, second = a * c - b * s, b * c + a * s
    else:
        first, second = a, b
    return first, second


@triton.jit
def _rotate(
    q, k, v, cos, sin, queries, keys, values, tables, sequences, positions, pages, head_pages,
    q_row, k_row, v_row, heads: tl.constexpr, kv_heads: tl.constexpr, half: tl.constexpr,
    page: tl.constexpr, turns: tl.constexpr, most: tl.constexpr, kv_most: tl.constexpr,
    width: tl.constexpr,
):  # fmt: skip
    """One row: its queries into `queries`, its keys and values into its page.

    Where it `turns`, queries and keys are turned first.  Rows of q, k and v lie as far apart as
    `q_row`, `k_row` and `v_row` say.
    """
    row = tl.program_id(0).to(tl.int64)
    size: tl.constexpr = 2 * half
    cos += row * half
    sin += row * half
    i = tl.arange(0, width)
    h = tl.arange(0, most)[:, None]
    inside = (h < heads) & (i < half)[None, :]
    at = h * size + i[None, :]
    first, second = _turned(q + row * q_row, cos, sin, at, i, inside, half, turns)
    tl.store(queries + row * (heads * size) + at, first, mask=inside)
    tl.store(queries + row * (heads * size) + at + half, second, mask=inside)
    position = tl.load(positions + row)
    where = tl.load(tables + tl.load(sequences + row) * pages + position // page) * head_pages
    slot = position % page
    g = tl.arange(0, kv_most)[:, None]
    inside = (g < kv_heads) & (i < half)[None, :]
    at = g * size + i[None, :]
    first, second = _turned(k + row * k_row, cos, sin, at, i, inside, half, turns)
    tl.store(keys + where + at * page + slot, first, mask=inside)
    tl.store(keys + where + (at + half) * page + slot, second, mask=inside)
    start = v + row * v_row
    to = values + where + (g * page + slot) * size + i[None, :]
    tl.store(to, tl.load(start + at, mask=inside, other=0.0), mask=inside)
    tl.store(to + half, tl.load(start + at + half, mask=inside, other=0.0), mask=inside)


@triton.jit
def _first(position, window: tl.constexpr):
    """The first position that is seen from `position`."""
    return tl.maximum(position - window + 1, 0) if window > 0 else position * 0


@triton.jit
def _scores(
    queries, keys, tables, sequences, positions, scores, pages, head_pages, scale: tl.constexpr,
    heads: tl.constexpr, kv_heads: tl.constexpr, size: tl.constexpr, page: tl.constexpr,
    window: tl.constexpr, width: tl.constexpr, span: tl.constexpr,
):  # fmt: skip
    """Scores of the heads that share a key head, of one row, for `span` positions."""
    row = tl.program_id(0).to(tl.int64)
    g = tl.program_id(1)
    j = tl.program_id(2) * span + tl.arange(0, span)
    position = tl.load(positions + row)
    first = _first(position, window)
    if (tl.program_id(2) * span > position) | (tl.program_id(2) * span + span <= first):
        return
    group: tl.constexpr = heads // kv_heads
    h = tl.arange(0, width)
    seen = (j >= first) & (j <= position)
    at = tl.load(tables + tl.load(sequences + row) * pages + j // page, mask=seen, other=0)
    spots = keys + at * head_pages + g * (size * page) + j % page
    asks = queries + (row * heads + g * group + h) * size
    total = tl.zeros([width, span], tl.float32)
    for d in range(size):
        q = tl.load(asks + d, mask=h < group, other=0.0)
        k = tl.load(spots + d * page, mask=seen, other=0.0)
        total += q[:, None] * k[None, :]
    to = scores + (row * heads + g * group + h)[:, None] * (pages * page) + j[None, :]
    tl.store(to, total * scale, mask=(h < group)[:, None] & seen[None, :])


@triton.jit
def _weights(scores, largest):
    """e^(score - largest) in float32."""
    return exponential((scores - largest).to(tl.float64)).to(tl.float32)


@triton.jit
def _shares(
    scores, shares, sinks, positions, capacity, heads: tl.constexpr, kv_heads: tl.constexpr,
    window: tl.constexpr, width: tl.constexpr, span: tl.constexpr,
):  # fmt: skip
    """The softmax of some heads' scores, with their sinks."""
    row = tl.program_id(0).to(tl.int64)
    group: tl.constexpr = heads // kv_heads
    h = tl.arange(0, width)
    real = h < group
    head = tl.program_id(1) * group + h
    position = tl.load(positions + row)
    first = _first(position, window)
    begin = first // span * span
    j = tl.arange(0, span)[None, :]
    mine = (row * heads + head) * capacity
    spots = mine[:, None] + j
    sink = tl.load(sinks + head, mask=real, other=0.0)
    best = tl.zeros([width, span], tl.float32) + sink[:, None]
    for start in range(begin, position + 1, span):
        seen = real[:, None] & (start + j >= first) & (start + j <= position)
        best = tl.maximum(best, tl.load(scores + spots + start, mask=seen, other=float("-inf")))
    largest = tl.max(best, axis=1)
    parts = tl.zeros([width, span], tl.float64)
    for start in range(begin, position + 1, span):
        seen = real[:, None] & (start + j >= first) & (start + j <= position)
        score = tl.load(scores + spots + start, mask=seen, other=float("-inf"))
        weight = tl.where(seen, _weights(score, largest[:, None]), 0.0)
        tl.store(shares + spots + start, weight, mask=seen)
        parts += weight.to(tl.float64)
    of_sink = _weights(sink, largest).to(tl.float64)
    total = of_sink + tl.sum(parts, axis=1)
    # of sums in any two orders
    apart = (position - first + 16).to(tl.float64) * 2.220446049250313e-16
    divisor = (total * (1.0 - apart)).to(tl.float32)
    if tl.max(tl.where(divisor != (total * (1.0 + apart)).to(tl.float32), 1, 0), axis=0) > 0:
        total = of_sink
        for at in range(first, position + 1):
            score = tl.load(scores + mine + at, mask=real, other=0.0)
            total += _weights(score, largest).to(tl.float64)
        divisor = total.to(tl.float32)
    divisors = tl.zeros([width, span], tl.float32) + divisor[:, None]
    tl.debug_barrier()  # what other threads stored is read from here on
    for start in range(begin, position + 1, span):
        seen = real[:, None] & (start + j >= first) & (start + j <= position)
        weight = tl.load(shares + spots + start, mask=seen, other=0.0)
        tl.store(shares + spots + start, tl.div_rn(weight, divisors), mask=seen)


@triton.jit
def _mixed(
    shares, values, tables, sequences, positions, out, pages, head_pages, heads: tl.constexpr,
    kv_heads: tl.constexpr, size: tl.constexpr, page: tl.constexpr, window: tl.constexpr,
    width: tl.constexpr, dims: tl.constexpr,
):  # fmt: skip
    """Values times shares, position after position, for the heads that share a value head.

    A page's positions are spelt out, so that their loads go ahead of the sums;
    one that is not seen adds +0 to a sum that is never -0.
    """
    row = tl.program_id(0).to(tl.int64)
    g = tl.program_id(1)
    d = tl.program_id(2) * dims + tl.arange(0, dims)
    position = tl.load(positions + row)
    first = _first(position, window)
    table = tables + tl.load(sequences + row) * pages
    group: tl.constexpr = heads // kv_heads
    h = tl.arange(0, width)
    mine = shares + (row * heads + g * group + h) * (pages * page)
    total = tl.zeros([width, dims], tl.float32)
    for p in range(first // page, position // page + 1):
        spots = values + tl.load(table + p) * head_pages + g * (page * size) + d
        for slot in tl.static_range(page):
            j = p * page + slot
            of_heads = (h < group) & (h * 0 + j >= first) & (h * 0 + j <= position)
            of_dims = (d < size) & (d * 0 + j >= first) & (d * 0 + j <= position)
            share = tl.load(mine + j, mask=of_heads, other=0.0)
            value = tl.load(spots + slot * size, mask=of_dims, other=0.0)
            total += share[:, None] * value[None, :]
    to = out + (row * heads + g * group + h)[:, None] * size + d[None, :]
    tl.store(to, total, mask=(h < group)[:, None] & (d < size)[None, :])


@dataclass(frozen=True)
class Places:
    """Where rows stand: all int64; `tables` [sequences, pages], the others [rows]."""

    tables: torch.Tensor
    sequences: torch.Tensor
    positions: torch.Tensor


def attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor,
    by: tuple[torch.Tensor, torch.Tensor] | None, keys: torch.Tensor, values: torch.Tensor,
    places: Places, window: int, sinks: torch.Tensor | None, scale: float,
) -> torch.Tensor:  # fmt: skip
    """Attention of rows that bring q [rows, heads, d], k and v [rows, kv heads, d]: [rows, heads * d].

    `by`: cosines and sines [rows, d / 2] that turn q and k first, if any.  `keys` [pages, kv heads,
    d, slots] and `values` [pages, kv heads, slots, d] take in the rows' own.  A row sees the last
    `window` positions (0: all); a head's sink, if there are any, joins its softmax.
    """
    (rows, heads, _), device = q.shape, q.device
    _, kv_heads, size, page = keys.shape
    pages = places.tables.shape[1]
    head_pages = kv_heads * size * page
    q, k, v = (x if x[0].is_contiguous() else x.contiguous() for x in (q, k, v))
    cos, sin = (x.contiguous() for x in by) if by is not None else (q, q)
    if sinks is None:  # of no weight
        sinks = torch.full((heads,), -torch.inf, dtype=torch.float32, device=device)
    queries = torch.empty((rows, heads * size), dtype=torch.float32, device=device)
    where = (places.tables, places.sequences, places.positions)
    _rotate[(rows,)](
        q, k, v, cos, sin, queries, keys, values, *where, pages, head_pages,
        q.stride(0), k.stride(0), v.stride(0), heads=heads, kv_heads=kv_heads, half=size // 2,
        page=page, turns=by is not None, most=triton.next_power_of_2(heads),
        kv_most=triton.next_power_of_2(kv_heads), width=triton.next_power_of_2(size // 2), **EXACT,
    )  # fmt: skip
    out = torch.empty_like(queries)
    step = max(1, min(rows, SCRATCH // (heads * pages * page)))
    for start in range(0, rows, step):
        part = slice(start, start + step)
        _mix_values(
            queries[part], keys, values,
            Places(places.tables, places.sequences[part], places.positions[part]), window, sinks,
            scale, out[part],
        )  # fmt: skip
    return out


def _mix_values(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, places: Places, window: int,
    sinks: torch.Tensor, scale: float, out: torch.Tensor,
) -> None:  # fmt: skip
    rows, device = len(queries), queries.device
    _, kv_heads, size, page = keys.shape
    heads, pages = len(sinks), places.tables.shape[1]
    head_pages = kv_heads * size * page
    where = (places.tables, places.sequences, places.positions)
    scores = torch.empty((rows, heads, pages * page), dtype=torch.float32, device=device)
    shares = torch.empty_like(scores)
    width = triton.next_power_of_2(heads // kv_heads)
    shape = {"heads": heads, "kv_heads": kv_heads, "size": size, "page": page, "window": window}
    _scores[(rows, kv_heads, triton.cdiv(pages * page, SPAN))](
        queries, keys, *where, scores, pages, head_pages,
        scale=float(np.float32(scale)), width=width, span=SPAN, **shape, **EXACT,
    )  # fmt: skip
    _shares[(rows, kv_heads)](
        scores, shares, sinks, places.positions, pages * page, heads=heads, kv_heads=kv_heads,
        window=window, width=width, span=256, **EXACT,
    )  # fmt: skip
    dims = triton.next_power_of_2(size)
    dims = min(16, dims) if device.type == "cuda" else dims
    _mixed[(rows, kv_heads, triton.cdiv(size, dims))](
        shares, values, *where, out, pages, head_pages, width=width, dims=dims, **shape, **EXACT
    )
