"""A language model as an engine needs it: room for its states, and what runs its batches."""

from __future__ import annotations

import numpy as np

from hnlpu.errors import InvalidInput
from hnlpu.model.checkpoint import ModelFacts, gpt_oss_network
from hnlpu.model.families import refusal
from hnlpu.run.emulate import InterpretedModel, LanguageModel, Transformer
from hnlpu.run.engine._batch import Batched
from hnlpu.run.engine._device import CPU, DeviceTransformer
from hnlpu.run.engine._forward import BatchedTransformer
from hnlpu.run.engine._interpreted import BatchedInterpreter
from hnlpu.run.engine._layout import PAGE, Layout, layout_of, room_of
from hnlpu.run.engine._memory import Memory
from hnlpu.run.engine._taped import BatchedTape, lies_alike


def layout_of_model(model: LanguageModel) -> Layout:
    """Where the states of a language model lie.

    Raises InvalidInput for a model in float32, whose sums would depend on the batch, or in chip
    numerics.
    """
    run = model.transformer
    if isinstance(run, Transformer):
        prepared = run.weights.prepare(np.zeros((1, 1), np.float32))
        network = gpt_oss_network(run.architecture)
    elif isinstance(run, InterpretedModel):
        prepared = run.constants.prepare(np.zeros((1, 1), np.float32))
        network = run.body
    else:
        raise InvalidInput(
            f"{model.directory}: the engine computes in float numerics; leave out chip numerics"
        )
    if prepared.values is not None:
        raise InvalidInput(
            f"{model.directory}: float sums depend on the batch; give a build "
            "(hnlpu build makes one) with integer activations"
        )
    return layout_of(network)


def gives_hidden(model: LanguageModel) -> bool:
    """Whether a model has hidden states that make an embedding."""
    run = model.transformer
    return not isinstance(run, InterpretedModel) or run.has_hidden


def memory_of(layout: Layout, size: int, sequences: int, longest: int, device: str) -> Memory:
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
    return Memory(layout, room, storage=device == CPU)


def batched_of(model: LanguageModel, device: str, pages: int, adapters: bool) -> Batched:
    """What runs batches of a model on `device`.

    Raises InvalidInput for a device that is not there, UnsupportedArchitecture where only another
    family has what is asked for, and ToolMissing.
    """
    run = model.transformer
    if isinstance(run, InterpretedModel):
        assert isinstance(run.architecture, ModelFacts)
        if device != CPU or adapters:
            what = "adapters" if adapters else f"`device` {device}"
            raise refusal(model.directory, run.architecture.family, what)
        if run.taped is not None and lies_alike(run.taped, layout_of(run.body)):
            return BatchedTape(run, run.taped)
        return BatchedInterpreter(run)
    assert isinstance(run, Transformer)
    if device != CPU:
        return DeviceTransformer(run, device, pages)
    return BatchedTransformer(run)
