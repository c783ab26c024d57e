"""Who uses which value of a network, and until when."""

from __future__ import annotations

import itertools
from collections import defaultdict

from hnlpu.model.network import (
    Network,
    Parameter,
    Replace,
    Span,
    check,
    constant_steps,
    ops,
    span_ends,
)
from hnlpu.silicon.rtl.chip._constants import Made

_ALIKE = (
    ops.Add | ops.Sub | ops.Mul | ops.Minimum | ops.Maximum | ops.Where | ops.Table | ops.Shift
    | ops.Outer
)  # fmt: skip
"""Operations whose result lies as what they take."""


def main_input(network: Network, span: Span) -> str:
    """The value that a span works on: the first that it takes and that is no parameter."""
    parameters = {p.name for p in network.parameters}
    parameters |= {out for step in constant_steps(network).values() for out in step.outs}
    taken, _ = span_ends(network, span)
    return next(name for name in taken if name not in parameters)


class Uses:
    """Steps that take each value, spans by their first step, and banks that values are meant for."""

    def __init__(self, network: Network):
        self.network = network
        self.types = check(network)
        self.consumers: dict[str, list[int]] = defaultdict(list)
        self.last: dict[str, int] = {}
        self.spans: dict[int, list[Span]] = defaultdict(list)
        self.parameters: dict[str, Parameter | Made] = {p.name: p for p in network.parameters}
        self.constants = constant_steps(network)
        for step in self.constants.values():
            self.parameters |= {out: Made(out, self.shape(out)) for out in step.outs}
        self.matrices = {m.name: m for m in network.matrices}
        self.states = {s.name: s for s in network.states}
        for n, step in enumerate(network.steps):
            for arg in step.args:
                if isinstance(arg, str):
                    self.consumers[arg].append(n)
                    self.last[arg] = n
        self.last.update(dict.fromkeys(network.outputs, len(network.steps)))
        for span in network.spans:  # outer ones stand before inner ones
            self.spans[span.start].append(span)
        self.written = {
            str(step.args[0]): step.op.state
            for step in network.steps
            if isinstance(step.op, ops.Write)
        }
        self.banks = self._banks()
        self.resides: dict[str, str] = {}
        for state in network.states:
            if isinstance(state.keeps, Replace) and len(state.shape) > 1:
                self.resides |= dict.fromkeys(self._alike(state.name), state.name)

    def shape(self, name: str) -> tuple[int, ...]:
        """The lengths of a value's axes, but for axes of positions."""
        return tuple(dim for dim in self.types[name].shape if isinstance(dim, int))

    def summed_axes(self, state: str) -> tuple[int, ...]:
        """Axes of a state over which products of it are summed: they are best not within a beat."""
        names = {name for name, of in self.resides.items() if of == state}
        for step in self.network.steps:
            if isinstance(step.op, ops.Dot):
                sides, _, kept = step.op.axes.partition("->")
                for letters, arg in zip(sides.split(","), step.args, strict=True):
                    if arg in names:
                        return tuple(n for n, letter in enumerate(letters) if letter not in kept)
        return ()

    def _alike(self, state: str) -> set[str]:
        """Values of a state's shape that it becomes, or that become it."""
        shape, found = self.states[state].shape, set[str]()
        for step in self.network.steps:
            if isinstance(step.op, ops.Read) and step.op.state == state:
                found.add(step.outs[0])
            if isinstance(step.op, ops.Write) and step.op.state == state:
                found.add(str(step.args[0]))
        known = -1
        while known < len(found):
            known = len(found)
            for step in self.network.steps:
                if isinstance(step.op, _ALIKE):
                    names = itertools.chain(step.args, step.outs)
                    same = {x for x in names if isinstance(x, str) and self.shape(x) == shape}
                    if found & same:
                        found |= same
        return found

    def reads_before(self, state: str) -> list[int]:
        """Steps that read what a state held before this position."""
        read = ops.Read(state, "before")
        return [n for n, step in enumerate(self.network.steps) if step.op == read]

    def span_of(self, name: str, composite: str) -> Span | None:
        """The span of a composite that takes a value as its first step's first argument."""
        for n in self.consumers[name]:
            for span in self.spans[n]:
                if span.composite == composite and self.network.steps[n].args[:1] == (name,):
                    return span
        return None

    def attention(self, span: Span) -> tuple[str, str, str, str | None]:
        """Query, key, value and sinks that an attention takes."""
        steps = self.network.steps[span.start : span.stop]
        key, value = (str(s.args[0]) for s in steps if isinstance(s.op, ops.Write))
        scored = next(step for step in steps if isinstance(step.op, ops.Dot))
        # grouped by key heads before it is scored
        query = next((s.args[0] for s in steps if s.outs == scored.args[:1]), scored.args[0])
        taken, _ = span_ends(self.network, span)
        sinks = [name for name in taken if name in self.parameters]
        return str(query), key, value, sinks[0] if sinks else None

    def tail(self) -> int:
        """The first of the steps behind all blocks and writes: they are for the next token alone."""
        kept = [
            n
            for n, step in enumerate(self.network.steps)
            if step.block is not None or isinstance(step.op, ops.Write)
        ]
        return max(kept, default=-1) + 1

    def _banks(self) -> dict[str, str]:
        """Banks of what units take, traced back through what works in place."""
        found: dict[str, str] = {}
        for span in self.network.spans:
            if span.composite == "attend":
                query, key, value, _ = self.attention(span)
                found |= {query: "query", key: "key", value: "value"}
            if span.composite == "route":
                found[main_input(self.network, span)] = "logits"
        in_place = {
            span.stop - 1: span for span in self.network.spans if span.composite in ("rope", "norm")
        }
        for n, step in reversed(list(enumerate(self.network.steps))):
            if len(step.outs) != 1 or step.outs[0] not in found:
                continue
            if isinstance(step.op, ops.Reshape):
                found.setdefault(str(step.args[0]), found[step.outs[0]])
            elif n in in_place:
                found.setdefault(main_input(self.network, in_place[n]), found[step.outs[0]])
        return found
