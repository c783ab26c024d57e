"""What a token does on a grid of chips, before a machine says how long it takes: a list of tasks.

    ArrayPass                  digits through neuron arrays
    ColumnSums ... Logits      values between chips; `_exchange` says in which steps
    Vector                     an operation of the vector unit
    CacheTraffic, StateTraffic cached positions, or states of fixed size, in one go with the
                               operation before
    Enter, Leave               the ends of a serial region: one token of a sequence at a time

Counts are those of the chip that has most of it.  `_work` makes the tasks of a model of the catalog,
`_walk` those of a network; `_items` makes work items of either.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bank:
    """Members of which a token picks some: experts."""

    count: int
    active: int


@dataclass(frozen=True)
class ArrayPass:
    """Through arrays that are used nowhere else, or those of the members of a `bank` picked.

    `rows` vectors pass one after the other.
    """

    bank: Bank | None = None
    rows: int = 1


@dataclass(frozen=True)
class Vector:
    """Elements of an operation on an average chip."""

    elements: float


@dataclass(frozen=True)
class CacheTraffic:
    """Keys and values of a layer's positions, read and summed.

    `macs_per_position` are multiplications of attention for each position that a chip holds,
    `kv_values` what it caches for one.
    """

    window: int | None
    macs_per_position: int
    kv_values: int

    def positions(self, context: int) -> int:
        """Positions that are attended to with `context` of them cached."""
        return context if self.window is None else min(context, self.window)


@dataclass(frozen=True)
class StateTraffic:
    """Values of states of fixed size that a chip reads and writes in its buffer."""

    values: float


@dataclass(frozen=True)
class Enter:
    """The start of a serial region: it waits until the position before has left the region."""


@dataclass(frozen=True)
class Leave:
    """The end of a serial region."""


@dataclass(frozen=True)
class ColumnSums:
    """Sums over the chips of a column, and what rides along with them.

    `riders` are values that one chip alone keeps (new keys and values), `statistics` heads whose
    maximum and sum of a softmax travel too.
    """

    values: int
    riders: int = 0
    statistics: int = 0


@dataclass(frozen=True)
class SliceSums:
    """Sums over the chips of a row, of a slice each; then the slices to all chips of a column.

    `scales` are those on which the chips of a row agree first where the sums are exact.
    """

    values: int
    scales: int = 0


@dataclass(frozen=True)
class TotalSums:
    """Sums over all chips."""

    values: int


@dataclass(frozen=True)
class AllGather:
    """The values of each chip to all chips, and the `activations` that matrices take."""

    values: int
    activations: int = 0


@dataclass(frozen=True)
class Logits:
    """The logits of each chip, or its best one, to all chips, which compare them."""

    values: int


Swap = ColumnSums | SliceSums | TotalSums | AllGather | Logits
"""Tasks in which values go between chips."""
Task = ArrayPass | Vector | CacheTraffic | StateTraffic | Enter | Leave | Swap


@dataclass(frozen=True)
class TokenWork:
    """A model's tasks for one token: kinds of layer, which layer is of which, what follows them.

    `head` is what only a token with logits does.  `entry_values` are read from memory beside the
    chips before the first layer: the row of the embedding table.  `kept_values` are those that a
    chip keeps of each sequence, however long: states of fixed size.
    """

    kinds: tuple[tuple[Task, ...], ...]
    layers: tuple[int, ...]
    head: tuple[Task, ...]
    entry_values: int
    kept_values: int = 0

    def count(self, kind: int) -> int:
        """Layers of a kind."""
        return self.layers.count(kind)

    @property
    def bank(self) -> Bank | None:
        """The experts of the layers that have any."""
        banks = (bank_of(tasks) for tasks in (*self.kinds, self.head))
        return next((bank for bank in banks if bank), None)


def bank_of(tasks: tuple[Task, ...]) -> Bank | None:
    """The experts that a token picks among."""
    return next((task.bank for task in tasks if isinstance(task, ArrayPass) and task.bank), None)


def memories(tasks: tuple[Task, ...]) -> tuple[CacheTraffic, ...]:
    """What is cached of every position."""
    return tuple(task for task in tasks if isinstance(task, CacheTraffic))
