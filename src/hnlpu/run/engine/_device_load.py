"""A network over the metal of a build -> its kernels and constants on a device.

network ─► launches, or one line that names what no kernel does
build   ─► packed digits, parameters and tables, copied once
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hnlpu.errors import DamagedBuild, UnsupportedArchitecture
from hnlpu.model.network import Network, check, ops
from hnlpu.run.emulate import EarlySteps, EarlyValues, HardwiredConstants, early_steps
from hnlpu.run.engine._experts import experts_of
from hnlpu.run.engine._layout import layout_of

if TYPE_CHECKING:
    import torch

    from hnlpu.run.kernels.gpu import GpuNetwork, GpuStack, Lowered

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Loaded:
    """A network on a device, and what is worked out beside it for every call.

    `early` gives cosines and sines of positions.
    """

    network: GpuNetwork
    early: EarlyValues
    constants: HardwiredConstants
    body: Network

    def values(self, tokens: Array, positions: Array) -> dict[str, Array]:
        """What comes with rows [rows] of tokens and positions, by the names of values."""
        carried = {"token": tokens, "position": positions}
        given = {x.name: carried[x.carries] for x in self.body.inputs}
        given |= self.early.of(given, self.early.by_position(given))
        return {name: given[name] for name in self.network.inputs}

    def logits_of(self, matrix: str | None) -> int:
        """Logits of a row, which a matrix makes if one does."""
        if matrix is not None:
            return self.network.stacks[matrix,].rows
        return math.prod(_sizes(self.body, self.body.outputs[0]))


def load_network(
    body: Network, matrix: str | None, constants: HardwiredConstants, device: torch.device
) -> Loaded:
    """Lower `body`, and copy it and the `matrix` that makes logits to a device.

    Raises UnsupportedArchitecture for a step that no kernel does, DamagedBuild.
    """
    import torch

    from hnlpu.run.kernels.gpu import GpuNetwork, GpuStack

    whole = early_steps(body)
    looked_up = [s for s in whole.of_inputs if isinstance(s.op, ops.Lookup)]
    rows_of = {s.outs[0] for s in looked_up}
    early = replace(
        whole,
        of_inputs=tuple(s for s in whole.of_inputs if s not in looked_up),
        outside=tuple(name for name in whole.outside if name not in rows_of),
    )
    known, choices = whole.constants(constants.parameter), experts_of(body).choices
    lowered = _lowered(body, early, whole.made - rows_of, known, constants)
    stacks = {
        names: GpuStack.below_each_other([_stack(name, constants, device) for name in names])
        for names in lowered.stacks
    }
    if matrix is not None:
        stacks[matrix,] = _stack(matrix, constants, device)
    kept = {name: torch.tensor(known[name], device=device) for name in sorted(lowered.constants)}
    kept |= {name: _table(name, constants, device) for name in sorted(lowered.tables)}
    types = check(body)
    inputs = {
        name: (torch.int64 if types[name].kind == "index" else torch.float32, _sizes(body, name))
        for name in dict.fromkeys((*early.outside, *(str(s.args[0]) for s in looked_up)))
    }
    bits = constants.activation_bits
    assert bits is not None
    network = GpuNetwork(
        lowered.launches, inputs, body.outputs[0], choices, kept, stacks, bits, device
    )
    return Loaded(network, EarlyValues(early, known, constants), constants, body)


def _sizes(body: Network, name: str) -> tuple[int, ...]:
    return tuple(length for length in check(body)[name].shape if isinstance(length, int))


def _lowered(
    body: Network, early: EarlySteps, before: frozenset[str], known: Mapping[str, Array],
    constants: HardwiredConstants,
) -> Lowered:  # fmt: skip
    from hnlpu.run.kernels.gpu import NotOnDevice, Surroundings, lower

    def digits_of(name: str) -> int:
        return len(constants.stack(name).digits)

    try:
        for state in layout_of(body).whole:
            raise NotOnDevice(f"the state {state.name} is no list of entries by position")
        return lower(
            body, Surroundings(early.outside, before, known, digits_of), experts_of(body).choices
        )
    except NotOnDevice as error:
        raise UnsupportedArchitecture(
            f"{constants.directory}: no GPU runs it so far: {error}; leave out `device`"
        ) from None


def _stack(name: str, constants: HardwiredConstants, device: torch.device) -> GpuStack:
    from hnlpu.run.kernels.gpu import GpuStack, SpreadTooWide

    found = constants.stack(name)
    digits = [(d.codes, d.exponents) for d in found.digits]
    try:
        return GpuStack.of(digits, found.row_exponents, found.biases, device)
    except SpreadTooWide:
        raise DamagedBuild(
            f"{constants.directory}: exponents of a row of {name} spread further than a build "
            "may hold; 'hnlpu verify' names it"
        ) from None


def _table(name: str, constants: HardwiredConstants, device: torch.device) -> torch.Tensor:
    """A parameter whose entries are looked up, in the format that it is stored in."""
    import torch

    table = np.ascontiguousarray(constants.table(name))
    if table.dtype == np.uint16:  # bfloat16, which NumPy lacks
        return torch.tensor(table.view(np.int16)).view(torch.bfloat16).to(device)
    return torch.tensor(table).to(device)
