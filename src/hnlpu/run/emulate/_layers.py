"""The layers of a transformer: in C, or in NumPy and Numba.

    x ─► [ norm ─► q k v ─► rope ─► attend ─► o ─► +
           norm ─► router ─► experts ─► mix ─► + ] x layers

Both forms give the same bits.  The C form takes all layers in one call, so that
the cores work and Python does not; it serves hardwired weights with integer
activations where `hnlpu.run.kernels` could be compiled.
"""

from __future__ import annotations

from typing import Any, Generic

import numpy as np
import numpy.typing as npt

from hnlpu.errors import DamagedBuild
from hnlpu.model.checkpoint import layer_prefix
from hnlpu.run.emulate._cache import KeyValueCache
from hnlpu.run.emulate._experts import mixture_of_experts
from hnlpu.run.emulate._unit import Number, VectorUnit
from hnlpu.run.emulate._weights import HardwiredWeights, Weights
from hnlpu.run.kernels import Layer, LayerStack, Library, NotForKernels, Numbers, Pages, load

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


class PlainLayers(Generic[Number]):
    """All layers in NumPy and Numba, over any weights and their vector unit: the definition."""

    def __init__(self, weights: Weights[Number], unit: VectorUnit[Number]):
        self.weights: Weights[Number] = weights
        self.unit: VectorUnit[Number] = unit

    def forward(self, x: npt.NDArray[Number], turns: Any, cache: KeyValueCache) -> None:
        """Run x [tokens, hidden] through all layers, in place.

        The tokens stand after the positions that `cache` holds; it takes in their keys and
        values.  `turns` are RoPE's angles as the unit takes them.
        """
        weights, unit, n = self.weights, self.unit, len(x)
        for layer in range(weights.architecture.num_hidden_layers):
            prefix = layer_prefix(layer)
            attention = prefix + ".self_attn."
            h = weights.prepare(unit.norm(x, prefix + ".input_layernorm.weight"))
            names = [attention + name for name in ("q_proj", "k_proj", "v_proj")]
            q, k, v = (
                y.reshape(n, -1, weights.architecture.head_dim)
                for y in weights.project_all(names, h)
            )
            mixed = unit.attend(layer, q, k, v, turns, cache)
            unit.add(x, weights.project(attention + "o_proj", weights.prepare(mixed)))
            h = weights.prepare(unit.norm(x, prefix + ".post_attention_layernorm.weight"))
            mixture_of_experts(weights, unit, prefix + ".mlp.", x, h)


class CompiledLayers:
    """All layers in C, over hardwired weights and integer activations."""

    def __init__(self, weights: HardwiredWeights, library: Library):
        assert weights.activation_bits is not None
        a = weights.architecture
        self._directory = weights.directory
        numbers = Numbers(
            a.num_attention_heads, a.num_key_value_heads, a.head_dim, a.num_experts_per_tok,
            weights.activation_bits, a.rms_norm_eps, a.swiglu_alpha, a.swiglu_limit,
        )  # fmt: skip
        layers = [_layer(weights, number) for number in range(a.num_hidden_layers)]
        self._stack = LayerStack(library, layers, numbers)
        self._library, self._eps = library, a.rms_norm_eps

    def forward(
        self, x: Float32, cos: Float32, sin: Float32, pages: Pages, sequences: Int64,
        positions: Int64, *, instructions: int = 0,
    ) -> Int64:  # fmt: skip
        """Run rows x [rows, hidden] of any sequences through all layers, in place.

        Row r stands at `positions`[r] of sequence `sequences`[r], whose keys and
        values `pages` holds and takes in; `cos` and `sin` are [rows, d / 2].
        Returns the experts that fired: [layers, rows, active].  Raises
        NotFinite, DamagedBuild.
        """
        try:
            return self._stack.forward(
                x, cos, sin, pages, sequences, positions, instructions=instructions
            )
        except NotForKernels:
            raise DamagedBuild(
                f"{self._directory}: exponents of a row spread further than a build may hold; "
                "'hnlpu verify' names it"
            ) from None

    def norm(self, x: Float32, weight: Float32) -> Float32:
        """RMSNorm of x [rows, hidden]."""
        return self._library.norm(x, weight, self._eps)


def compiled_layers(weights: Weights[np.float32]) -> CompiledLayers | None:
    """All layers in C, where there is a library and it can compute with these weights."""
    library, _ = load()
    if library is None or not isinstance(weights, HardwiredWeights):
        return None
    return CompiledLayers(weights, library) if weights.activation_bits else None


def _layer(weights: HardwiredWeights, number: int) -> Layer:
    a, prefix = weights.architecture, layer_prefix(number)
    q, k, v, o = (weights.described(f"{prefix}.self_attn.{name}_proj") for name in "qkvo")
    gate_up, down = (
        [
            weights.described(f"{prefix}.mlp.experts.{name}_proj", expert)
            for expert in range(a.num_local_experts)
        ]
        for name in ("gate_up", "down")
    )
    return Layer(
        q, k, v, o, weights.described(prefix + ".mlp.router"), gate_up, down,
        weights.vector(prefix + ".input_layernorm.weight"),
        weights.vector(prefix + ".post_attention_layernorm.weight"),
        weights.vector(prefix + ".self_attn.sinks"),
        a.window(number) or 0,
    )  # fmt: skip
