"""Attention of many sequences at once over paged keys and values.

Row for row the order of operations of `emulate`'s `attend`: a score sums over
the head dimension in index order, the softmax and the mixture run over
positions in order.  Pages cut the positions into pieces; they re-associate
nothing, so the bits are the same.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


@njit(cache=True, nogil=True)
def store(
    k: Float32, v: Float32, keys: Float32, values: Float32, pages: Int64, slots: Int64
) -> None:
    """Put k and v [rows, kv heads, d] in their pages' slots.

    `keys` [pages, kv heads, d, slots] and `values` [pages, kv heads, slots, d]
    are one layer of the pool.
    """
    rows, heads, size = k.shape
    for r in range(rows):
        page, slot = pages[r], slots[r]
        for h in range(heads):
            for d in range(size):
                keys[page, h, d, slot] = k[r, h, d]
                values[page, h, slot, d] = v[r, h, d]


@njit(cache=True, nogil=True)
def attend_paged(
    queries: Float32,
    keys: Float32,
    values: Float32,
    tables: Int64,
    sequences: Int64,
    positions: Int64,
    window: int,
    sinks: Float32,
    out: Float32,
) -> None:
    """Grouped-query attention with sinks into `out` [rows, heads * d].

    Row r of `queries` [rows, heads, d] stands at `positions`[r] of sequence
    `sequences`[r], whose pages are `tables`[sequence].  It sees the last
    `window` positions (0: all).
    """
    rows, heads, size = queries.shape
    page_size = keys.shape[3]
    group = heads // keys.shape[1]
    scale = np.float32(1.0 / math.sqrt(size))
    longest = np.int64(0)
    for r in range(rows):
        longest = max(longest, positions[r] + 1)
    scores = np.empty(longest, np.float32)
    for r in range(rows):
        position = positions[r]
        table = tables[sequences[r]]
        first = max(np.int64(0), position - window + 1) if window > 0 else np.int64(0)
        for h in range(heads):
            g = h // group
            scores[first : position + 1] = np.float32(0.0)
            for p in range(first // page_size, position // page_size + 1):
                begin = p * page_size
                low = max(first, begin)
                high = min(position + 1, begin + page_size)
                part = scores[low:high]
                n = high - low
                for d in range(size):
                    q = queries[r, h, d]
                    row = keys[table[p], g, d, low - begin : high - begin]
                    for j in range(n):
                        part[j] += q * row[j]
            largest = sinks[h]
            for j in range(first, position + 1):
                scores[j] *= scale
                largest = max(largest, scores[j])
            total = np.float64(np.float32(math.exp(np.float64(sinks[h] - largest))))
            for j in range(first, position + 1):
                scores[j] = np.float32(math.exp(np.float64(scores[j] - largest)))
                total += np.float64(scores[j])
            divisor = np.float32(total)
            head = out[r, h * size : (h + 1) * size]
            head[:] = np.float32(0.0)
            for j in range(first, position + 1):
                share = scores[j] / divisor
                value = values[table[j // page_size], g, j % page_size]
                for d in range(size):
                    head[d] += share * value[d]
