"""The layers of gpt-oss as a tape in C: rows of any sequences in, hidden states and experts out.

    network ─► steps between the embedding and the last norm ─► tape ─► one call for all layers

It has the bits of the network's interpreter.  All layers are one call, so that the cores work and
Python does not; it takes hardwired weights with integer activations where `hnlpu.run.kernels`
could be compiled.
"""

from __future__ import annotations

from itertools import count

import numpy as np
import numpy.typing as npt

from hnlpu.errors import DamagedBuild
from hnlpu.model.network import Network, ops, span_ends
from hnlpu.run.emulate._early import early_steps
from hnlpu.run.emulate._network_constants import HardwiredConstants
from hnlpu.run.kernels import Library, NotForKernels, Pages, address_of, load
from hnlpu.run.kernels.tape import Known, Tape, lower
from hnlpu.silicon.hardwire import Build

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


class CompiledLayers:
    """All layers in C, over hardwired weights and integer activations: a tape of the network."""

    def __init__(self, build: Build, hardwired: HardwiredConstants, library: Library):
        assert hardwired.activation_bits is not None
        network, architecture = build.network, build.architecture
        early = early_steps(network)
        constants = early.constants(hardwired.parameter)
        turned = {s.outs[0]: s.op.function for s in early.of_inputs if isinstance(s.op, ops.Table)}
        places = {"x": 0, "cos": 1, "sin": 2}
        self._order = [places[turned.get(name, "x")] for name in early.outside]
        known = Known(
            constants, early.outside, early.made, hardwired.described, hardwired.activation_bits,
        )  # fmt: skip
        plain, normed, chosen = _ends(network)
        self._tape = lower(library, network, known, (plain, *chosen))
        self._normed = lower(library, network, known, (normed,))
        keys = [held.how == "keys" for held in self._tape.states]
        layers = {how: count() for how in (True, False)}
        self._states = [(is_keys, next(layers[is_keys])) for is_keys in keys]
        self._active = architecture.num_experts_per_tok
        self._directory = build.directory
        self._library, self._eps = library, architecture.rms_norm_eps

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


def compiled_layers(build: Build, constants: HardwiredConstants) -> CompiledLayers | None:
    """The layers of a build of gpt-oss in C, where there is a library and activations are integers."""
    library, _ = load()
    if library is None or constants.activation_bits is None:
        return None
    return CompiledLayers(build, constants, library)


def _ends(network: Network) -> tuple[str, str, list[str]]:
    """What the layers give, before and after the last norm, and the experts of each layer."""
    last = [span for span in network.spans if span.composite == "norm"][-1]
    (x, _), (normed,) = span_ends(network, last)
    return x, normed, [s.outs[1] for s in network.steps if isinstance(s.op, ops.TopK)]
