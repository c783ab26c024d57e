"""The list of tasks while a network is walked: what joins the last one, what must follow it.

Vector work between two other tasks is one operation.  A pass joins the last pass, and a gather the last
gather, where what it takes was there before that one: both are done at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from hnlpu.system.machine._places import SHARES, ValuePlace
from hnlpu.system.machine._tasks import (
    AllGather,
    ArrayPass,
    Bank,
    CacheTraffic,
    ColumnSums,
    Enter,
    Leave,
    Logits,
    SliceSums,
    StateTraffic,
    Task,
    TotalSums,
    Vector,
)

Block = int | None
Labelled = tuple[Task, Block]


class Journal:
    """Tasks in their order, each with the block of the step that began it."""

    def __init__(self, rows: int):
        self.rows = rows
        self.block: Block = None
        self.region: int | None = None
        self._tasks: list[Task] = []
        self._labels: list[Block] = []
        self._elements: float | None = None
        self._held = 0.0
        self._began: Block = None
        self._touched: dict[int, tuple[int, int]] = {}

    @property
    def behind(self) -> int:
        """The place of a task behind the vector work that goes on."""
        return len(self._tasks) + 1

    @property
    def next(self) -> int:
        """The place of a task behind the last one."""
        return len(self._tasks)

    def work(self, elements: float) -> None:
        """Vector work, after all that is in the list."""
        if not elements:
            return
        if self._elements is None:
            self._elements, self._began = 0, self.block
        self._elements += elements
        self._touch(len(self._tasks))

    def hold(self, values: float) -> None:
        """Values of states that vector work reads or writes: what goes on, or else the next."""
        self._held += values

    def through(self, made: int, bank: Bank | None, rows: int) -> int:
        """A pass of what was there at `made`; the place of the task behind it."""
        task, last = ArrayPass(bank, rows), len(self._tasks) - 1
        joins = bool(self._tasks) and self._elements is None and self._tasks[last] == task
        if not joins or made > last:
            self._add(task)
        self._touch(len(self._tasks) - 1)
        return len(self._tasks)

    def attend(self, memory: CacheTraffic) -> None:
        """Cached positions, which the vector work before opens."""
        if self._held:
            self.flush()
        if self._elements is None:
            self._elements, self._began = 0, self.block
        self._add(memory)

    def settle(self, place: ValuePlace) -> None:
        """Add up the sums that a value waits for, and those of its group."""
        group = place.group
        values, riders, heads = map(math.ceil, (group.values, group.riders, group.statistics))
        match group.how:
            case "column sums":
                self._sum(ColumnSums(values, riders, heads))
            case "slice sums":
                self._sum(SliceSums(values, group.scales))
            case "total sums":
                self._sum(TotalSums(values))
            case _:
                return
        group.how, group.made = group.then, self.behind

    def gather(self, place: ValuePlace, *, digits: bool = False) -> None:
        """Bring a value to all chips, as `digits` where a matrix takes it."""
        self.settle(place)
        group = place.group
        if group.how not in SHARES:
            return
        # the chips of a column have the same heads: each sends its part of them
        values = math.ceil(group.values / (self.rows if group.how == "heads" else 1))
        last = len(self._tasks) - 1
        before = self._tasks[last] if self._tasks and self._elements is None else None
        joins = isinstance(before, AllGather) and group.made <= last
        more = before if isinstance(before, AllGather) and joins else AllGather(0)
        task = replace(more, values=more.values + values)
        if digits:
            task = replace(more, activations=more.activations + values)
        if joins:
            self._tasks[last] = task
        else:
            self._add(task)
        self._touch(len(self._tasks) - 1)
        group.how, group.made = "whole", len(self._tasks)

    def output(self, values: float) -> None:
        """Logits of which every chip has some."""
        self._add(Logits(math.ceil(values)))

    def flush(self) -> None:
        """End the vector work."""
        if self._elements is None:
            return
        self._put(Vector(self._elements), self._began)
        if self._held:
            self._put(StateTraffic(self._held), self._began)
        self._elements, self._held = None, 0.0

    def close(self) -> list[Labelled]:
        """All tasks, ends of serial regions among them."""
        if self._held and self._elements is None:
            self._elements, self._began = 0, self.block
        self.flush()
        return list(self._marked())

    def _marked(self) -> Iterator[Labelled]:
        starts, stops = set(), set()
        for start, stop in joined(sorted(self._touched.values())):
            while stop + 1 < len(self._tasks) and isinstance(
                self._tasks[stop + 1], StateTraffic | CacheTraffic
            ):
                stop += 1
            starts.add(start)
            stops.add(stop)
        for n, (task, label) in enumerate(zip(self._tasks, self._labels, strict=True)):
            if n in starts:
                yield Enter(), label
            yield task, label
            if n in stops:
                yield Leave(), label

    def _sum(self, task: Task) -> None:
        self._add(task)
        self._touch(len(self._tasks) - 1)
        self._elements, self._began = 0, self.block

    def _add(self, task: Task) -> None:
        self.flush()
        self._put(task, self.block)

    def _put(self, task: Task, label: Block) -> None:
        self._tasks.append(task)
        self._labels.append(label)

    def _touch(self, place: int) -> None:
        """Note that the serial region that is walked has a part in a task."""
        if self.region is not None:
            first, last = self._touched.get(self.region, (place, place))
            self._touched[self.region] = min(first, place), max(last, place)


def joined(ranges: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Ranges in order, those that meet as one."""
    begun: tuple[int, int] | None = None
    for first, last in ranges:
        if begun is not None and first <= begun[1]:
            begun = begun[0], max(begun[1], last)
            continue
        if begun is not None:
            yield begun
        begun = first, last
    if begun is not None:
        yield begun
