"""`VectorUnit` in `chip` numerics: `fixed_point` with a build's parameters, all integers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic import fixed_point
from hnlpu.arithmetic.fixed_point import LARGEST_ROPE_FACTOR
from hnlpu.errors import InvalidInput
from hnlpu.model.checkpoint import FINAL_NORM, layer_prefix
from hnlpu.run.emulate._cache import ChipCache
from hnlpu.run.emulate._chip_weights import ChipWeights

Int64 = npt.NDArray[np.int64]

_ONE = 1 << fixed_point.FRACTION


class ChipUnit:
    """Fixed point, bit by bit as docs/vector-unit.md has it.

    Raises NotFinite, naming the tensor, and InvalidInput for a model whose factor on RoPE is
    beyond the unit.
    """

    def __init__(self, weights: ChipWeights):
        a = self._architecture = weights.architecture
        frequencies, factor = a.rope.frequencies(a.head_dim)
        if not factor <= LARGEST_ROPE_FACTOR:
            raise InvalidInput(
                f"chip numerics: the model's factor on RoPE, {factor:g}, exceeds "
                f"{LARGEST_ROPE_FACTOR:g}; use `numerics` float"
            )
        self._per_position = fixed_point.turns(frequencies)
        self._sines = fixed_point.sine_table(factor)
        self._query_factor = fixed_point.query_factor(a.head_dim)
        self._epsilon = fixed_point.norm_epsilon(a.rms_norm_eps, a.hidden_size)
        self._alpha, self._limit = (
            int(fixed_point.to_fixed(np.array(x))) for x in (a.swiglu_alpha, a.swiglu_limit)
        )
        prefixes = [layer_prefix(layer) for layer in range(a.num_hidden_layers)]
        norms = [
            prefix + name
            for prefix in prefixes
            for name in (".input_layernorm.weight", ".post_attention_layernorm.weight")
        ]
        self._norms = {
            name: fixed_point.norm_weights(weights.vector(name)) for name in [*norms, FINAL_NORM]
        }
        self._sinks = [
            fixed_point.to_fixed(weights.vector(prefix + ".self_attn.sinks")) for prefix in prefixes
        ]

    def norm(self, x: Int64, name: str) -> Int64:
        """RMSNorm of x [tokens, n] with the weights of tensor `name`."""
        return fixed_point.norm(x, self._norms[name], self._epsilon)

    def turns(self, start: int, tokens: int) -> Int64:
        """Cosines and sines [2, tokens, d / 2] of the positions from `start` on."""
        positions = np.arange(start, start + tokens)
        return fixed_point.rotations(positions, self._per_position, self._sines)

    def attend(
        self, layer: int, q: Int64, k: Int64, v: Int64, turns: Int64, cache: ChipCache
    ) -> Int64:
        """Attention's output [tokens, heads * d]; `cache` takes in keys and values."""
        start, n = cache.length, len(q)
        fixed_point.rotate(q, turns)
        fixed_point.rotate(k, turns)
        keys, values = cache.keys[layer], cache.values[layer]
        keys[:, start : start + n] = fixed_point.to_keys(k, _ONE).transpose(1, 0, 2)
        values[:, start : start + n] = fixed_point.to_keys(v, _ONE).transpose(1, 0, 2)
        queries = fixed_point.to_keys(q, self._query_factor)
        window = self._architecture.window(layer) or 0
        return fixed_point.attend(queries, keys, values, start, window, self._sinks[layer])

    def add(self, x: Int64, y: Int64) -> None:
        """x + y into x [tokens, n], saturated."""
        fixed_point.add(x, y)

    def route(self, logits: Int64) -> tuple[Int64, Int64]:
        """Experts and shares [tokens, active] of a router's logits, best first."""
        return fixed_point.route(logits, self._architecture.num_experts_per_tok)

    def swiglu(self, gate_up: Int64) -> Int64:
        """[tokens, n] of [tokens, 2 n]."""
        return fixed_point.swiglu(gate_up, self._alpha, self._limit)

    def mix(self, x: Int64, outputs: Int64, shares: Int64) -> None:
        """Add the experts' outputs [tokens, active, n], each times its share, to x [tokens, n]."""
        fixed_point.mix(x, outputs, shares)
