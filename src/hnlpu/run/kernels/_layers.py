"""All layers of a transformer, and attention alone, in C, called with arrays.

`run/emulate/_vector_unit.py` is the definition of everything here that is float32;
every result is the same, bit for bit.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.run.kernels._library import Descriptor, Library

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


class _Layer(ctypes.Structure):
    """`Layer` in layers.h."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in (
            "q", "k", "v", "o", "router", "gate_up", "down", "norm", "norm_after", "sinks")),
        *((name, ctypes.c_int64) for name in (
            "hidden", "heads", "kv_heads", "head_size", "experts", "active", "inner", "bits",
            "window")),
        ("eps", ctypes.c_double),
        ("gain", ctypes.c_float),
        ("limit", ctypes.c_float),
    )  # fmt: skip


class _Attention(ctypes.Structure):
    """`Attention` in kernels.h."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in (
            "queries", "keys", "values", "sinks", "tables", "sequences", "positions", "out")),
        *((name, ctypes.c_int64) for name in (
            "rows", "heads", "kv_heads", "size", "page_size", "pages", "window")),
    )  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """One layer's matrices, those of the experts by number, its norms, sinks and window.

    Attention sees the last `window` positions, 0: all.
    """

    q: Descriptor
    k: Descriptor
    v: Descriptor
    o: Descriptor
    router: Descriptor
    gate_up: Sequence[Descriptor]
    down: Sequence[Descriptor]
    norm: Float32
    norm_after: Float32
    sinks: Float32
    window: int


@dataclass(frozen=True)
class Numbers:
    """What layers need to know beside that; `eps` is of the norms, `gain`, `limit` of SwiGLU."""

    heads: int
    kv_heads: int
    head_size: int
    active: int
    activation_bits: int
    eps: float
    gain: float
    limit: float


@dataclass(frozen=True)
class Pages:
    """Where the keys and values of sequences lie.

    `keys` [layers, pages, kv heads, d, slots] and `values` [layers, pages, kv
    heads, slots, d]; `tables` [sequences, pages] names the pages of each
    sequence in order.
    """

    keys: Float32
    values: Float32
    tables: Int64


class LayerStack:
    """All layers of a model as the library takes them."""

    def __init__(self, library: Library, layers: Sequence[Layer], numbers: Numbers):
        self._library, self._numbers = library, numbers
        self._kept: list[Any] = [layers]
        self._hidden = layers[0].q.columns
        self._layers = (_Layer * len(layers))(*(self._make(layer) for layer in layers))

    def _make(self, m: Layer) -> _Layer:
        n = self._numbers
        arrays: list[npt.NDArray[Any]] = [
            np.array([d.address for d in m.gate_up], np.int64),
            np.array([d.address for d in m.down], np.int64),
            *(np.ascontiguousarray(a, np.float32) for a in (m.norm, m.norm_after, m.sinks)),
        ]
        self._kept.append(arrays)
        return _Layer(
            m.q.address, m.k.address, m.v.address, m.o.address, m.router.address,
            *(a.ctypes.data for a in arrays),
            m.q.columns, n.heads, n.kv_heads, n.head_size, len(m.down), n.active,
            m.down[0].columns, n.activation_bits, m.window, n.eps, n.gain, n.limit,
        )  # fmt: skip

    def forward(
        self, x: Float32, cos: Float32, sin: Float32, pages: Pages, sequences: Int64,
        positions: Int64, *, instructions: int = 0,
    ) -> Int64:  # fmt: skip
        """Run x [rows, hidden] through all layers, in place; `pages` takes in keys and values.

        Row r stands at `positions`[r] of sequence `sequences`[r]; rows of a
        sequence come in the order of their positions.  `cos` and `sin` [rows, d
        / 2] turn them.  Returns the experts that fired, [layers, rows, active],
        best first.  Raises NotFinite, NotForKernels; then x is of no use.
        """
        rows, count = len(x), len(self._layers)
        chosen = np.empty((count, rows, self._numbers.active), np.int64)
        arrays = (x, cos, sin, pages.keys, pages.values, pages.tables, sequences, positions)
        assert all(a.flags.c_contiguous for a in arrays)
        assert x.shape == (rows, self._hidden)
        assert len(pages.keys) == count
        assert len(sequences) == len(positions) == rows
        attention = _attention(
            (rows, self._numbers.heads, self._numbers.head_size), pages.keys[0], pages.values[0],
            pages.tables, sequences, positions,
        )  # fmt: skip
        self._library.run(
            "hnlpu_forward", ctypes.addressof(self._layers), count, instructions, x.ctypes.data,
            cos.ctypes.data, sin.ctypes.data, ctypes.addressof(attention), pages.keys[0].size,
            chosen.ctypes.data,
        )  # fmt: skip
        return chosen


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
    return attention


def attend_paged(
    library: Library, queries: Float32, keys: Float32, values: Float32, tables: Int64,
    sequences: Int64, positions: Int64, window: int, sinks: Float32, *, instructions: int = 0,
) -> Float32:  # fmt: skip
    """Grouped-query attention with sinks over one layer's pages: [rows, heads * d].

    Row r of `queries` [rows, heads, d] stands at `positions`[r] of sequence
    `sequences`[r]; `keys` [pages, kv heads, d, slots] and `values` [pages, kv
    heads, slots, d] are as in `Pages`.  It sees the last `window` positions (0:
    all).
    """
    rows, heads, size = queries.shape
    out = np.empty((rows, heads * size), np.float32)
    arrays = (queries, keys, values, tables, sequences, positions, sinks)
    assert all(a.flags.c_contiguous for a in arrays)
    attention = _attention(queries.shape, keys, values, tables, sequences, positions)
    attention.queries, attention.sinks = queries.ctypes.data, sinks.ctypes.data
    attention.out, attention.window = out.ctypes.data, window
    library.run("hnlpu_attend", ctypes.addressof(attention), instructions)
    return out
