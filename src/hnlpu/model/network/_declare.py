"""What a network declares beside its steps: inputs, matrices, parameters and states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hnlpu.model.network._source import Source
from hnlpu.model.network._types import Kind, Shape

Role = Literal[
    "attention", "router", "experts", "feed_forward", "mixer", "recurrence", "unembedding"
]
"""What a matrix is for, so that a policy can treat all of one role alike."""


@dataclass(frozen=True)
class Input:
    """A value that comes from outside at every position.

    `carries` is the token's number, the position's number (0 for the first), or data of any kind.
    """

    name: str
    carries: Literal["token", "position", "data"]
    shape: Shape = ()
    kind: Kind = "index"


@dataclass(frozen=True)
class Cut:
    """How a matrix may be divided over the chips of a grid.

    copy       every chip holds all of it
    rows       every chip makes some of the outputs
    members    every chip holds some members, whole
    heads_out  a column of chips makes some heads, each of its chips from some of the inputs
    heads_in   a column's heads are its inputs, each of its chips makes some of the outputs

    Heads are cut between runs of `group` rows (heads_out) or columns (heads_in); matrices of one
    `together` are cut into the same runs.
    """

    how: Literal["copy", "rows", "members", "heads_out", "heads_in"]
    group: int = 1
    together: str | None = None


@dataclass(frozen=True)
class Matrix:
    """A constant that becomes metal: `rows` neurons by `columns` inputs.

    With `members` it is a bank of that many equal matrices, such as experts.  `source` gives [rows,
    columns], of a bank [members, rows, columns]; `bias` gives [rows] or [members, rows].  `padding` zero inputs stand behind the last column, so
    that blocks of 32 are whole; they cost no metal.
    """

    name: str
    rows: int
    columns: int
    role: Role
    cut: Cut
    source: Source
    bias: Source | None = None
    members: int | None = None
    padding: int = 0
    block: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of what `source` gives."""
        one = (self.rows, self.columns)
        return one if self.members is None else (self.members, *one)

    @property
    def count(self) -> int:
        """Number of matrices."""
        return 1 if self.members is None else self.members


@dataclass(frozen=True)
class Parameter:
    """A constant that stays in memory: a norm's weights, decays, a table of embeddings."""

    name: str
    shape: tuple[int, ...]
    source: Source
    block: int | None = None


@dataclass(frozen=True)
class Append:
    """An entry for every position; only the last `window` are ever read, or all of them."""

    window: int | None = None


@dataclass(frozen=True)
class Ring:
    """The last `length` entries, oldest first; before the first ones, the initial value."""

    length: int


@dataclass(frozen=True)
class Replace:
    """One value, which every write replaces."""


Keeps = Append | Ring | Replace


@dataclass(frozen=True)
class State:
    """What is kept from one position to the next.

    `shape` is that of one write; what is read has an axis in front of it where `keeps` holds
    several.  Every sequence starts with `initial` in all places.
    """

    name: str
    shape: tuple[int, ...]
    keeps: Keeps
    initial: float = 0.0
    block: int | None = None


@dataclass(frozen=True)
class LeftOut:
    """Tensors of a checkpoint that are no part of the network: names that begin with `start`."""

    start: str
    reason: str


@dataclass(frozen=True)
class Declared:
    """Matrices, parameters and states by name: what the rules of steps look up."""

    matrices: Mapping[str, Matrix]
    parameters: Mapping[str, Parameter]
    states: Mapping[str, State]
