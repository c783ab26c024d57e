"""Registers of a sequence: beats that are free, and banks for the operands of units.

Values lie in the pool, each in the lowest beats that no living value holds.  What the attention unit
and the experts take lies in banks of its own behind the pool; a state keeps its beats for good.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

POOL, STATE = "pool", "state"
BANKS = (
    POOL, "query", "scaled query", "key", "value", "scaled key", "scaled value", "gate", "up",
    "opened", "output", "logits", STATE,
)  # fmt: skip
"""In the order in which they are numbered."""


@dataclass(frozen=True)
class Register:
    """Beat `beat` of a bank, which gets its number when all banks' sizes are known."""

    bank: str
    beat: int


Beats = tuple[Register, ...]


def in_order(read: Beats, written: Beats) -> bool:
    """Whether every beat of `read` is read before it is overwritten, both going beat by beat.

    Pieces that changed places lie in the registers of another order.
    """
    return all(register not in written[:n] for n, register in enumerate(read))


class Registers:
    """Sizes of the banks, as far as they have been asked for."""

    def __init__(self) -> None:
        self._sizes = dict.fromkeys(BANKS, 0)

    def bank(self, name: str, beats: int, first: int = 0) -> Beats:
        """`beats` beats of a bank from its beat `first` on."""
        self._sizes[name] = max(self._sizes[name], first + beats)
        return tuple(Register(name, first + n) for n in range(beats))

    def pool(self, beats: int, busy: Iterable[Register]) -> Beats:
        """The lowest beats of the pool that are not busy."""
        taken = {register.beat for register in busy if register.bank == POOL}
        free = [n for n in range(len(taken) + beats) if n not in taken][:beats]
        self._sizes[POOL] = max(self._sizes[POOL], free[-1] + 1)
        return tuple(Register(POOL, n) for n in free)

    def state(self, beats: int) -> Beats:
        """Beats that keep a state, behind those of other states."""
        return self.bank(STATE, beats, self._sizes[STATE])

    @property
    def count(self) -> int:
        """All of them."""
        return sum(self._sizes.values())

    def numbers(self) -> Mapping[Register, int]:
        """The number of every register."""
        found = (Register(bank, n) for bank, size in self._sizes.items() for n in range(size))
        return {register: number for number, register in enumerate(found)}
