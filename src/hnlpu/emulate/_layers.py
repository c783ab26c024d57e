"""The layers of a transformer on either side of attention: in C, or in NumPy and Numba.

    x ─► norm ─► q k v ─► rope        [attention]        mixed ─► o ─► + ─► norm ─► experts ─► +

Both forms give the same bits.  The C form takes a whole side in one call, so
that the cores work and Python does not; it serves hardwired weights with
integer activations where `hnlpu.kernels` could be compiled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hnlpu.checkpoint import layer_prefix
from hnlpu.emulate import _vector_unit as vector_unit
from hnlpu.emulate._experts import mixture_of_experts
from hnlpu.emulate._weights import HardwiredWeights, Weights
from hnlpu.errors import DamagedBuild
from hnlpu.kernels import (
    LayerKernels,
    LayerMatrices,
    LayerNumbers,
    Library,
    NotForKernels,
    attend_paged,
    load,
)

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


class Layers(Protocol):
    """All layers of a model; each method is told the layer's number."""

    def before_attention(
        self, layer: int, x: Float32, cos: Float32, sin: Float32
    ) -> tuple[Float32, Float32, Float32]:
        """Queries, keys (both rotated) and values [tokens, heads, d] of x [tokens, hidden]."""
        ...

    def attend(self, layer: int, q: Float32, keys: Float32, values: Float32, start: int) -> Float32:
        """Attention of q [tokens, heads, d] at positions `start` and on: [tokens, heads * d].

        `keys` [kv heads, d, capacity] and `values` [kv heads, capacity, d] hold
        all positions up to the last one's.
        """
        ...

    def after_attention(self, layer: int, x: Float32, mixed: Float32) -> Int64:
        """Add attention's output and the experts' to x in place; experts [tokens, active]."""
        ...


def layers_of(weights: Weights) -> Layers:
    """The quicker form that can compute with these weights."""
    library, _ = load()
    if library is not None and isinstance(weights, HardwiredWeights) and weights.activation_bits:
        return CompiledLayers(weights, library)
    return PlainLayers(weights)


@dataclass(frozen=True)
class _Vectors:
    norm: Float32
    norm_after: Float32
    sinks: Float32


def _vectors(weights: Weights, layer: int) -> _Vectors:
    prefix = layer_prefix(layer)
    return _Vectors(
        weights.vector(prefix + ".input_layernorm.weight"),
        weights.vector(prefix + ".post_attention_layernorm.weight"),
        weights.vector(prefix + ".self_attn.sinks"),
    )


class PlainLayers:
    """NumPy and Numba over any weights: the definition."""

    def __init__(self, weights: Weights):
        self.weights = weights
        self.architecture = weights.architecture
        layers = range(self.architecture.num_hidden_layers)
        self._vectors = [_vectors(weights, layer) for layer in layers]

    def before_attention(
        self, layer: int, x: Float32, cos: Float32, sin: Float32
    ) -> tuple[Float32, Float32, Float32]:
        """See `Layers`."""
        a, attention = self.architecture, layer_prefix(layer) + ".self_attn."
        h = vector_unit.rms_norm(x, self._vectors[layer].norm, a.rms_norm_eps)
        names = [attention + name for name in ("q_proj", "k_proj", "v_proj")]
        q, k, v = (
            y.reshape(len(x), -1, a.head_dim)
            for y in self.weights.project_all(names, self.weights.prepare(h))
        )
        vector_unit.rotate(q, cos, sin)
        vector_unit.rotate(k, cos, sin)
        return q, k, v

    def attend(self, layer: int, q: Float32, keys: Float32, values: Float32, start: int) -> Float32:
        """See `Layers`."""
        window = self.architecture.window(layer) or 0
        return vector_unit.attend(q, keys, values, start, window, self._vectors[layer].sinks)

    def after_attention(self, layer: int, x: Float32, mixed: Float32) -> Int64:
        """See `Layers`."""
        prefix, eps = layer_prefix(layer), self.architecture.rms_norm_eps
        x += self.weights.project(prefix + ".self_attn.o_proj", self.weights.prepare(mixed))
        h = vector_unit.rms_norm(x, self._vectors[layer].norm_after, eps)
        return mixture_of_experts(self.weights, prefix + ".mlp.", x, self.weights.prepare(h))


class CompiledLayers:
    """The C kernels over hardwired weights and integer activations."""

    def __init__(self, weights: HardwiredWeights, library: Library):
        a = self.architecture = weights.architecture
        self._directory, self._library = weights.directory, library
        self._sinks: list[Float32] = []
        self._layers: list[LayerKernels] = []
        assert weights.activation_bits is not None
        numbers = LayerNumbers(
            a.num_attention_heads, a.num_key_value_heads, a.head_dim, a.num_experts_per_tok,
            weights.activation_bits, a.rms_norm_eps, a.swiglu_alpha, a.swiglu_limit,
        )  # fmt: skip
        for layer in range(a.num_hidden_layers):
            vectors, prefix = _vectors(weights, layer), layer_prefix(layer)
            q, k, v, o = (
                weights.described(f"{prefix}.self_attn.{name}_proj")
                for name in ("q", "k", "v", "o")
            )
            router = weights.described(prefix + ".mlp.router")
            gate_up, down = (
                [
                    weights.described(f"{prefix}.mlp.experts.{name}", expert)
                    for expert in range(a.num_local_experts)
                ]
                for name in ("gate_up_proj", "down_proj")
            )
            matrices = LayerMatrices(
                q, k, v, o, router, gate_up, down, vectors.norm, vectors.norm_after
            )
            self._sinks.append(np.ascontiguousarray(vectors.sinks))
            self._layers.append(LayerKernels(library, matrices, numbers))

    def before_attention(
        self, layer: int, x: Float32, cos: Float32, sin: Float32
    ) -> tuple[Float32, Float32, Float32]:
        """See `Layers`."""
        try:
            return self._layers[layer].before_attention(x, cos, sin)
        except NotForKernels:
            raise self._damaged() from None

    def attend(self, layer: int, q: Float32, keys: Float32, values: Float32, start: int) -> Float32:
        """See `Layers`."""
        one_page = np.zeros((1, 1), np.int64)
        positions = np.arange(start, start + len(q))
        window = self.architecture.window(layer) or 0
        return attend_paged(
            self._library, q, keys[None], values[None], one_page, np.zeros(len(q), np.int64),
            positions, window, self._sinks[layer],
        )  # fmt: skip

    def after_attention(self, layer: int, x: Float32, mixed: Float32) -> Int64:
        """See `Layers`."""
        try:
            return self._layers[layer].after_attention(x, mixed)
        except NotForKernels:
            raise self._damaged() from None

    def _damaged(self) -> DamagedBuild:
        return DamagedBuild(
            f"{self._directory}: exponents of a row spread further than a build may hold; "
            "'hnlpu verify' names it"
        )
