"""The transformer over rows of many sequences: the emulator's arithmetic, paged and batched.

Each row is one token at its own position of its own sequence.  Matrices give
exact integers and the vector unit works row by row, so a row's bits do not
depend on the rows beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hnlpu.checkpoint import FINAL_NORM, layer_prefix
from hnlpu.emulate import Activations, Transformer, vector_unit
from hnlpu.engine._attention import attend_paged, store
from hnlpu.engine._pages import PAGE, PagePool

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """Tokens to run through the layers together, each with its place.

    `tokens`, `positions` and `sequences` are [rows]; `tables` [sequences,
    pages] holds the pages of each sequence, enough for its rows.  Rows of a
    sequence come in the order of their positions.
    """

    tokens: Int64
    positions: Int64
    sequences: Int64
    tables: Int64


class BatchedTransformer:
    """`Transformer` for rows of many sequences; the keys and values live in a pool."""

    def __init__(self, transformer: Transformer):
        self.weights = weights = transformer.weights
        self.architecture = a = transformer.architecture
        self._frequencies, self._rope_factor = a.rope.frequencies(a.head_dim)
        names = (".input_layernorm.weight", ".post_attention_layernorm.weight", ".self_attn.sinks")
        self._vectors = [
            [weights.vector(layer_prefix(layer) + name) for name in names]
            for layer in range(a.num_hidden_layers)
        ]
        self._final_norm = weights.vector(FINAL_NORM)

    def forward(self, rows: Rows, pool: PagePool, wanted: Int64) -> tuple[Float32, Int64]:
        """Normalised hidden states of the rows `wanted`: [wanted, hidden]; `pool` takes all in.

        And the experts that fired for every row: [layers, rows, active].
        Raises NotFinite.
        """
        a, project, prepare = self.architecture, self.weights.project, self.weights.prepare
        n = len(rows.tokens)
        fired = np.empty((a.num_hidden_layers, n, a.num_experts_per_tok), np.int64)
        pages = rows.tables[rows.sequences, rows.positions // PAGE]
        slots = rows.positions % PAGE
        cos, sin = self._turns(rows.positions)
        with np.errstate(over="ignore", invalid="ignore"):  # NotFinite tells of them
            x = self.weights.embed(rows.tokens)
            mixed = np.empty((n, a.attention_width), np.float32)
            for layer, (norm, norm2, sinks) in enumerate(self._vectors):
                attention = layer_prefix(layer) + ".self_attn."
                h = prepare(vector_unit.rms_norm(x, norm, a.rms_norm_eps))
                q = project(attention + "q_proj", h).reshape(n, a.num_attention_heads, a.head_dim)
                k = project(attention + "k_proj", h).reshape(n, a.num_key_value_heads, a.head_dim)
                v = project(attention + "v_proj", h).reshape(n, a.num_key_value_heads, a.head_dim)
                vector_unit.rotate(q, cos, sin)
                vector_unit.rotate(k, cos, sin)
                keys, values = pool.keys[layer], pool.values[layer]
                store(k, v, keys, values, pages, slots)
                attend_paged(
                    q, keys, values, rows.tables, rows.sequences, rows.positions,
                    a.window(layer) or 0, sinks, mixed,
                )  # fmt: skip
                x = x + project(attention + "o_proj", prepare(mixed))
                h2 = prepare(vector_unit.rms_norm(x, norm2, a.rms_norm_eps))
                fired[layer] = self._experts(layer_prefix(layer) + ".mlp.", x, h2)
            return vector_unit.rms_norm(x[wanted], self._final_norm, a.rms_norm_eps), fired

    def _turns(self, positions: Int64) -> tuple[Float32, Float32]:
        """Cosines and sines of RoPE: [rows, head_dim / 2] each."""
        angles = (positions.astype(np.float32)[:, None] * self._frequencies).astype(np.float64)
        cos = (np.cos(angles) * self._rope_factor).astype(np.float32)
        sin = (np.sin(angles) * self._rope_factor).astype(np.float32)
        return cos, sin

    def _experts(self, prefix: str, x: Float32, h: Activations) -> Int64:
        """Add the mixture of experts to `x` in place; which fired: [rows, active]."""
        a, project, prepare = self.architecture, self.weights.project, self.weights.prepare
        chosen, shares = vector_unit.route(project(prefix + "router", h), a.num_experts_per_tok)
        outputs = np.empty((*chosen.shape, a.hidden_size), np.float32)
        for expert in np.unique(chosen).tolist():
            rows, ranks = np.nonzero(chosen == expert)
            gate_up = project(prefix + "experts.gate_up_proj", h.take(rows), expert)
            inner = prepare(vector_unit.swiglu(gate_up, a.swiglu_alpha, a.swiglu_limit))
            outputs[rows, ranks] = project(prefix + "experts.down_proj", inner, expert)
        vector_unit.mix(x, outputs, shares)
        return chosen
