"""Where the numbers of a value are while a token passes a grid of chips.

    constant      follows from constants: every chip has its part of it
    free          follows from token, position and constants: read with the entry
    whole         all of it on every chip
    spread        every chip has some of it
    heads         every chip of a column has the column's heads
    members       every chip has what its members gave
    column sums   every chip of a column has a part of each sum of the column's heads
    slice sums    every chip of a row has a part of each sum of the row's slice
    total sums    every chip has a part of each sum

Sums must be added before they are used; shares may be used where all that they meet lies alike, and
are gathered where it does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

How = Literal[
    "constant", "free", "whole", "spread", "heads", "members", "column sums", "slice sums",
    "total sums",
]  # fmt: skip
SHARES: tuple[How, ...] = ("spread", "heads", "members")
COSTLESS: tuple[How, ...] = ("constant", "free")


@dataclass
class ExchangeGroup:
    """Values that go between chips together: where they are now, and after which task.

    `values` are those of a chip, `riders` go along with them to one chip that keeps them,
    `statistics` are heads whose softmax is summed, `scales` those of activations that were shared.  `then` is how they lie once they are summed.
    """

    how: How
    made: int = 0
    values: float = 0
    riders: float = 0
    statistics: float = 0
    scales: int = 0
    then: How = "whole"


@dataclass(frozen=True)
class ValuePlace:
    """A value's numbers, those of the fullest chip where it is shared out, and its group."""

    size: int
    share: float
    group: ExchangeGroup

    @property
    def how(self) -> How:
        """Where it is now."""
        return self.group.how

    @property
    def count(self) -> float:
        """Numbers on the fullest chip."""
        return self.share if self.how in SHARES else self.size

    def part_of(self, size: int) -> float:
        """Numbers on the fullest chip of another value that lies like this one."""
        return scaled(self.share, size, self.size)


def scaled(share: float, size: int, of: int) -> float:
    """share * size / of, exact where it is whole."""
    if isinstance(share, int) and share * size % of == 0:
        return share * size // of
    return share * (size / of)


def costless(size: int, of: Iterable[ValuePlace] = ()) -> ValuePlace:
    """A value made of such that cost nothing; of none, a constant."""
    constant = all(place.how == "constant" for place in of)
    return ValuePlace(size, size, ExchangeGroup("constant" if constant else "free"))
