"""Text as it comes, held back while it may be the beginning of a stop string."""

from __future__ import annotations

from collections.abc import Sequence


class StopText:
    """Passes text on up to the first stop string.

    Of several stop strings that end in the same piece, the one that begins first counts.
    """

    def __init__(self, stops: Sequence[str]):
        self._stops = stops
        self._held = ""

    def push(self, piece: str) -> tuple[str, str | None]:
        """Text that may be shown now, and the stop string that has been met, if one has."""
        if not self._stops:
            return piece, None
        text = self._held + piece
        met = [(at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if met:
            at, stop = min(met)
            self._held = ""
            return text[:at], stop
        keep = max(_overlap(text, stop) for stop in self._stops)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], None

    def rest(self) -> str:
        """What was held back, now that nothing follows."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that `stop` begins with, but is not all of."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
