"""How the states of a network lie in an engine's memory, and what a position of them costs.

    append          ─► pages of PAGE positions      [pages, ..., PAGE, ...]
    ring, replace   ─► slots, whole                 [slots, kept, ...]

An append state has an entry per position, so sequences that begin alike share its pages.  Ring and
replace states have one value per sequence, which every step replaces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import assert_never

import numpy as np

from hnlpu.model.network import Append, Network, Replace, Ring, State, ops

PAGE = 16
"""Positions of a page."""
BYTES = 4
"""Of a number of a state: float32."""


@dataclass(frozen=True)
class Paged:
    """An append state: a page of it has `shape`, PAGE long at `axis`.

    A page of keys [kv heads, d] is [kv heads, d, PAGE], one of values is [kv heads, PAGE, d].
    `window`: entries that are ever read, None for all.
    """

    name: str
    shape: tuple[int, ...]
    axis: int
    window: int | None


@dataclass(frozen=True)
class Whole:
    """A ring or replace state: a slot of it has `shape` [kept, ...], oldest first.

    All of it begins with `initial`, bit for bit: where states are whole numbers its bits may be those of a NaN.
    """

    name: str
    shape: tuple[int, ...]
    initial: np.float32


@dataclass(frozen=True)
class StateLayout:
    """The states of a network by where they lie."""

    paged: tuple[Paged, ...]
    whole: tuple[Whole, ...]

    @property
    def page_bytes(self) -> int:
        """Memory of PAGE positions of all append states."""
        return BYTES * sum(prod(state.shape) for state in self.paged)

    @property
    def slot_bytes(self) -> int:
        """Memory of all ring and replace states, once."""
        return BYTES * sum(prod(state.shape) for state in self.whole)

    @property
    def narrowest(self) -> int | None:
        """The shortest window of an append state, None where all are read whole."""
        return min((s.window for s in self.paged if s.window is not None), default=None)


def layout_of(network: Network) -> StateLayout:
    """Where the states of a checked network lie."""
    transposed = _summed_over_entries(network)
    paged: list[Paged] = []
    whole: list[Whole] = []
    for state in network.states:
        match state.keeps:
            case Append(window):
                axis = len(state.shape)
                if state.name not in transposed:
                    axis = max(0, axis - 1)
                shape = (*state.shape[:axis], PAGE, *state.shape[axis:])
                paged.append(Paged(state.name, shape, axis, window))
            case Replace():
                whole.append(_whole(state, 1))
            case Ring(length):
                whole.append(_whole(state, length))
            case _:
                assert_never(state.keeps)
    return StateLayout(tuple(paged), tuple(whole))


def _whole(state: State, kept: int) -> Whole:
    return Whole(state.name, (kept, *state.shape), np.float32(state.initial))


def _summed_over_entries(network: Network) -> set[str]:
    """States whose entries' last axis is summed over by products, as attention does with keys.

    Such a sum runs in index order for many positions side by side, so positions lie side by side.
    """
    read = {step.outs[0]: step.op.state for step in network.steps if isinstance(step.op, ops.Read)}
    found = set()
    for step in network.steps:
        if isinstance(step.op, ops.Dot):
            taken, result = step.op.axes.split("->")
            for arg, axes in zip(step.args, taken.split(","), strict=True):
                if isinstance(arg, str) and arg in read and axes[-1] not in result:
                    found.add(read[arg])
    return found


@dataclass(frozen=True)
class Room:
    """How many pages and slots an engine has."""

    pages: int
    slots: int


def room_of(layout: StateLayout, memory: int, sequences: int, longest: int) -> Room | None:
    """What fits into `memory` bytes for `sequences` of up to `longest` positions; None: too little.

    No more than can be of use.  A sequence holds two slots, of which one takes in what the next
    step leaves.  Where a network has both, half of the memory at most goes to slots of sequences
    that run; the rest to pages, each with a slot for the snapshot behind it.
    """
    useful = sequences * -(-longest // PAGE)
    page, slot = layout.page_bytes, layout.slot_bytes
    if not slot:
        pages = min(useful, memory // page) if page else 0
        return Room(pages, 0) if pages or not page else None
    if not page:
        slots = min(2 * sequences + useful, memory // slot)
        return Room(0, slots) if slots >= 2 else None
    for running in (min(2 * sequences, max(2, memory // 2 // slot)), 2):
        pages = min(useful, (memory - running * slot) // (page + slot))
        if pages > 0:
            return Room(pages, running + pages)
    return None


def stacked(layout: StateLayout) -> Mapping[tuple[tuple[int, ...], int], tuple[str, ...]]:
    """Names of append states that lie alike, by shape and axis, in the network's order."""
    found: dict[tuple[tuple[int, ...], int], list[str]] = {}
    for state in layout.paged:
        found.setdefault((state.shape, state.axis), []).append(state.name)
    return {key: tuple(names) for key, names in found.items()}
