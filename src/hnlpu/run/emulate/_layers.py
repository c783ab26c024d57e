"""The layers of a transformer: in C, or in NumPy and Numba.

    x ─► [ norm ─► q k v ─► rope ─► attend ─► o ─► +
           norm ─► router ─► experts ─► mix ─► + ] x layers

Both forms give the same bits.  The C form takes all layers in one call, so that
the cores work and Python does not; it serves hardwired weights with integer
activations where `hnlpu.run.kernels` could be compiled.
"""

from __future__ import annotations

from functools import partial
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
from hnlpu.run.kernels import Library, NotForKernels, Pages, load
from hnlpu.run.kernels.tape import Known, Memory, Rows, lower

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
        early, ends = early_steps(network), _ends(network)
        constants = early.constants(partial(_parameter, weights))
        turned = {s.outs[0]: s.op.function for s in early.of_inputs if isinstance(s.op, ops.Table)}
        self._names = {turned.get(name, "x"): name for name in early.outside}
        known = Known(
            constants, early.outside, early.made, weights.described, weights.activation_bits,
        )  # fmt: skip
        self._tape = lower(library, network, known, ends)
        self._directory = weights.directory
        self._library, self._eps = library, weights.architecture.rms_norm_eps

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
        given = {self._names[what]: y for what, y in (("x", x), ("cos", cos), ("sin", sin))}
        keys, values = ([s.name for s in self._tape.states if s.how == how] for how in ("keys", "values"))
        states = dict(zip(keys, pages.keys, strict=True)) | dict(zip(values, pages.values, strict=True))
        memory = Memory(states, pages.tables, np.zeros(1, np.int64))
        try:
            made, *chosen = self._tape.run(
                given, Rows(sequences, positions), memory, instructions=instructions
            )
        except NotForKernels:
            raise DamagedBuild(
                f"{self._directory}: exponents of a row spread further than a build may hold; "
                "'hnlpu verify' names it"
            ) from None
        x[:] = made
        return np.stack(chosen)

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


def _ends(network: Network) -> tuple[str, ...]:
    """What the layers give: the value that the last norm takes, and the experts of each layer."""
    last = [span for span in network.spans if span.composite == "norm"][-1]
    (x, _), _ = span_ends(network, last)
    chosen = [step.outs[1] for step in network.steps if isinstance(step.op, ops.TopK)]
    return (x, *chosen)
