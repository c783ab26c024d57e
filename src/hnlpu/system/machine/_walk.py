"""A network on a grid of chips -> the tasks of one token, from its steps and its matrices' cuts.

    project      a pass; its cut says which chips have which of its sums
    spans        attention, norms, rotations, gates and routing are counted as a whole
    other steps  vector work, one element for each number made, added up or compared
    states       that grow are read from buffer and HBM by attention; those of fixed size stay on chip

What is shared out stays so while all that it meets lies alike, and is gathered otherwise.  What
follows from token, position and constants alone is read with the entry.  A memory of several heads
that steps read before they write it is dealt to the chips by heads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import assert_never

from hnlpu.errors import UnsupportedArchitecture
from hnlpu.model.network import Append, Matrix, Ring, Span, Step, op_name, ops, regions
from hnlpu.silicon.exchange import kept_sums
from hnlpu.system.catalog import NetworkShape
from hnlpu.system.machine._elements import (
    SELECT_OPERATIONS,
    OpenEnded,
    elements,
    products,
    size_of,
)
from hnlpu.system.machine._grid import fullest
from hnlpu.system.machine._journal import Labelled
from hnlpu.system.machine._places import COSTLESS, ExchangeGroup, How, ValuePlace, scaled
from hnlpu.system.machine._spans import ends, last_uses, origin, units
from hnlpu.system.machine._tasks import ArrayPass, Bank, CacheTraffic, Task, TokenWork
from hnlpu.system.machine._values import Values

ELEMENTS_OF = {"norm": 2, "rope": 3, "clamped_swiglu": 6}
"""Elements for each number that a span makes: square and sum, scale; two products and a sum; clamp
twice, sigmoid, two products, offset."""


def network_work(model: NetworkShape, rows: int, columns: int, sliding: bool = True) -> TokenWork:
    """The tasks of one token; without `sliding`, every layer sees all positions.

    Raises DoesNotFit for a grid that the network cannot be cut over, UnsupportedArchitecture for a
    step that the machine has no time for.
    """
    return _Walk(model, rows, columns, sliding).run()


class _Walk(Values):
    """One pass over the steps of a network."""

    def __init__(self, model: NetworkShape, rows: int, columns: int, sliding: bool):
        super().__init__(model, rows)
        self.model, self.network = model, model.network
        self.chips, self.columns, self.sliding = rows * columns, columns, sliding
        self.neurons = fullest(model, rows, columns)
        self.known, self.kept = self.network.declared(), kept_sums(self.network)
        self.last = last_uses(self.network)
        self.sums: dict[tuple[How, int], ExchangeGroup] = {}
        self.entry = self.kept_values = 0
        self.bank: Bank | None = None
        self.window: int | None = None
        for given in self.network.inputs:
            size, data = size_of(given.shape), given.carries == "data"
            self.entry += size if data else 0  # they come in as the entry of a token's table does
            self.places[given.name] = ValuePlace(
                size, size, ExchangeGroup("whole" if data else "free")
            )

    def refusal(self, text: str) -> UnsupportedArchitecture:
        return UnsupportedArchitecture(f"{self.model.name}: {text}")

    def run(self) -> TokenWork:
        serial = [region for region in regions(self.network) if region.serial]
        spans, number, steps = units(self.network), 0, self.network.steps
        while number < len(steps):
            step, span = steps[number], spans.get(number)
            stop = span.stop if span else number + 1
            met = (n for n, r in enumerate(serial) if r.start < stop and number < r.stop)
            self.journal.block, self.journal.region = step.block, next(met, None)
            try:
                self.unit(span) if span else self.step(number, step)
            except OpenEnded:
                raise self.refusal(
                    f"{_place(number, step)} goes along all positions outside attend, and the "
                    "machine has no time for that; write it with attend"
                ) from None
            number = stop
        self.journal.block = self.journal.region = None
        for name in self.network.outputs:
            self.output(self.places[name])
        return self.gathered(self.journal.close())

    # -- units: spans that are counted as a whole ----------------------------------------------

    def unit(self, span: Span) -> None:
        args, outs = ends(self.network.steps, span, self.last)
        if span.composite == "attend":
            self.attend(self.network.steps[span.start : span.stop], args, outs)
        elif span.composite == "route":
            self.gather(args)
            self.journal.work(SELECT_OPERATIONS * sum(self.size(name) for name in args))
            self.whole(outs)
        elif span.composite in ELEMENTS_OF:
            self.local(args, outs, ELEMENTS_OF[span.composite], rows=span.composite == "norm")
        else:
            self.scan(self.network.steps[span.start : span.stop], args, outs)

    def attend(self, steps: Sequence[Step], args: Sequence[str], outs: Sequence[str]) -> None:
        """Attention: positions are dealt to the chips of a column, whose sums are added."""
        dots = [step for step in steps if isinstance(step.op, ops.Dot)]
        writes = [step for step in steps if isinstance(step.op, ops.Write)]
        for name in args:
            self.journal.settle(self.places[name])
            if self.places[name].how != "heads":
                self.journal.gather(self.places[name])
        of = self.places[origin(str(dots[0].args[0]), steps)]
        window = None
        for step in writes:
            assert isinstance(step.op, ops.Write)
            keeps = self.known.states[step.op.state].keeps
            window = keeps.window if isinstance(keeps, Append) and self.sliding else None
            if window is not None and window != (self.window or window):
                raise self.refusal(
                    f"state {step.op.state} has a window of {window} positions, others one of "
                    f"{self.window}; machines are simulated with windows of one length"
                )
            self.window = window or self.window
        macs = sum(
            products(step, step.op.axes, self.types)
            for step in dots
            if isinstance(step.op, ops.Dot)
        )
        kept = sum(self.places[origin(str(step.args[0]), steps)].count for step in writes)
        self.journal.attend(CacheTraffic(window, int(scaled(of.count, macs, of.size)), int(kept)))
        scores = self.types[dots[0].outs[0]].shape
        heads = math.prod(dim for dim in scores if isinstance(dim, int))
        size = self.size(outs[0])
        share = scaled(of.count, size, of.size)
        then: How = "heads" if of.how == "heads" else "whole"
        group = ExchangeGroup("column sums", self.journal.next, share, then=then)
        group.statistics = scaled(of.count, heads, of.size)
        self.make(outs, group, ValuePlace(size, share, group))

    def scan(self, steps: Sequence[Step], args: Sequence[str], outs: Sequence[str]) -> None:
        """A memory of several heads, dealt to the chips by heads."""
        self.gather(args)
        names = {step.op.state for step in steps if isinstance(step.op, ops.Write)}
        shapes = [self.known.states[name].shape for name in names]
        heads = math.prod(max(shapes, key=len)[:-2])
        most = -(-heads // self.chips)
        kept = math.ceil(scaled(most, sum(map(math.prod, shapes)), heads))
        self.kept_values += kept
        self.journal.work(scaled(most, sum(elements(step, self.types) for step in steps), heads))
        self.journal.hold(2 * kept)
        if most == heads:
            self.whole(outs)
            return
        share = sum(scaled(most, self.size(name), heads) for name in outs)
        group = ExchangeGroup("spread", self.journal.behind, share)
        for name in outs:
            size = self.size(name)
            self.places[name] = ValuePlace(size, scaled(most, size, heads), group)

    # -- steps ----------------------------------------------------------------------------------

    def step(self, number: int, step: Step) -> None:
        args = self.args(step)
        match step.op:
            case ops.Quantize() | ops.Reshape() | ops.FromSums():
                like = self.places[args[0]]
                self.make(step.outs, like.group, like)
            case ops.Project():
                self.project(number, step, self.known.matrices[step.op.matrix])
            case ops.Lookup():
                if self.places[args[0]].how not in COSTLESS:
                    raise self.refusal(
                        f"{_place(number, step)} looks up by a number that is computed on the way; "
                        "machines read tables by token and position alone"
                    )
                self.entry += self.size(step.outs[0])
                self.make(step.outs, ExchangeGroup("free"))
            case (
                ops.Add() | ops.Sub() | ops.Mul() | ops.Divide() | ops.Minimum() | ops.Maximum()
                | ops.Shift() | ops.Compare() | ops.Where() | ops.InverseRoot() | ops.Table()
            ):  # fmt: skip
                self.local(args, step.outs)
            case ops.Dot() if any(self.places[name].how == "members" for name in args):
                self.weigh(step, args)
            case ops.Split(axis=axis) if self.inner(args[0], axis):
                like = self.places[args[0]]
                self.make(step.outs, like.group, like)
            case (
                ops.Dot() | ops.Outer() | ops.Sum() | ops.Max() | ops.TopK() | ops.ArgMax()
                | ops.Split() | ops.Permute() | ops.Concat() | ops.Gather() | ops.Window()
            ):  # fmt: skip
                self.everywhere(step, args)
            case ops.Read(when=when):
                made = 0 if when == "before" else self.journal.behind
                self.make(step.outs, ExchangeGroup("whole", made))
                self.journal.hold(self.size(step.outs[0]))
            case ops.Write(name):
                self.gather(args)
                keeps, size = self.known.states[name].keeps, self.size(args[0])
                self.kept_values += size * (keeps.length if isinstance(keeps, Ring) else 1)
                self.journal.hold(size)
            case ops.Repeat():
                raise self.refusal(
                    f"{_place(number, step)} repeats its steps, and the machine has no time for "
                    "that; write out the steps"
                )
            case _:
                assert_never(step.op)

    def project(self, number: int, step: Step, matrix: Matrix) -> None:
        """A pass, and where its sums are then."""
        args, out = self.args(step), step.outs[0]
        x, how = self.places[args[0]], matrix.cut.how
        self.journal.settle(x)
        if (how, x.how) not in (("heads_in", "heads"), ("members", "members")):
            self.journal.gather(x, digits=True)
        vectors, active, bank = self.size(out) // matrix.rows, 1, None
        assert isinstance(step.op, ops.Project)
        match step.op.members:
            case "chosen":
                active = size_of(self.types[args[1]].shape[-1:])
                bank = Bank(matrix.count, active)
                self.expect_alike(number, step, bank)
            case "each":
                active = matrix.count
            case "one":
                pass
        behind = self.journal.through(x.group.made, bank, vectors // active)
        share: float = self.neurons[matrix.name] * vectors
        match how:
            case "copy":
                group = ExchangeGroup("whole", behind)
            case "rows":
                group = ExchangeGroup("spread" if self.chips > 1 else "whole", behind, share)
            case "members":
                group = ExchangeGroup(
                    "members", behind, active / self.chips * (self.size(out) // active)
                )
                share = group.values
            case "heads_out" | "heads_in":
                sums: How = "column sums" if how == "heads_out" else "slice sums"
                # the chips of a single column have all heads
                apart = how == "heads_out" and self.columns > 1
                then: How = "heads" if apart else "whole"
                group = self.sums.setdefault((sums, behind), ExchangeGroup(sums, behind, then=then))
                group.scales += how == "heads_in" and x.how == "heads"
                if out in self.kept:
                    group.riders += share
                else:
                    group.values += share
            case _:
                assert_never(how)
        self.places[out] = ValuePlace(self.size(out), share, group)

    def expect_alike(self, number: int, step: Step, bank: Bank) -> None:
        """Raise UnsupportedArchitecture where members are chosen in two ways."""
        if self.bank not in (None, bank):
            raise self.refusal(
                f"{_place(number, step)} chooses {bank.active} of {bank.count} members, others "
                "choose otherwise; machines are simulated with one way of choosing"
            )
        self.bank = bank

    def weigh(self, step: Step, args: Sequence[str]) -> None:
        """A sum over members, of which every chip has its own part."""
        assert isinstance(step.op, ops.Dot)
        letters, _, result = step.op.axes.partition("->")
        ours = next(n for n, name in enumerate(args) if self.places[name].how == "members")
        if letters.split(",")[ours][0] in result:
            self.everywhere(step, args)
            return
        place = self.places[args[ours]]
        self.gather([name for name in args if self.places[name] is not place])
        self.journal.work(place.part_of(products(step, step.op.axes, self.types)))
        self.make(
            step.outs, ExchangeGroup("total sums", self.journal.behind, self.size(step.outs[0]))
        )

    # -- the end ---------------------------------------------------------------------------------

    def output(self, place: ValuePlace) -> None:
        """What the network gives: logits, which chips compare."""
        self.journal.settle(place)
        if place.how == "spread" or self.chips == 1:
            self.journal.output(place.count)
        else:
            self.journal.gather(place)
            self.journal.work(place.size)

    def gathered(self, tasks: list[Labelled]) -> TokenWork:
        """Tasks by blocks; those of none behind the last block are for logits alone."""
        kinds: list[tuple[Task, ...]] = []
        layers = []
        stop = _head_start(tasks)
        for _, run in groupby(tasks[:stop], key=lambda item: item[1]):
            kind = tuple(task for task, _ in run)
            if kind not in kinds:
                kinds.append(kind)
            layers.append(kinds.index(kind))
        head = tuple(task for task, _ in tasks[stop:])
        return TokenWork(tuple(kinds), tuple(layers), head, self.entry, self.kept_values)


def _head_start(tasks: list[Labelled]) -> int:
    """The first task that is for logits alone: of no block, behind all that is kept of positions."""
    kept = [
        n
        for n, (task, label) in enumerate(tasks)
        if label is not None or isinstance(task, CacheTraffic)
    ]
    if any(label is not None for _, label in tasks):
        return kept[-1] + 1
    last = max((n for n, (task, _) in enumerate(tasks) if isinstance(task, ArrayPass)), default=0)
    return max([last, *(n + 1 for n in kept)])


def _place(number: int, step: Step) -> str:
    """How messages call a step: step 17 (repeat b0.repeat_1)."""
    return f"step {number} ({op_name(step.op)} {step.outs[0] if step.outs else ''})".replace(
        " )", ")"
    )
