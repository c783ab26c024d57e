"""A language model as an engine needs it: room for its states, and what runs its batches."""

from __future__ import annotations

import numpy as np

from hnlpu.errors import InvalidInput
from hnlpu.model.network import Network
from hnlpu.run.emulate import (
    ChipModel,
    HardwiredConstants,
    InterpretedModel,
    LanguageModel,
    split_off_logits,
)
from hnlpu.run.engine._batch import Batched
from hnlpu.run.engine._beside import BatchedBeside
from hnlpu.run.engine._device import CPU, DeviceNetwork
from hnlpu.run.engine._interpreted import BatchedInterpreter
from hnlpu.run.engine._layout import PAGE, StateLayout, layout_of, room_of
from hnlpu.run.engine._memory import StateMemory
from hnlpu.run.engine._taped import BatchedTape, lies_alike
from hnlpu.run.engine._whole_numbers import batched_chip, layout_of_chip


def layout_of_model(model: LanguageModel) -> StateLayout:
    """Where the states of a language model lie.

    Raises InvalidInput for a model in float32, whose sums would depend on the batch.
    """
    run = model.transformer
    if isinstance(run, ChipModel):  # machines too
        return layout_of_chip(run)
    if not isinstance(run, InterpretedModel):
        raise InvalidInput(f"{model.directory}: the engine has no way to run this model")
    if run.constants.prepare(np.zeros((1, 1), np.float32)).values is not None:
        raise InvalidInput(
            f"{model.directory}: float sums depend on the batch; give a build "
            "(hnlpu build makes one) with integer activations"
        )
    return layout_of(run.body)


def network_of(model: LanguageModel) -> Network:
    """The network that a language model runs, which adapters are read for."""
    run = model.transformer
    if isinstance(run, InterpretedModel):
        return run.network
    raise InvalidInput(
        f"{model.directory}: adapters run in float numerics; leave out chip and machine numerics"
    )


def gives_hidden(model: LanguageModel) -> bool:
    """Whether a model has hidden states that make an embedding."""
    run = model.transformer
    if isinstance(run, ChipModel):  # whole numbers, which are no embedding
        return False
    return not isinstance(run, InterpretedModel) or run.has_hidden


def memory_of(
    layout: StateLayout, size: int, sequences: int, longest: int, device: str
) -> StateMemory:
    """Memory of up to `size` bytes for `sequences` of up to `longest` positions.

    Raises InvalidInput where not even one of them fits.
    """
    room = room_of(layout, size, sequences, longest)
    if room is None:
        parts = []
        if layout.paged:
            parts.append(f"a page of {PAGE} tokens has {layout.page_bytes}")
        if layout.whole:
            parts.append(f"a sequence keeps {layout.slot_bytes}, twice")
        raise InvalidInput(f"`cache_bytes` {size}: {' and '.join(parts)}; give more")
    return StateMemory(layout, room, storage=device == CPU)


def batched_of(model: LanguageModel, device: str, pages: int) -> Batched:
    """What runs batches of a model on `device`.

    Raises InvalidInput for a device that is not there, UnsupportedArchitecture where only another
    family has what is asked for, and ToolMissing.
    """
    run = model.transformer
    if isinstance(run, ChipModel):
        if device != CPU:
            raise InvalidInput(
                f"`device` {device}: chip and machine numerics run on the CPU; leave the device out"
            )
        return batched_chip(run)
    assert isinstance(run, InterpretedModel)
    constants, facts = run.constants, run.architecture
    assert isinstance(constants, HardwiredConstants)
    if device != CPU:
        parts = split_off_logits(network_of(model))
        return DeviceNetwork(parts.body, parts.matrix, constants, device, pages)
    return BatchedBeside(
        _by_network(run), run.network, facts, constants, _by_network, run.logits_matrix
    )


def _by_network(model: InterpretedModel) -> Batched:
    """A network by its tape, or step by step where it has none."""
    if model.taped is not None and lies_alike(model.taped, layout_of(model.body)):
        return BatchedTape(model, model.taped)
    return BatchedInterpreter(model)
