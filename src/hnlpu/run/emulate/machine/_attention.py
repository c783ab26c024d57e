"""Attention over positions that are dealt to the chips of a column: position p to row p mod R."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic import fixed_point
from hnlpu.arithmetic.exchange import Attended, Exchange, attended_part, merged_over
from hnlpu.arithmetic.fixed_point import AttendedPart, merge_parts
from hnlpu.run.emulate._chip_numerics import AttentionInputs
from hnlpu.silicon.exchange import ChipGrid, Shared, Where

Int64 = npt.NDArray[np.int64]


def attention_by_row(
    given: AttentionInputs, start: int, where: Where, grid: ChipGrid, exchange: Exchange
) -> Int64:
    """Attention's output [n, heads * width], of parts that cross links in the exchange's format.

    Entry 0 of keys and values is position `start`; `where` says which heads a column has.
    """
    form = exchange.formats.attention
    of = (given.queries, given.keys)
    own = fixed_point.largest_by_row(*of, given.kept, given.window, grid.rows, start, given.cap)
    if form == "exact":
        top = np.maximum(own.max(0), given.sinks)
        largest = np.ascontiguousarray(np.broadcast_to(top, own.shape))
    else:
        largest = own
    total, sums = fixed_point.sums_by_row(
        *of, given.values, given.kept, given.window, grid.rows, start, largest, given.cap
    )
    if form == "exact":
        return _whole(total, sums, largest[0], given.sinks)
    tokens, heads = own.shape[1:]
    spans = where.spans if isinstance(where, Shared) else ((0, heads),)
    out = np.empty((tokens, heads, sums.shape[-1]), np.int64)
    for token in range(tokens):
        for a, b in spans:
            parts: list[Attended] = [
                attended_part(AttendedPart(total[row, token, a:b], sums[row, token, a:b]),
                              own[row, token, a:b])
                for row in range(grid.rows)
            ]  # fmt: skip
            out[token, a:b] = merged_over(parts, given.sinks[a:b], form, exchange.column)
    return out.reshape(tokens, -1)


def _whole(total: Int64, sums: Int64, largest: Int64, sinks: Int64) -> Int64:
    """Attention of exact parts [rows, n, heads, ...], in the order of places."""
    rows, tokens, heads, width = sums.shape
    parts = [
        AttendedPart(total[row].reshape(-1), sums[row].reshape(-1, width)) for row in range(rows)
    ]
    both = np.ascontiguousarray(np.tile(sinks, tokens))
    return merge_parts(parts, largest.reshape(-1), both).reshape(tokens, heads * width)
