"""A network -> boxes and what they take and give: what is drawn, before anything has a place.

network ─► panel ┬ box  a composite, or plain steps of the vector unit
                 ├ box  with panels inside: blocks, drawn once per kind, or a larger composite
                 └ sum  where a branch joins the residual stream
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from typing import Literal

from hnlpu.insight.diagram._axes import labels
from hnlpu.insight.diagram._merge import merged
from hnlpu.insight.diagram._model import Box, Panel
from hnlpu.insight.diagram._names import op_title, title_of
from hnlpu.insight.diagram._repeats import BlockStack, Kind, stacks
from hnlpu.insight.diagram._rows import BoxRow, Lies, row, short_name
from hnlpu.model.network import (
    Network,
    Span,
    Step,
    ValueType,
    all_steps,
    check,
    ops,
    regions,
    taken_by,
)

_MOVES = (ops.Reshape, ops.Permute, ops.Split)
_WIRES = (ops.Quantize, ops.Project, ops.FromSums)
_STATE = (ops.Read, ops.Write)
Sort = Literal["wires", "state", "memory", "vector"]


def panel_of(network: Network, notes: Mapping[str, str]) -> Panel:
    """The whole network; `notes` are what a build knows of a matrix.

    Raises MalformedNetwork.
    """
    return _Reader(network, check(network), notes).whole()


@dataclass
class _Draft:
    """A box that is being collected: its steps, by number, and what it is."""

    steps: list[int] = field(default_factory=list)
    sort: Sort | Literal["add", "span", "stack"] = "vector"
    span: Span | None = None
    stack: BlockStack | None = None
    takes_from: set[int] = field(default_factory=set)  # other drafts, by number


class _Reader:
    """One network, read once."""

    def __init__(self, network: Network, types: Mapping[str, ValueType], notes: Mapping[str, str]):
        self.network, self.types, self.notes = network, types, notes
        self.parameters = {p.name for p in network.parameters}
        self.stacks = stacks(network, types, notes)
        self.users: dict[str, list[int]] = {}
        self.first_use: dict[str, int] = {}
        for n, step in enumerate(network.steps):
            for name in taken_by(step):
                self.users.setdefault(name, []).append(n)
                self.first_use.setdefault(name, n)
        self.serial = {
            n for region in regions(network) if region.serial
            for n in range(region.start, region.stop)
        }  # fmt: skip
        self.place = {span: n for n, span in enumerate(network.spans)}
        self.alike = self._alike()
        self.stream = self._stream()
        self.labels = labels(network, types, self.stream)

    def whole(self) -> Panel:
        """The panel of all steps."""
        last = len(self.network.steps)
        panel = self._panel(0, last, blocks=True)
        used = [x.name for x in self.network.inputs if x.name in panel.takes]
        inputs = tuple(Box(name, "", (), (), (name,), shape="input") for name in used)
        outputs = tuple(
            Box(self._output_title(name), "", (), (name,), (), shape="output")
            for name in self.network.outputs
        )
        return replace(panel, boxes=(*inputs, *panel.boxes, *outputs), takes=(), gives=())

    def _output_title(self, name: str) -> str:
        known = self.network.declared().matrices
        for step in self.network.steps:
            if name in step.outs and isinstance(step.op, ops.FromSums):
                return "logits" if known[step.op.matrix].role == "unembedding" else "output"
        return "output" if "." in name else name

    def _alike(self) -> dict[str, tuple[str, ...]]:
        """For what a kind's first block declares, the same of all its blocks."""
        found: dict[str, tuple[str, ...]] = {}
        things: dict[int, list[str]] = {}
        declared = self.network.declared()
        of = {
            name: thing.block
            for group in (declared.matrices, declared.parameters, declared.states)
            for name, thing in group.items()
        }
        for step in self.network.steps:
            for name in taken_by(step):
                if step.block is not None and of.get(name) == step.block:
                    things.setdefault(step.block, []).append(name)
        for stack in self.stacks:
            for kind in stack.kinds:
                lists = [list(dict.fromkeys(things.get(b, []))) for b in kind.blocks]
                for names in zip(*lists, strict=True):
                    found[names[0]] = names
        return found

    def _stream(self) -> set[str]:
        """Values of the residual stream: what blocks take, add to, and give."""
        found: set[str] = set()
        block_of = {o: step.block for step in self.network.steps for o in step.outs}
        inner = {n for span in self.network.spans for n in range(span.start, span.stop)}
        for n, step in enumerate(self.network.steps):
            if not isinstance(step.op, ops.Add) or step.block is None or n in inner:
                continue
            args = [a for a in step.args if isinstance(a, str) and a not in self.parameters]
            shape = self.types[step.outs[0]].shape
            if len(args) == 2 and shape and all(self.types[a].shape == shape for a in args):
                into = [a for a in args if a in found or block_of.get(a) != step.block]
                if len(into) == 1:
                    found |= {into[0], step.outs[0]}
        return found

    # panels

    def _panel(
        self, start: int, stop: int, within: Span | None = None, heading: tuple[str, ...] = (),
        *, blocks: bool = False,
    ) -> Panel:  # fmt: skip
        """Steps of one level: of the whole (with `blocks` as frames), of a block, of a composite."""
        drafts = self._drafts(start, stop, within, blocks)
        boxes = [self._box(draft) for draft in drafts if draft.steps]
        boxes = _in_order(boxes)
        made = {out for box in boxes for out in box.gives}
        takes = dict.fromkeys(a for box in boxes for a in box.takes if a not in made)
        inside = {n for draft in drafts for n in draft.steps}
        gives = tuple(v for box in boxes for v in box.gives if self._leaves(v, inside))
        shown = {v: self.labels[v] for v in (*takes, *made)}
        return Panel(
            heading, tuple(boxes), tuple(takes), gives, frozenset(self.stream & set(shown)), shown
        )

    def _leaves(self, value: str, inside: set[int]) -> bool:
        return value in self.network.outputs or any(
            n not in inside for n in self.users.get(value, ())
        )

    def _drafts(self, start: int, stop: int, within: Span | None, blocks: bool) -> list[_Draft]:
        collector = _Collector(self)
        stacked = {stack.start: stack for stack in self.stacks} if blocks else {}
        inner = (
            self.network.spans if within is None else self.network.spans[self.place[within] + 1 :]
        )
        spans = {
            span.start: span
            for span in reversed(inner)  # outer ones stand before inner ones
            if start <= span.start and span.stop <= stop
        }
        n = start
        while n < stop:
            stack = stacked.get(n)
            if stack is not None:
                collector.whole(_Draft(list(range(stack.start, stack.stop)), "stack", stack=stack))
                n = stack.stop
            elif n in spans:
                span = spans[n]
                collector.whole(_Draft(list(range(span.start, span.stop)), "span", span=span))
                n = span.stop
            else:
                collector.step(n)
                n += 1
        return collector.finish()

    # boxes

    def _box(self, draft: _Draft) -> Box:
        inside = set(draft.steps)
        steps = [self.network.steps[n] for n in sorted(inside)]
        own = {out for step in steps for out in step.outs}
        takes = tuple(
            dict.fromkeys(
                a for step in steps for a in step.args
                if isinstance(a, str) and a not in own and a not in self.parameters
            )
        )  # fmt: skip
        gives = tuple(o for step in steps for o in step.outs if self._leaves(o, inside))
        if draft.stack is not None:
            return self._stack_box(draft.stack, takes, gives)
        if draft.sort == "add":
            return Box("+", "", (), takes, gives, shape="add")
        span = draft.span
        if span is not None and self._opens(span):
            panel = self._panel(span.start, span.stop, span)
            extra = self._rows(n for n in sorted(inside) if not span.start <= n < span.stop)
            title, detail = title_of(span)
            return Box(title, detail, extra, takes, gives, (panel,), shape="frame")
        title, detail = title_of(span) if span is not None else op_title(steps, draft.sort)
        if self.serial & inside:
            detail = ", ".join(filter(None, (detail, "position by position")))
        return Box(title, detail, self._rows(draft.steps), takes, gives)

    def _opens(self, span: Span) -> bool:
        """Whether a composite is drawn with its parts: it has matrices in parts, and no state."""
        steps = list(all_steps(self.network.steps[span.start : span.stop]))
        if any(isinstance(step.op, _STATE) for step in steps):
            return False
        parts = [
            s for s in self.network.spans
            if s != span and span.start <= s.start and s.stop <= span.stop
            and (s.stop - s.start) < (span.stop - span.start)
        ]  # fmt: skip
        return any(
            isinstance(step.op, ops.Project)
            for s in parts for step in all_steps(self.network.steps[s.start : s.stop])
        )  # fmt: skip

    def _rows(self, numbers: Iterable[int]) -> tuple[BoxRow, ...]:
        """A row for each declaration that these steps use; those used before are not told again."""
        here = sorted(numbers)
        names = dict.fromkeys(name for n in here for name in taken_by(self.network.steps[n]))
        known = self.network.declared()
        rows = []
        groups: tuple[tuple[Lies, Mapping[str, object]], ...] = (
            ("metal", known.matrices), ("memory", known.parameters), ("state", known.states),
        )  # fmt: skip
        for lies, group in groups:
            for name in names:
                if name in group and self.first_use[name] in here:
                    alike = self.alike.get(name, (name,))
                    rows.append(row(self.network, alike, self.notes))
                elif name in group:
                    rows.append(BoxRow(lies, (f"{short_name((name,))}  as before",), ()))
        return tuple(rows)

    def _stack_box(self, stack: BlockStack, takes: tuple[str, ...], gives: tuple[str, ...]) -> Box:
        count = len(stack.blocks)
        title = f"{count} blocks" if count > 1 else "1 block"
        at: dict[int, list[int]] = {}
        for n in range(stack.start, stack.stop):
            block = self.network.steps[n].block
            assert block is not None
            at.setdefault(block, []).append(n)
        panels = [
            self._panel(at[k.blocks[0]][0], at[k.blocks[0]][-1] + 1, None, _heading(k))
            for k in stack.kinds
        ]
        detail = stack.pattern if len(stack.kinds) > 1 else ""
        if len(stack.kinds) > 1:
            one = merged(panels, [kind.letter for kind in stack.kinds])
            panels = [one] if one is not None else panels
        else:
            panels = [replace(panels[0], heading=())]
        through = self._through(stack, gives, at) if len(panels) == 1 else {}
        return Box(title, detail, (), takes, gives, tuple(panels), shape="frame", through=through)

    def _through(
        self, stack: BlockStack, gives: tuple[str, ...], at: Mapping[int, list[int]]
    ) -> dict[str, str]:
        """What the last blocks give, by what the panel's block calls it."""
        first = [o for n in at[stack.blocks[0]] for o in self.network.steps[n].outs]
        found: dict[str, str] = {}
        for block in reversed(stack.blocks):
            outs = [o for n in at[block] for o in self.network.steps[n].outs]
            for ours, theirs in zip(first, outs, strict=False):
                if theirs in gives:
                    found.setdefault(theirs, ours)
        return found


