"""One end of a link, cycle by cycle: when a word leaves, when it is taken at the other end.

    queue of the exchange ─► window ─► sender, a frame at a time ─► wire ─► receiver ─► taken
    header of every frame back ─► window and room

Stepped as `hnlpu_link.sv` and its sender are, on wires that invert and withhold nothing: so nothing is sent anew.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from hnlpu.silicon.rtl.links import LinkShape

AFTER_LAST_SYMBOL = 2
"""Cycles from a frame's last symbol on the lanes, beside the wire's, until the receiver has found it good."""


@dataclass(frozen=True)
class Word:
    """What the exchange unit gives to a link: the start of a token, or a part of a sequence's exchange."""

    sequence: int
    odd: int
    starts: tuple[int, bool] | None = None
    last: bool = False


@dataclass(frozen=True)
class _Frame:
    good_at: int
    expected: int
    room_to: int
    word: Word | None


class LinkEnd:
    """The registers of one end; `joined` has the other one."""

    def __init__(self, link: LinkShape, latency: int):
        self.link, self.latency = link, latency
        self.queue: deque[Word] = deque()  # of the exchange unit
        self.kept: deque[Word] = deque()  # of the window, those that were not sent
        self.base = self.next = self.behind = self.room_to = 0
        self.expected = self.taken = 0
        self.waits: deque[Word] = deque()  # words that came
        self.coming: deque[_Frame] = deque()
        self.owes = False
        self.free_at = 0
        self.began = -1
        self.busy_cycles = 0
        self.peer = self

    def joined(self, peer: LinkEnd) -> None:
        """Join two ends by a wire each way."""
        self.peer, peer.peer = peer, self

    def step(self, now: int) -> Word | None:
        """One cycle; the word that is taken in it."""
        frame = self.coming.popleft() if self.coming and self.coming[0].good_at == now else None
        begins = now >= self.free_at and self._begin(now)
        pops = bool(self.queue) and self.behind - self.base < self.link.window
        came = frame is not None and frame.word is not None
        takes = self.waits.popleft() if self.waits else None
        if takes is not None:
            self.taken += 1
        if pops:
            self.kept.append(self.queue.popleft())
            self.behind += 1
        if frame is not None:
            self.base, self.room_to = frame.expected, frame.room_to
            if frame.word is not None:
                self.waits.append(frame.word)
                self.expected += 1
        if came or takes is not None:
            self.owes = True
        elif begins:
            self.owes = False
        return takes

    def _begin(self, now: int) -> bool:
        """Begin a frame if there is something to say; whether one begins."""
        word = self.kept[0] if self.kept and self.room_to > self.next else None
        if word is None and not self.owes and now - self.began - 1 < self.link.pulse:
            return False
        length = self.link.control_symbols if word is None else self.link.data_symbols
        good = now + length + self.latency + AFTER_LAST_SYMBOL
        self.peer.coming.append(_Frame(good, self.expected, self.taken + self.link.depth, word))
        if word is not None:
            self.kept.popleft()
            self.next += 1
        self.free_at, self.began = now + length, now
        self.busy_cycles += length
        return True
