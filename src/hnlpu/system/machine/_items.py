"""Tasks of a token on a machine -> work items in their order: one list for every reader.

    ArrayPass      through a neuron array, or through the experts that the token picked
    ExchangeItem   steps between chips
    Vector         an operation of the vector unit
    CacheTraffic   the sum over cached positions that the operation before it opens
    StateTraffic   states of fixed size that the operation before it reads and writes
    Enter, Leave   the ends of a serial region

What values between chips ask for is an exchange and, for sums, additions in the operation behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

from hnlpu.system.machine._exchange import (
    Axis,
    ExchangeStep,
    axis_bytes,
    swap_additions,
    swap_steps,
)
from hnlpu.system.machine._specification import Specification
from hnlpu.system.machine._tasks import (
    AllGather,
    ArrayPass,
    CacheTraffic,
    ColumnSums,
    Enter,
    Leave,
    Logits,
    SliceSums,
    StateTraffic,
    Task,
    TokenWork,
    TotalSums,
    Vector,
)

_AXES: tuple[Axis, Axis] = ("row", "column")


@dataclass(frozen=True)
class ExchangeItem:
    """Values between chips; no steps where there is one chip."""

    steps: tuple[ExchangeStep, ...]


Item = ArrayPass | ExchangeItem | Vector | CacheTraffic | StateTraffic | Enter | Leave


def layer_items(spec: Specification, tasks: tuple[Task, ...]) -> tuple[Item, ...]:
    """The items of one token for the tasks of a layer, or for those behind the last one."""
    return tuple(_items(spec, tasks))


def head_items(spec: Specification, work: TokenWork) -> tuple[Item, ...]:
    """The items after the last layer, of a token that has logits."""
    return layer_items(spec, work.head)


def token_steps(spec: Specification, tasks: tuple[Task, ...]) -> tuple[ExchangeStep, ...]:
    """All steps between chips, one after the other."""
    return tuple(
        step
        for item in layer_items(spec, tasks)
        if isinstance(item, ExchangeItem)
        for step in item.steps
    )


def token_link_bytes(spec: Specification, work: TokenWork) -> tuple[float, float]:
    """Bytes that a generated token puts on each link of a row, and of a column."""
    layers = [(work.count(n), token_steps(spec, kind)) for n, kind in enumerate(work.kinds)]
    runs = [*layers, (1, token_steps(spec, work.head))]
    row, column = (sum(count * axis_bytes(steps, axis) for count, steps in runs) for axis in _AXES)
    return row, column


def _items(spec: Specification, tasks: tuple[Task, ...]) -> Iterator[Item]:
    additions = 0.0
    for task in tasks:
        match task:
            case Vector(elements):
                yield Vector(additions + elements)
                additions = 0.0
            case Logits(values):
                yield ExchangeItem(swap_steps(spec, task))
                compared = values * (spec.chips if spec.sampling == "gather" else 1)
                yield Vector(float(compared))
            case ArrayPass() | CacheTraffic() | StateTraffic() | Enter() | Leave():
                yield task
            case ColumnSums() | SliceSums() | TotalSums() | AllGather():
                yield ExchangeItem(swap_steps(spec, task))
                additions = swap_additions(spec, task)
            case _:
                assert_never(task)
