"""A network and a grid -> where each value lies, and what crosses links before which step.

    heads_out    all inputs ─► sums over the chips of a column ─► a column's heads, on all its chips
    heads_in     a column's heads, or all inputs ─► sums over the chips of a row ─► all of it everywhere
    rows         all inputs ─► each chip's outputs
    members      all inputs, or a member's ─► outputs of the members that a chip has
    copy         all inputs ─► all outputs everywhere

What a step does number by number, or along axes that are not shared out, it does where the numbers
are.  For everything else they are gathered first, once for all who follow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

from hnlpu.model.network import (
    Network,
    Span,
    Step,
    ValueType,
    all_steps,
    check,
    done_at_once,
    ops,
    span_ends,
)
from hnlpu.silicon.exchange._kept import kept_sums
from hnlpu.silicon.exchange._places import OfMembers, Shared, Where, alike, reshaped
from hnlpu.silicon.exchange._slices import ChipGrid
from hnlpu.silicon.place import StackSlice

BLOCK = 32
CrossingKind = Literal[
    "column sums", "slice sums", "experts", "attention", "scale", "activations", "values"
]
"""What crosses links; docs/exchange.md."""
_ALONG_THE_LAST_AXIS = ("norm", "unit_norm", "layer_norm", "rope")
_POINTWISE = (
    ops.Add | ops.Sub | ops.Mul | ops.Divide | ops.Minimum | ops.Maximum | ops.Shift
    | ops.Compare | ops.Where | ops.InverseRoot | ops.Table
)  # fmt: skip


@dataclass(frozen=True)
class Crossing:
    """Numbers of a value that go between chips, as they lay `where` before; of a `matrix`, its sums.

    `kept` sums go to the one chip of a column that keeps them.
    """

    kind: CrossingKind
    name: str
    where: Where = None
    matrix: str = ""
    kept: bool = False


@dataclass(frozen=True)
class ExchangePlan:
    """Exchanges of one position in their order; `before` a step takes an argument, or `within` it.

    Steps and spans go by `unit_name`, and `within` by the value that is made.  `places` has where
    each value lies when it is made.  What was gathered once stands before each step that takes it.
    """

    crossings: tuple[Crossing, ...]
    before: Mapping[tuple[str, str], Crossing]
    within: Mapping[str, Crossing]
    places: Mapping[str, Where]


def unit_name(unit: Step | Span) -> str:
    """How a plan calls a step or a span."""
    if isinstance(unit, Span):
        return unit.name
    return unit.outs[0] if unit.outs else f"write {getattr(unit.op, 'state', '')}"


def exchange_plan(network: Network, grid: ChipGrid) -> ExchangePlan:
    """The exchanges of a checked network on a grid of chips."""
    return _Planner(network, grid).run()


class _Planner:
    """One pass over the steps of a network."""

    def __init__(self, network: Network, grid: ChipGrid):
        self.network, self.grid = network, grid
        self.types: Mapping[str, ValueType] = check(network)
        self.places: dict[str, Where] = {}
        self.made: dict[str, Where] = {}
        self.gathered: dict[str, Crossing] = {}
        self.crossings: list[Crossing] = []
        self.before: dict[tuple[str, str], Crossing] = {}
        self.within: dict[str, Crossing] = {}
        self.kept = kept_sums(network)
        self.takers: dict[str, list[Step]] = {}
        for step in network.steps:
            for arg in step.args:
                if isinstance(arg, str):
                    self.takers.setdefault(arg, []).append(step)

    def run(self) -> ExchangePlan:
        at_once, number = done_at_once(self.network), 0
        while number < len(self.network.steps):
            span = at_once.get(number)
            if span is None:
                self.step(self.network.steps[number])
                number += 1
            else:
                self.span(span)
                number = span.stop
        return ExchangePlan(tuple(self.crossings), self.before, self.within, self.made)

    def lengths(self, name: str) -> tuple[int, ...]:
        """A shape; an axis of positions has no length that could be shared out."""
        return tuple(d if isinstance(d, int) else -1 for d in self.types[name].shape)

    def put(self, outs: Sequence[str], where: Where) -> None:
        for name in outs:
            self.places[name] = self.made[name] = where

    def cross(self, unit: str, crossing: Crossing) -> None:
        self.crossings.append(crossing)
        self.within[unit] = crossing

    def gather(self, unit: str, names: Iterator[str] | Sequence[str]) -> None:
        """Bring values to all chips before a unit, those that were not brought for one before."""
        for name in names:
            where = self.places.get(name)
            if where is not None:
                crossing = Crossing("values", name, where)
                self.crossings.append(crossing)
                self.gathered[name] = crossing
                self.places[name] = None
            if name in self.gathered:
                self.before[unit, name] = self.gathered[name]

    # -- spans ----------------------------------------------------------------------------------

    def span(self, span: Span) -> None:
        args, outs = span_ends(self.network, span)
        steps = self.network.steps[span.start : span.stop]
        if span.composite == "attend":
            self.attend(span, steps, args, outs)
            return
        where, last = self.places.get(args[0]), -1
        if span.composite == "clamped_swiglu" and isinstance(where, Shared) and where.axis == last:
            if all(a % 2 == 0 and b % 2 == 0 for a, b in where.spans):
                halves = tuple((a // 2, b // 2) for a, b in where.spans)
                self.put(outs, Shared(where.over, last, halves))
                return
        elif span.composite in (*_ALONG_THE_LAST_AXIS, "clamped_swiglu"):
            others = [self.places.get(name) for name in args[1:]]
            rows = isinstance(where, Shared) and where.axis < last
            rows = rows or (isinstance(where, OfMembers) and len(self.lengths(args[0])) > 1)
            if rows and not any(others):
                self.before.update(
                    ((span.name, n), self.gathered[n]) for n in args if n in self.gathered
                )
                self.put(outs, where)
                return
        self.gather(span.name, args)
        self.put(outs, None)

    def attend(
        self, span: Span, steps: Sequence[Step], args: Sequence[str], outs: Sequence[str]
    ) -> None:
        """Positions are dealt to the chips of a column, which has some of the heads."""
        q = self._origin(str(next(s for s in steps if isinstance(s.op, ops.Dot)).args[0]), steps)
        kept = [self._origin(str(s.args[0]), steps) for s in steps if isinstance(s.op, ops.Write)]
        heads = self._heads(q, kept)
        if heads is None:
            self.gather(span.name, args)
            out: Where = None
        else:
            width = self.lengths(outs[0])[-1] // self.lengths(q)[-2]
            out = Shared("columns", -1, tuple((a * width, b * width) for a, b in heads.spans))
            rest = [name for name in args if self.places.get(name) is None]
            self.gather(span.name, rest)
        if self.grid.rows > 1:
            self.cross(span.name, Crossing("attention", outs[0], heads))
        self.put(outs, out)

    def _heads(self, q: str, kept: Sequence[str]) -> Shared | None:
        """How query heads lie on columns, if their keys and values lie there too."""
        where, shape = self.places.get(q), self.lengths(q)
        if not isinstance(where, Shared) or (where.over, where.axis) != ("columns", -2):
            return None
        for name in kept:
            of = self.places.get(name)
            if not isinstance(of, Shared) or (of.over, of.axis) != ("columns", -2):
                return None
            group = shape[-2] // self.lengths(name)[-2]
            if tuple((a * group, b * group) for a, b in of.spans) != where.spans:
                return None
        return where

    @staticmethod
    def _origin(name: str, steps: Sequence[Step]) -> str:
        made = {out: step for step in steps for out in step.outs}
        while name in made and isinstance(made[name].op, ops.Reshape):
            name = str(made[name].args[0])
        return name

    # -- steps ----------------------------------------------------------------------------------

    def step(self, step: Step) -> None:
        args = [arg for arg in step.args if isinstance(arg, str)]
        unit = unit_name(step)
        match step.op:
            case ops.Quantize():
                self.quantize(step, args[0])
                return
            case ops.Project():
                self.project(step, args)
                return
            case ops.FromSums():
                self.put(step.outs, self.places.get(args[0]))
                return
            case ops.Reshape():
                where = self.places.get(args[0])
                if isinstance(where, Shared):
                    where = reshaped(where, self.lengths(args[0]), self.lengths(step.outs[0]))
                elif isinstance(where, OfMembers):
                    ours, theirs = self.lengths(args[0]), self.lengths(step.outs[0])
                    where = where if ours[:1] == theirs[:1] else None
                if where is not None:
                    self.put(step.outs, where)
                    return
            case ops.Split(axis=axis):
                where = self.places.get(args[0])
                behind = axis if axis < 0 else axis - len(self.lengths(args[0]))
                first = -len(self.lengths(args[0]))
                if (isinstance(where, Shared) and where.axis != behind) or (
                    isinstance(where, OfMembers) and behind != first
                ):
                    self.put(step.outs, where)
                    return
            case ops.Dot() if self.weighs(step, args):
                self.weigh(step, args)
                return
            case _ if isinstance(step.op, _POINTWISE):
                where = self.meeting(args, step.outs[0])
                if where is not None:
                    self.before.update(
                        ((unit, n), self.gathered[n]) for n in args if n in self.gathered
                    )
                    self.put(step.outs, where)
                    return
            case ops.Repeat():
                inner = {a for s in all_steps([step]) for a in s.args if isinstance(a, str)}
                args = sorted(inner & self.places.keys() | set(args))
        self.gather(unit, args)
        self.put(step.outs, None)

    def meeting(self, args: Sequence[str], out: str) -> Where:
        """How all operands lie that do not lie everywhere, if alike and as the result can."""
        shared = [name for name in args if self.places.get(name) is not None]
        if len({self.lies(self.places[name]) for name in shared}) != 1:
            return None
        where = self.places[shared[0]]
        if isinstance(where, Shared):
            fits = all(alike(where, self.lengths(name)) for name in (*shared, out))
        else:
            ours = self.lengths(out)
            fits = all(
                len(self.lengths(name)) == len(ours) and self.lengths(name)[0] == ours[0]
                for name in shared
            )
        return where if fits else None

    def lies(self, where: Where) -> object:
        """What two values have in common that lie alike: members of different banks may."""
        if isinstance(where, OfMembers):
            return tuple(self.held(where.matrix)), where.chosen
        return where

    def weighs(self, step: Step, args: Sequence[str]) -> bool:
        """Whether it is a sum over members, of which every chip has its own part."""
        assert isinstance(step.op, ops.Dot)
        letters, _, result = step.op.axes.partition("->")
        lie = [self.places.get(name) for name in args]
        if sum(isinstance(where, OfMembers) for where in lie) != 1 or len(args) != 2:
            return False
        if any(isinstance(where, Shared) for where in lie):
            return False
        ours = next(n for n, where in enumerate(lie) if isinstance(where, OfMembers))
        alone = letters.split(",")[ours]
        return len(alone) == 2 and alone[0] not in result

    def weigh(self, step: Step, args: Sequence[str]) -> None:
        where = next(w for w in (self.places.get(name) for name in args) if w is not None)
        unit = unit_name(step)
        self.gather(unit, [name for name in args if self.places.get(name) is None])
        self.cross(unit, Crossing("experts", step.outs[0], where))
        self.put(step.outs, None)

    # -- matrices -------------------------------------------------------------------------------

    def quantize(self, step: Step, name: str) -> None:
        """Digits lie as their value does, unless a matrix wants all of them."""
        assert isinstance(step.op, ops.Quantize)
        where, unit, out = self.places.get(name), unit_name(step), step.outs[0]
        if where is None:
            self.gather(unit, [name])
            self.put(step.outs, None)
            return
        apart = step.op.scope == "row" and (
            isinstance(where, OfMembers) or (isinstance(where, Shared) and where.axis < -1)
        )
        takers = self.takers.get(out, [])
        if takers and all(self.takes(taker, where, len(self.lengths(name))) for taker in takers):
            if not apart:
                self.cross(unit, Crossing("scale", name, where))
            self.put(step.outs, where)
            return
        crossing = Crossing("activations", name, where)
        self.cross(unit, crossing)
        self.put(step.outs, None)

    def takes(self, step: Step, where: Where, rank: int) -> bool:
        """Whether a matrix takes digits as they lie."""
        if not isinstance(step.op, ops.Project):
            return False
        matrix = self.network.declared().matrices[step.op.matrix]
        slices = self.grid.slices[matrix.name]
        if isinstance(where, OfMembers):
            same = matrix.cut.how == "members" and self.held(matrix.name) == self.held(where.matrix)
            return same and rank > 1
        if not isinstance(where, Shared) or matrix.cut.how != "heads_in" or where.axis != -1:
            return False
        blocks = dict(sorted((s.chip % self.grid.columns, s.blocks) for s in slices))
        padded = matrix.columns + matrix.padding
        wanted = tuple((a * BLOCK, min(b * BLOCK, padded)) for _, (a, b) in sorted(blocks.items()))
        return where.over == "columns" and matrix.padding == 0 and wanted == where.spans

    def held(self, name: str) -> list[tuple[int, tuple[int, int]]]:
        """Chips and their members of a bank."""
        return sorted((s.chip, s.members) for s in self.grid.slices[name])

    def whole_members(self, slices: Sequence[StackSlice]) -> bool:
        """Whether no chip shares a member with another."""
        return len({s.members for s in slices}) == len(slices)

    def project(self, step: Step, args: Sequence[str]) -> None:
        assert isinstance(step.op, ops.Project)
        matrix, out = self.network.declared().matrices[step.op.matrix], step.outs[0]
        unit, slices = unit_name(step), self.grid.slices[matrix.name]
        self.gather(unit, args[1:])
        match matrix.cut.how:
            case "copy":
                where: Where = None
            case "rows":
                where = self.runs(slices, "chips")
            case "members" if step.op.members == "each" and self.whole_members(slices):
                where = Shared("chips", -2, tuple(s.members for s in slices))
                where = where if len(slices) > 1 else None
            case "members":
                chosen = args[1] if step.op.members == "chosen" else None
                rows = len(self.lengths(out)) == 2  # [k, rows]; all else is gathered
                where = OfMembers(matrix.name, chosen) if chosen and rows else None
                if where is None or not (self.whole_members(slices) or self.weighed(out)):
                    self.cross(unit, Crossing("values", out, where, matrix.name))
            case "heads_out":
                where = self.runs(slices, "columns")
                if self.grid.rows > 1:
                    kept = out in self.kept
                    self.cross(unit, Crossing("column sums", out, where, matrix.name, kept))
            case "heads_in":
                where = None
                if self.grid.chips > 1:
                    self.cross(unit, Crossing("slice sums", out, None, matrix.name))
            case _:
                assert_never(matrix.cut.how)
        self.put(step.outs, where if self.grid.chips > 1 else None)

    def weighed(self, sums: str) -> bool:
        """Whether sums [k, rows] of members become one sum, whatever chip has which of them."""
        values = [taker.outs[0] for taker in self.takers.get(sums, [])]
        dots = [taker.op for name in values for taker in self.takers.get(name, [])]
        return bool(dots) and all(
            isinstance(dot, ops.Dot) and dot.axes.endswith(",kn->n") for dot in dots
        )

    def runs(self, slices: Sequence[StackSlice], over: Literal["columns", "chips"]) -> Where:
        """Outputs by column or by chip."""
        if over == "columns":
            found = dict(sorted((s.chip % self.grid.columns, s.neurons) for s in slices))
        else:
            found = dict(sorted((s.chip, s.neurons) for s in slices))
        spans = tuple(found.values())
        return Shared(over, -1, spans) if len(spans) > 1 else None