class _Collector:
    """Steps of one level into drafts: what belongs together becomes one box."""

    def __init__(self, reader: _Reader):
        self.reader = reader
        self.drafts: list[_Draft] = []
        self.maker: dict[str, int] = {}
        self.waiting: dict[str, int] = {}  # values made of constants alone, by their step

    def whole(self, draft: _Draft) -> None:
        """A draft whose steps are known."""
        self._enter(draft, draft.steps)

    def step(self, n: int) -> None:
        """A step that is in no composite here."""
        step = self.reader.network.steps[n]
        values = [a for a in step.args if isinstance(a, str) and a not in self.reader.parameters]
        makers = {self.maker[v] for v in values if v in self.maker}
        lone = not values or all(v in self.waiting for v in values)
        if lone and step.outs and not isinstance(step.op, (*_STATE, ops.Lookup)):
            self.waiting.update(dict.fromkeys(step.outs, n))
            return
        stream = self.reader.stream
        joins = isinstance(step.op, ops.Add) and stream.intersection(step.outs)
        if joins and stream.intersection(values):
            self._enter(_Draft(sort="add"), [n])
            return
        if isinstance(step.op, _MOVES) and len(makers) == 1 and len(values) == 1:
            (maker,) = makers
            if self.drafts[maker].sort != "add":
                self._join(maker, n)
                return
        sort = _sort(step)
        for maker in sorted(makers, reverse=True):
            if self._may_join(maker, makers, sort):
                self._join(maker, n)
                return
        self._enter(_Draft(sort=sort), [n])

    def finish(self) -> list[_Draft]:
        """All drafts; constants that nobody took have one of their own."""
        for n in dict.fromkeys(self.waiting.values()):
            self._enter(_Draft(), [n])
        return self.drafts

    def _may_join(self, maker: int, makers: set[int], sort: Sort) -> bool:
        draft = self.drafts[maker]
        if draft.sort != sort or sort in ("state", "memory"):
            return False
        return not self._reaches(makers - {maker}, maker)

    def _reaches(self, drafts: set[int], other: int) -> bool:
        """Whether one of `drafts` depends on another one."""
        seen: set[int] = set()
        left = set(drafts)
        while left:
            number = left.pop()
            if number == other:
                return True
            seen.add(number)
            left |= self.drafts[number].takes_from - seen
        return False

    def _enter(self, draft: _Draft, numbers: Sequence[int]) -> None:
        self.drafts.append(draft)
        draft.steps = []
        for n in numbers:
            self._join(len(self.drafts) - 1, n)

    def _join(self, number: int, n: int) -> None:
        draft, step = self.drafts[number], self.reader.network.steps[n]
        for arg in step.args:
            if isinstance(arg, str) and arg in self.waiting:
                constant = self.waiting[arg]
                self.waiting = {k: v for k, v in self.waiting.items() if v != constant}
                self._join(number, constant)
            if isinstance(arg, str) and self.maker.get(arg, number) != number:
                draft.takes_from.add(self.maker[arg])
        draft.steps.append(n)
        self.maker.update(dict.fromkeys(step.outs, number))


def _sort(step: Step) -> Sort:
    if isinstance(step.op, _WIRES):
        return "wires"
    if isinstance(step.op, _STATE):
        return "state"
    return "memory" if isinstance(step.op, ops.Lookup) else "vector"


def _in_order(boxes: Sequence[Box]) -> list[Box]:
    """Boxes so that each stands behind what makes what it takes."""
    made_by = {value: n for n, box in enumerate(boxes) for value in box.gives}
    before = {
        n: [made_by[value] for value in box.takes if made_by.get(value, n) != n]
        for n, box in enumerate(boxes)
    }
    return [boxes[n] for n in TopologicalSorter(before).static_order()]


def _heading(kind: Kind) -> tuple[str, ...]:
    blocks = [str(b) for b in kind.blocks]
    if len(blocks) > 4:
        blocks = [*blocks[:3], "...", blocks[-1]]
    return (f"{kind.letter}: block{'s' * (len(kind.blocks) > 1)} {', '.join(blocks)}",)
