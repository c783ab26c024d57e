"""Attention alone, in C, called with arrays.

`run/emulate/_vector_unit.py` is the definition; every result is the same, bit for bit.
"""

from __future__ import annotations

import ctypes
import math

import numpy as np
import numpy.typing as npt

from hnlpu.run.kernels._library import Library

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


class _Attention(ctypes.Structure):
    """`Attention` in kernels.h."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in (
            "queries", "keys", "values", "sinks", "tables", "sequences", "positions", "out")),
        *((name, ctypes.c_int64) for name in (
            "rows", "heads", "kv_heads", "size", "page_size", "pages", "window")),
        ("scale", ctypes.c_float),
    )  # fmt: skip


def _attention(
    shape: tuple[int, ...], keys: Float32, values: Float32, tables: Int64, sequences: Int64,
    positions: Int64,
) -> _Attention:  # fmt: skip
    rows, heads, size = shape
    attention = _Attention()
    attention.keys, attention.values = keys.ctypes.data, values.ctypes.data
    attention.tables, attention.sequences = tables.ctypes.data, sequences.ctypes.data
    attention.positions = positions.ctypes.data
    attention.rows, attention.heads, attention.size = rows, heads, size
    attention.kv_heads, attention.page_size = keys.shape[1], keys.shape[3]
    attention.pages = tables.shape[1]
    attention.scale = 1.0 / math.sqrt(size)
    return attention


def attend_paged(
    library: Library, queries: Float32, keys: Float32, values: Float32, tables: Int64,
    sequences: Int64, positions: Int64, window: int, sinks: Float32, *, instructions: int | None = None,
) -> Float32:  # fmt: skip
    """Grouped-query attention with sinks over one layer's pages: [rows, heads * d].

    Row r of `queries` [rows, heads, d] stands at `positions`[r] of sequence
    `sequences`[r]; `keys` [pages, kv heads, d, slots] and `values` [pages, kv
    heads, slots, d] lie in pages, which `tables` [sequences, pages] names for each sequence in
    order.  It sees the last `window` positions (0: all).
    """
    rows, heads, size = queries.shape
    out = np.empty((rows, heads * size), np.float32)
    arrays = (queries, keys, values, tables, sequences, positions, sinks)
    assert all(a.flags.c_contiguous for a in arrays)
    attention = _attention(queries.shape, keys, values, tables, sequences, positions)
    attention.queries, attention.sinks = queries.ctypes.data, sinks.ctypes.data
    attention.out, attention.window = out.ctypes.data, window
    library.run("hnlpu_attend", ctypes.addressof(attention), library.set_of(instructions))
    return out
