"""The vector unit and whole halves of a layer in C, called with arrays.

Where `emulate` speaks of a layer's two sides and of attention, this is their
quick form; `emulate/_vector_unit.py` is the definition, and every result is the
same, bit for bit.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.kernels._library import Descriptor, Library

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


class _Layer(ctypes.Structure):
    """`Layer` in layers.h."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in (
            "q", "k", "v", "o", "router", "gate_up", "down", "norm", "norm_after")),
        *((name, ctypes.c_int64) for name in (
            "hidden", "heads", "kv_heads", "head_size", "experts", "active", "inner", "bits")),
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
class LayerMatrices:
    """The matrices of a layer, those of the experts by number, and its two norms."""

    q: Descriptor
    k: Descriptor
    v: Descriptor
    o: Descriptor
    router: Descriptor
    gate_up: Sequence[Descriptor]
    down: Sequence[Descriptor]
    norm: Float32
    norm_after: Float32


@dataclass(frozen=True)
class LayerNumbers:
    """What a layer needs to know beside its matrices; `eps` is of the norms, the rest of SwiGLU."""

    heads: int
    kv_heads: int
    head_size: int
    active: int
    activation_bits: int
    eps: float
    gain: float
    limit: float


@dataclass(frozen=True)
class LayerKernels:
    """One layer as the library takes it."""

    library: Library
    matrices: LayerMatrices
    numbers: LayerNumbers
    _layer: _Layer = field(init=False, repr=False)
    _kept: tuple[Any, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        m, n = self.matrices, self.numbers
        gate_up = np.array([d.address for d in m.gate_up], np.int64)
        down = np.array([d.address for d in m.down], np.int64)
        norms = [np.ascontiguousarray(a, np.float32) for a in (m.norm, m.norm_after)]
        layer = _Layer(
            m.q.address, m.k.address, m.v.address, m.o.address, m.router.address,
            gate_up.ctypes.data, down.ctypes.data, norms[0].ctypes.data, norms[1].ctypes.data,
            m.q.columns, n.heads, n.kv_heads, n.head_size, len(m.down), n.active,
            m.down[0].columns, n.activation_bits, n.eps, n.gain, n.limit,
        )  # fmt: skip
        object.__setattr__(self, "_layer", layer)
        object.__setattr__(self, "_kept", (gate_up, down, *norms))

    def before_attention(
        self, x: Float32, cos: Float32, sin: Float32
    ) -> tuple[Float32, Float32, Float32]:
        """Queries, keys (both rotated) and values [tokens, heads, d] of x [tokens, hidden].

        `cos` and `sin` are [tokens, d / 2].  Raises the library's errors.
        """
        n, tokens = self.numbers, len(x)
        q = np.empty((tokens, n.heads, n.head_size), np.float32)
        k = np.empty((tokens, n.kv_heads, n.head_size), np.float32)
        v = np.empty_like(k)
        self.library.run(
            "hnlpu_before_attention", ctypes.addressof(self._layer), 0, x.ctypes.data, tokens,
            cos.ctypes.data, sin.ctypes.data, q.ctypes.data, k.ctypes.data, v.ctypes.data,
        )  # fmt: skip
        return q, k, v

    def after_attention(self, x: Float32, mixed: Float32) -> Int64:
        """Add attention's output and the experts' to x [tokens, hidden], in place.

        `mixed` [tokens, heads * d] is what attention made.  Returns the experts
        of each token [tokens, active], best first.  Raises the library's errors.
        """
        chosen = np.empty((len(x), self.numbers.active), np.int64)
        self.library.run(
            "hnlpu_after_attention", ctypes.addressof(self._layer), 0, x.ctypes.data,
            mixed.ctypes.data, len(x), chosen.ctypes.data,
        )  # fmt: skip
        return chosen


def attend_paged(
    library: Library,
    queries: Float32,
    keys: Float32,
    values: Float32,
    tables: Int64,
    sequences: Int64,
    positions: Int64,
    window: int,
    sinks: Float32,
    *,
    instructions: int = 0,
) -> Float32:
    """Grouped-query attention with sinks over pages: [rows, heads * d].

    Row r of `queries` [rows, heads, d] stands at `positions`[r] of sequence
    `sequences`[r], whose keys [page, kv heads, d, slots] and values [page, kv
    heads, slots, d] lie on the pages `tables`[sequence].  It sees the last
    `window` positions (0: all).  All arrays are contiguous.
    """
    rows, heads, size = queries.shape
    out = np.empty((rows, heads * size), np.float32)
    attention = _Attention(
        queries.ctypes.data, keys.ctypes.data, values.ctypes.data, sinks.ctypes.data,
        tables.ctypes.data, sequences.ctypes.data, positions.ctypes.data, out.ctypes.data,
        rows, heads, keys.shape[1], size, keys.shape[3], tables.shape[1], window,
    )  # fmt: skip
    library.run("hnlpu_attend", ctypes.addressof(attention), instructions)
    return out
