"""The memory of an engine: the states of all its sequences, in pages and slots.

    sequence ── table: page, page, ... ──► append states        shared by who begins alike
             └─ slot ───────────────────► ring and replace states

Arrays by the name of a state: `pages` [pages, ..., PAGE, ...] (see `Paged`), `whole` [slots + 1,
kept, ...], where slot INITIAL holds what sequences start with.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt

from hnlpu.run.engine._layout import PAGE, Room, StateLayout, stacked
from hnlpu.run.engine._pages import PagePool
from hnlpu.run.engine._slots import INITIAL, SlotPool

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
LARGE = 2**15
"""Bytes of a state from which on copies cost more than calls of NumPy."""


class StateMemory:
    """Pages and slots for the states of a `layout`, and who holds which.

    `stacks` hold append states that lie alike behind each other, [states, pages, ...], in the
    network's order; the arrays of `pages` are their parts.  Without `storage` all of it lies
    elsewhere, on a device.
    """

    def __init__(self, layout: StateLayout, room: Room, *, storage: bool = True):
        self.layout = layout
        self.has_pages, self.has_slots = bool(layout.paged), bool(layout.whole)
        self.pool = PagePool(room.pages)
        self.slots = SlotPool(room.slots)
        count = room.pages if storage else 0
        alike = stacked(layout)
        self.stacks: tuple[Float32, ...] = tuple(
            np.zeros((len(names), count, *shape), np.float32) for (shape, _), names in alike.items()
        )
        self.pages: Mapping[str, Float32] = {
            name: stack[i]
            for stack, names in zip(self.stacks, alike.values(), strict=True)
            for i, name in enumerate(names)
        }
        self.whole: Mapping[str, Float32] = {
            state.name: np.zeros((room.slots + 1, *state.shape), np.float32)
            for state in layout.whole
        }
        for state in layout.whole:
            self.whole[state.name][INITIAL] = state.initial

    def copy(self, sources: Int64, targets: Int64, but: Collection[str] = frozenset()) -> None:
        """Copy what lies in slots `sources` to slots `targets`, which are none of them.

        States `but` are left out.
        """
        for name, whole in self.whole.items():
            if name in but:
                continue
            if whole[0].nbytes < LARGE:
                whole[targets] = whole[sources]
                continue
            for source, target in zip(sources.tolist(), targets.tolist(), strict=True):
                whole[target] = whole[source]  # one by one, for then there is no copy between

    def gather(self, table: Int64, slot: int, position: int) -> dict[str, Float32]:
        """Entries [kept, ...] of every state of a sequence that took in `position` tokens.

        Of append states those that the next position may read; copies of them, and views of a slot.
        """
        entries: dict[str, Float32] = {}
        for state in self.layout.paged:
            first = 0 if state.window is None else max(0, position - state.window)
            used = table[first // PAGE : -(-position // PAGE)]
            lying = np.moveaxis(self.pages[state.name][used], 1 + state.axis, 1)
            flat = lying.reshape(-1, *lying.shape[2:])
            begin = first // PAGE * PAGE
            entries[state.name] = flat[first - begin : position - begin]
        for whole in self.layout.whole:
            entries[whole.name] = self.whole[whole.name][slot]
        return entries

    def scatter(
        self, table: Int64, slot: int, start: int, end: int, entries: Mapping[str, Float32]
    ) -> None:
        """Take in what a sequence keeps after positions `start` to `end`: entries as `gather` has them.

        Of append states the pages get those of these positions that are there; all others go to
        `slot`.
        """
        for state in self.layout.paged:
            found = entries[state.name]
            count = min(end - start, len(found))
            at = np.arange(end - count, end)
            pages = np.moveaxis(self.pages[state.name], 1 + state.axis, 1)
            pages[table[at // PAGE], at % PAGE] = found[len(found) - count :]
        for whole in self.layout.whole:
            self.whole[whole.name][slot] = entries[whole.name]
