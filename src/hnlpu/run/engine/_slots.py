"""Slots: room for the states of a sequence that are kept whole, and for snapshots of them.

    sequence ─► slot ──step──► another slot          the first is let go, or filed as a snapshot

What lies in a slot is never changed while anybody holds it: a step reads one slot and fills
another.  So a snapshot is a slot that is kept, and to go on from it costs no copy.  A snapshot is
filed under the prefix that led to it; the longest unused give way when slots are wanted.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256

import numpy as np
import numpy.typing as npt

INITIAL = 0
"""The slot that every sequence starts from: nobody writes to it."""


def prefix_of(before: bytes, tokens: npt.NDArray[np.int64]) -> bytes:
    """What a prefix is filed under, given the same of the tokens before its last page."""
    return sha256(before + tokens.tobytes()).digest()


class SlotPool:
    """The slots 1 to `slots` of one engine: who holds them, and what is filed."""

    def __init__(self, slots: int):
        self.slots = slots
        self._fresh = 1  # slots from here on were never used
        self._free: list[int] = []
        self._users: dict[int, int] = {}
        self._filed: dict[bytes, int] = {}
        self._prefix_of: dict[int, bytes] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()  # filed and unused, oldest first

    @property
    def available(self) -> int:
        """Slots that can be had now: empty ones and snapshots that nobody uses."""
        return self.slots - self.in_use

    @property
    def in_use(self) -> int:
        """Slots that sequences hold."""
        return len(self._users)

    def take(self) -> int | None:
        """A slot to fill, or None when all are held."""
        if self._free:
            slot = self._free.pop()
        elif self._fresh <= self.slots:
            slot = self._fresh
            self._fresh += 1
        elif self._idle:
            slot, _ = self._idle.popitem(last=False)
            del self._filed[self._prefix_of.pop(slot)]
        else:
            return None
        self._users[slot] = 1
        return slot

    def release(self, slot: int) -> None:
        """One user fewer; a slot that is filed stays until its room is wanted."""
        if slot == INITIAL:
            return
        self._users[slot] -= 1
        if self._users[slot] == 0:
            del self._users[slot]
            if slot in self._prefix_of:
                self._idle[slot] = None
            else:
                self._free.append(slot)

    def file(self, slot: int, prefix: bytes) -> None:
        """File a slot that one holds as the snapshot behind `prefix`, if there is none."""
        if prefix not in self._filed and slot not in self._prefix_of:
            self._filed[prefix] = slot
            self._prefix_of[slot] = prefix

    def has(self, prefix: bytes) -> bool:
        """Whether there is a snapshot behind `prefix`."""
        return prefix in self._filed

    def hold(self, prefix: bytes) -> int:
        """The snapshot behind `prefix`, now used once more."""
        slot = self._filed[prefix]
        self._idle.pop(slot, None)
        self._users[slot] = self._users.get(slot, 0) + 1
        return slot

    def forget(self) -> None:
        """Drop the snapshots that nobody uses."""
        while self._idle:
            slot, _ = self._idle.popitem()
            del self._filed[self._prefix_of.pop(slot)]
            self._free.append(slot)
