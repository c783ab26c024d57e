"""The transformer over rows of many sequences: the emulator's arithmetic, paged and batched.

Each row is one token at its own position of its own sequence.  Matrices give
exact integers and the vector unit works row by row, so a row's bits do not
depend on the rows beside it.  The emulator's layers in C take such rows as
they are; where there are none, or an adapter runs beside the wires, the layers
are spelt out here.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hnlpu.errors import NotFinite
from hnlpu.model.checkpoint import UNEMBEDDING, Architecture, layer_prefix
from hnlpu.run.emulate import Transformer, mixture_of_experts, vector_unit
from hnlpu.run.engine._attention import attend_paged, store
from hnlpu.run.engine._batch import AdapterRows, Rows
from hnlpu.run.engine._layout import PAGE
from hnlpu.run.engine._memory import Memory
from hnlpu.run.engine._side_channel import ExpertsBeside, add_low_rank
from hnlpu.run.kernels import Pages

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


class Turns:
    """Cosines and sines of RoPE at any positions."""

    def __init__(self, architecture: Architecture):
        self._frequencies, self._factor = architecture.rope.frequencies(architecture.head_dim)

    def at(self, positions: Int64) -> tuple[Float32, Float32]:
        """Those of positions [rows]: [rows, head_dim / 2] each."""
        angles = (positions.astype(np.float32)[:, None] * self._frequencies).astype(np.float64)
        cos = (np.cos(angles) * self._factor).astype(np.float32)
        sin = (np.sin(angles) * self._factor).astype(np.float32)
        return cos, sin


class BatchedTransformer:
    """`Transformer` for rows of many sequences: a `Batched`."""

    def __init__(self, transformer: Transformer):
        self.weights = weights = transformer.weights
        self.architecture = a = transformer.architecture
        self._transformer = transformer
        self._compiled = transformer.compiled
        self._unit = transformer.plain.unit
        self._turns = Turns(a)
        names = (".input_layernorm.weight", ".post_attention_layernorm.weight", ".self_attn.sinks")
        self._vectors = [
            [weights.vector(layer_prefix(layer) + name) for name in names]
            for layer in range(a.num_hidden_layers)
        ]

    def forward(self, rows: Rows, memory: Memory, wanted: Int64) -> tuple[Float32, Int64]:
        """Normalised hidden states of the rows `wanted`: [wanted, hidden]; `memory` takes all in.

        And the experts that fired for every row: [layers, rows, active].
        Raises NotFinite.
        """
        cos, sin = self._turns.at(rows.positions)
        with np.errstate(over="ignore", invalid="ignore"):  # NotFinite tells of them
            x = self.weights.embed(rows.tokens)
            if self._compiled is None or rows.adapters:
                fired = self._layers(x, cos, sin, rows, memory)
            else:
                keys, values = memory.stacks
                pages = Pages(keys, values, rows.tables)
                fired = self._compiled.forward(x, cos, sin, pages, rows.sequences, rows.positions)
            hidden = self._transformer.norm(x[wanted])
        return hidden, fired

    def logits_in_pieces(
        self, hidden: Float32, adapters: AdapterRows
    ) -> Iterator[tuple[int, Float32]]:
        """Logits of many rows as (first row, logits) pieces.  Raises NotFinite.

        `adapters` names the rows that each adapter changes.
        """
        for first, logits in self._transformer.logits_in_pieces(hidden):
            end = first + len(logits)
            here = [
                (adapter, rows[(rows >= first) & (rows < end)] - first)
                for adapter, rows in adapters
            ]
            with np.errstate(over="ignore", invalid="ignore"):
                add_low_rank(logits, hidden[first:end], UNEMBEDDING, here)
            if adapters and not np.isfinite(logits).all():
                raise NotFinite(
                    "a logit is NaN or infinite; the adapter's values leave float32's range"
                )
            yield first, logits

    def _layers(self, x: Float32, cos: Float32, sin: Float32, rows: Rows, memory: Memory) -> Int64:
        """Run x [rows, hidden] through all layers, in place; the experts that fired."""
        a, weights, n = self.architecture, self.weights, len(x)
        fired = np.empty((a.num_hidden_layers, n, a.num_experts_per_tok), np.int64)
        pages = rows.tables[rows.sequences, rows.positions // PAGE]
        slots = rows.positions % PAGE
        mixed = np.empty((n, a.attention_width), np.float32)
        all_keys, all_values = memory.stacks
        for layer, (norm, norm_after, sinks) in enumerate(self._vectors):
            attention = layer_prefix(layer) + ".self_attn."
            h = vector_unit.rms_norm(x, norm, a.rms_norm_eps)
            names = [attention + name for name in ("q_proj", "k_proj", "v_proj")]
            found = weights.project_all(names, weights.prepare(h))
            q, k, v = (
                add_low_rank(y, h, name, rows.adapters).reshape(n, -1, a.head_dim)
                for name, y in zip(names, found, strict=True)
            )
            vector_unit.rotate(q, cos, sin)
            vector_unit.rotate(k, cos, sin)
            keys, values = all_keys[layer], all_values[layer]
            store(k, v, keys, values, pages, slots)
            attend_paged(
                q, keys, values, rows.tables, rows.sequences, rows.positions,
                a.window(layer) or 0, sinks, mixed,
            )  # fmt: skip
            name = attention + "o_proj"
            y = weights.project(name, weights.prepare(mixed))
            x += add_low_rank(y, mixed, name, rows.adapters)
            h = vector_unit.rms_norm(x, norm_after, a.rms_norm_eps)
            prefix = layer_prefix(layer) + ".mlp."
            beside = ExpertsBeside(prefix, h, rows.adapters) if rows.adapters else None
            fired[layer] = mixture_of_experts(
                weights, self._unit, prefix, x, weights.prepare(h), beside
            )
        return fired
