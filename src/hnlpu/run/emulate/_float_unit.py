"""`VectorUnit` in `float` numerics: `_vector_unit` with a model's parameters."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hnlpu.model.checkpoint import layer_prefix
from hnlpu.run.emulate import _vector_unit as vector_unit
from hnlpu.run.emulate._cache import KeyValueCache
from hnlpu.run.emulate._weights import Weights

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
Turns = tuple[Float32, Float32]
"""Cosines and sines of RoPE, [tokens, d / 2] each."""


class FloatUnit:
    """Float32 in a stated order of operations."""

    def __init__(self, weights: Weights[np.float32]):
        self._weights = weights
        self._architecture = weights.architecture
        self._vectors: dict[str, Float32] = {}

    def _vector(self, name: str) -> Float32:
        if name not in self._vectors:
            self._vectors[name] = self._weights.vector(name)
        return self._vectors[name]

    def norm(self, x: Float32, name: str) -> Float32:
        """RMSNorm of x [tokens, n] with the weights of tensor `name`."""
        return vector_unit.rms_norm(x, self._vector(name), self._architecture.rms_norm_eps)

    def attend(
        self, layer: int, q: Float32, k: Float32, v: Float32, turns: Turns, cache: KeyValueCache
    ) -> Float32:
        """Attention's output [tokens, heads * d]; `cache` takes in keys and values."""
        start, n = cache.length, len(q)
        vector_unit.rotate(q, *turns)
        vector_unit.rotate(k, *turns)
        cache.keys[layer, :, :, start : start + n] = k.transpose(1, 2, 0)
        cache.values[layer, :, start : start + n] = v.transpose(1, 0, 2)
        sinks = self._vector(layer_prefix(layer) + ".self_attn.sinks")
        window = self._architecture.window(layer) or 0
        return vector_unit.attend(q, cache.keys[layer], cache.values[layer], start, window, sinks)

    def add(self, x: Float32, y: Float32) -> None:
        """x + y into x [tokens, n]."""
        x += y

    def route(self, logits: Float32) -> tuple[Int64, Float32]:
        """Experts and shares [tokens, active] of a router's logits, best first."""
        return vector_unit.route(logits, self._architecture.num_experts_per_tok)

    def swiglu(self, gate_up: Float32) -> Float32:
        """[tokens, n] of [tokens, 2 n]."""
        a = self._architecture
        return vector_unit.swiglu(gate_up, a.swiglu_alpha, a.swiglu_limit)

    def mix(self, x: Float32, outputs: Float32, shares: Float32) -> None:
        """Add the experts' outputs [tokens, active, n], each times its share, to x [tokens, n]."""
        vector_unit.mix(x, outputs, shares)
