"""What a tape keeps between calls, and how the memory of it lies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

How = Literal["keys", "values", "whole"]


@dataclass(frozen=True)
class TapeState:
    """A state of a network, `shape` per entry, whose places start as `initial`.

    keys    pages [pages, heads, d, positions of a page]: an entry [heads, d] per position
    values  pages [pages, heads, positions of a page, d]
    whole   a slot per sequence [slots, entries, *shape]: the oldest entry first
    """

    number: int
    name: str
    how: How
    shape: tuple[int, ...]
    entries: int
    initial: float

    def memory_shape(self, count: int, page: int) -> tuple[int, ...]:
        """Shape of an array that holds `count` pages of `page` positions, or `count` slots."""
        if self.how == "whole":
            return (count, self.entries, *self.shape)
        heads, size = self.shape
        return (count, heads, size, page) if self.how == "keys" else (count, heads, page, size)

    @property
    def size(self) -> int:
        """Numbers per position, or of a slot."""
        return self.entries * math.prod(self.shape)
