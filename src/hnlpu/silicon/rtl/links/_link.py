"""`LinkShape`: parameters of a link between two chips, its frames in symbols, and how soon it gives up.

start │ header │ payload │ CRC │ start ...      symbols of LANES bits; docs/link.md has every bit
"""

from __future__ import annotations

from dataclasses import dataclass

from hnlpu.errors import InvalidInput

LANES = (1, 2, 4, 8, 16, 32)
WIDEST_WINDOW = 32
"""Sequence numbers have 8 bits: a window and a queue together stay below half of them."""
HEADER_BITS = CRC_BITS = 32
LINK_FILES = ("crc", "link_sender", "link_receiver", "link")
FAULTS = {1: "silent", 2: "stuck"}
"""What `fault` of a link says: no good frame comes; good ones come and acknowledge nothing."""


@dataclass(frozen=True)
class LinkShape:
    """One link: bits of a word, lanes of each direction, frames in flight, words that wait, timers in cycles.

    `replay` is the wait before frames are sent anew, `pulse` the longest silence of an end that has nothing
    to say, `limit` the wait before a link is given up.  Raises InvalidInput.
    """

    bits: int
    lanes: int = 4
    window: int = 8
    depth: int = 8
    replay: int = 1024
    pulse: int = 256
    limit: int = 16384

    def __post_init__(self) -> None:
        if self.bits < 1:
            raise InvalidInput(f"a link of words of {self.bits} bits: at least 1")
        if self.lanes not in LANES:
            raise InvalidInput(
                f"{self.lanes} lanes of a link: {', '.join(map(str, LANES))} divide a header"
            )
        for name, size in (("window", self.window), ("depth", self.depth)):
            if not 1 <= size <= WIDEST_WINDOW or size & (size - 1):
                raise InvalidInput(f"a link's {name} of {size}: a power of two from 1 to 32 does")
        # an answer to the last frame of a window is on its way for two frames
        least = (self.window + 2) * self.data_symbols
        if self.replay < least:
            raise InvalidInput(
                f"a link's replay time of {self.replay} cycles: {least} pass before a window of frames is "
                "answered"
            )
        if self.limit < 8 * max(self.replay, self.pulse):
            raise InvalidInput(
                f"a link's limit of {self.limit} cycles: at least 8 times its replay and pulse times"
            )

    @property
    def control_symbols(self) -> int:
        """Symbols of a frame without payload."""
        return 1 + (HEADER_BITS + CRC_BITS) // self.lanes

    @property
    def data_symbols(self) -> int:
        """Symbols of a frame with a word: its payload is padded to 32 bits."""
        return self.control_symbols + -(-self.bits // 32) * 32 // self.lanes

    @property
    def silence_symbols(self) -> int:
        """Zeros before frames are sent anew: a receiver that went astray is done within them."""
        return self.data_symbols

    @property
    def given_up_after(self) -> int:
        """Cycles from the last good frame, or the last acknowledgement, to a fault."""
        return self.limit + 1

    def parameters(self) -> dict[str, int]:
        """Parameters of module hnlpu_link."""
        return {
            "BITS": self.bits, "LANES": self.lanes, "WINDOW": self.window, "DEPTH": self.depth,
            "REPLAY": self.replay, "PULSE": self.pulse, "LIMIT": self.limit,
        }  # fmt: skip


def link_for(bits: int, lanes: int, latency: int, stall: int = 0) -> LinkShape:
    """A link whose timers fit a wire of `latency` cycles that is withheld `stall` percent of the cycles.

    The window covers a round trip, up to 32 frames.  Raises InvalidInput.
    """
    if latency < 0 or not 0 <= stall <= 90:
        raise InvalidInput(
            f"a link of {latency} cycles, {stall} % withheld: at least 0, and at most 90"
        )
    if lanes not in LANES:
        return LinkShape(bits, lanes)
    frame = LinkShape(bits, lanes, window=1, replay=1 << 24, limit=1 << 27).data_symbols
    round_trip = 2 * (latency + 2) + 3 * frame
    window = 2
    while window < WIDEST_WINDOW and window * frame < round_trip:
        window *= 2
    replay = 2 * (window * frame + round_trip) * 100 // (100 - stall)
    return LinkShape(bits, lanes, window, window, replay, max(64, frame), 16 * replay)
