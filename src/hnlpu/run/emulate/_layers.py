"""The layers of a transformer: in C, or in NumPy and Numba.

    x ─► [ norm ─► q k v ─► rope ─► attend ─► o ─► +
           norm ─► router ─► experts ─► mix ─► + ] x layers

Both forms give the same bits.  The C form takes all layers in one call, so that
the cores work and Python does not; it serves hardwired weights with integer
activations where `hnlpu.run.kernels` could be compiled.
"""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import Any, Generic

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.mx import dequantize
from hnlpu.errors import DamagedBuild
from hnlpu.model.checkpoint import layer_prefix
from hnlpu.model.network import Given, Network, ops, read_source, span_ends
from hnlpu.run.emulate._cache import KeyValueCache
from hnlpu.run.emulate._early import early_steps
from hnlpu.run.emulate._experts import mixture_of_experts
from hnlpu.run.emulate._unit import Number, VectorUnit
from hnlpu.run.emulate._weights import HardwiredWeights, Weights
from hnlpu.run.kernels import Library, NotForKernels, Pages, address_of, load
from hnlpu.run.kernels.tape import Known, Tape, lower

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
    """All layers in C, over hardwired weights and integer activations: a tape of the network."""

    def __init__(self, weights: HardwiredWeights, library: Library):
        assert weights.activation_bits is not None
        network = weights.network
        early = early_steps(network)
        constants = early.constants(partial(_parameter, weights))
        turned = {s.outs[0]: s.op.function for s in early.of_inputs if isinstance(s.op, ops.Table)}
        places = {"x": 0, "cos": 1, "sin": 2}
        self._order = [places[turned.get(name, "x")] for name in early.outside]
        known = Known(
            constants, early.outside, early.made, weights.described, weights.activation_bits,
        )  # fmt: skip
        plain, normed, chosen = _ends(network)
        self._tape = lower(library, network, known, (plain, *chosen))
        self._normed = lower(library, network, known, (normed,))
        keys = [held.how == "keys" for held in self._tape.states]
        layers = {how: count() for how in (True, False)}
        self._states = [(is_keys, next(layers[is_keys])) for is_keys in keys]
        self._active = weights.architecture.num_experts_per_tok
        self._directory = weights.directory
        self._library, self._eps = library, weights.architecture.rms_norm_eps

    def forward(
        self, x: Float32, cos: Float32, sin: Float32, pages: Pages, sequences: Int64,
        positions: Int64, *, instructions: int | None = None,
    ) -> Int64:  # fmt: skip
        """Run rows x [rows, hidden] of any sequences through all layers, in place.

        Row r stands at `positions`[r] of sequence `sequences`[r], whose keys and
        values `pages` holds and takes in; `cos` and `sin` are [rows, d / 2].
        Returns the experts that fired: [layers, rows, active].  Raises
        NotFinite, DamagedBuild.
        """
        chosen = np.empty((len(pages.keys), len(x), self._active), np.int64)
        at, step = address_of(chosen), chosen.strides[0]
        places = list(range(at, at + step * len(chosen), step))
        self._run(self._tape, (x, cos, sin), pages, sequences, positions, places, instructions)
        return chosen

    def forward_normed(
        self, x: Float32, cos: Float32, sin: Float32, pages: Pages, sequences: Int64,
        positions: Int64, *, instructions: int | None = None,
    ) -> None:  # fmt: skip
        """`forward` and the last norm, in place; raises what it does."""
        self._run(self._normed, (x, cos, sin), pages, sequences, positions, [], instructions)

    def _run(
        self, tape: Tape, given: tuple[Float32, Float32, Float32], pages: Pages,
        sequences: Int64, positions: Int64, more: list[int], instructions: int | None,
    ) -> None:  # fmt: skip
        arrays = (*given, pages.keys, pages.values, pages.tables, sequences, positions)
        assert all(array.flags.c_contiguous for array in arrays)
        assert len(sequences) == len(positions) == len(given[0])
        at = [address_of(array) for array in given]
        keys, values = address_of(pages.keys), address_of(pages.values)
        step = pages.keys.strides[0]
        try:
            tape.call(
                # x is met in the first layer alone, so that the last one's result may take its place
                [*[at[n] for n in self._order], at[0], *more],
                [(keys if is_keys else values) + step * n for is_keys, n in self._states],
                sequences, positions, pages.tables, pages.keys.shape[4],
                instructions=instructions,
            )  # fmt: skip
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


def _parameter(weights: HardwiredWeights, name: str) -> Float32:
    source = weights.network.declared().parameters[name].source
    if isinstance(source, Given):
        return np.asarray(read_source(source, {}, dequantize), np.float32)
    return weights.vector(name)


def _ends(network: Network) -> tuple[str, str, list[str]]:
    """What the layers give, before and after the last norm, and the experts of each layer."""
    last = [span for span in network.spans if span.composite == "norm"][-1]
    (x, _), (normed,) = span_ends(network, last)
    return x, normed, [s.outs[1] for s in network.steps if isinstance(s.op, ops.TopK)]
