"""How many fraction bits each real of a network has in chip numerics, from its steps alone.

    value 2^-16      memory 2^-20: states of recurrences      fine 2^-24: results of functions

docs/vector-unit.md ("Formats") has the rules.  A chip's program and the emulator read them here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from hnlpu.arithmetic.fixed_point import FRACTION, MEMORY_FRACTION, UNIT_FRACTION
from hnlpu.model.network import ops
from hnlpu.model.network._declare import Replace, State
from hnlpu.model.network._form import Network, Span

AT_ONCE: Mapping[str, int] = {
    "attend": FRACTION,
    "clamped_swiglu": FRACTION,
    "layer_norm": FRACTION,
    "norm": FRACTION,
    "rope": FRACTION,
    "route": UNIT_FRACTION,
    "softmax": UNIT_FRACTION,
    "turns": UNIT_FRACTION,
    "unit_norm": UNIT_FRACTION,
}
"""Composites whose steps are not done one by one, and the fraction bits of what they give."""
WHOLE = 0
"""Fraction bits of an index."""

_FINE = ("sigmoid", "tanh", "exp", "softplus", "sin", "cos")
_NEVER_CONSTANT = (
    ops.Read | ops.Write | ops.Repeat | ops.Quantize | ops.Project | ops.FromSums | ops.Lookup
    | ops.Compare | ops.TopK | ops.ArgMax
)  # fmt: skip
"""What has to do with states, matrices or choices."""
_SUMS = ops.Add | ops.Sub | ops.Mul | ops.Dot | ops.Outer


@dataclass(frozen=True)
class Formats:
    """Fraction bits by the names of values and of states; `bodies` by a repeat's first result."""

    values: Mapping[str, int]
    states: Mapping[str, int]
    bodies: Mapping[str, Formats]

    def of(self, name: str) -> int:
        """Those of a value or of a parameter."""
        return self.values.get(name, FRACTION)


def formats(network: Network) -> Formats:
    """Fraction bits of all reals of a checked network; WHOLE for an index."""
    states = {state.name: _of_state(network, state) for state in network.states}
    given = {x.name: WHOLE if x.kind == "index" else FRACTION for x in network.inputs}
    constants = constant_steps(network)
    return _formats(network.steps, network.outputs, given, states, done_at_once(network), constants)


def done_at_once(network: Network) -> dict[int, Span]:
    """The outermost span of AT_ONCE that each step lies in, by the step's number."""
    found: dict[int, Span] = {}
    for span in network.spans:  # outer ones stand before inner ones
        if span.composite in AT_ONCE:
            for n in range(span.start, span.stop):
                found.setdefault(n, span)
    return found


def constant_steps(network: Network) -> dict[int, ops.Step]:
    """Steps by number that depend on parameters and written numbers alone: done before any token."""
    known = {parameter.name for parameter in network.parameters}
    found: dict[int, ops.Step] = {}
    for n, step in enumerate(network.steps):
        named = [arg for arg in step.args if isinstance(arg, str)]
        if named and known.issuperset(named) and not isinstance(step.op, _NEVER_CONSTANT):
            found[n] = step
            known.update(step.outs)
    return found


def _of_state(network: Network, state: State) -> int:
    recurs = isinstance(state.keeps, Replace) and any(
        step.op == ops.Read(state.name, "before") for step in network.steps
    )
    return MEMORY_FRACTION if recurs else FRACTION


def _formats(
    steps: Sequence[ops.Step], outputs: Sequence[str], given: Mapping[str, int],
    states: Mapping[str, int], at_once: Mapping[int, Span], constants: Collection[int] = (),
) -> Formats:  # fmt: skip
    asked = _asked(steps, outputs, states, at_once)
    values, bodies = dict(given), dict[str, Formats]()
    for n, step in enumerate(steps):
        # a divisor has no say, whatever it divides
        deciding = step.args[:1] if isinstance(step.op, ops.Divide) else step.args
        has = [values.get(arg, FRACTION) for arg in deciding if isinstance(arg, str)]
        if isinstance(step.op, ops.Repeat):
            inputs = [_as_carried(values.get(str(arg), FRACTION)) for arg in step.args]
            body = dict(zip(step.op.inputs, inputs, strict=True))
            bodies[step.outs[0]] = _formats(step.op.body, step.op.outputs, body, {}, {})
            values.update(zip(step.outs, inputs, strict=False))
        elif n in constants:
            values.update((name, FRACTION) for name in step.outs)
        elif n in at_once:
            bits = AT_ONCE[at_once[n].composite]
            values.update((name, bits) for name in step.outs)
            if isinstance(step.op, ops.TopK):
                values[step.outs[1]] = WHOLE
        else:
            values.update(zip(step.outs, _results(step.op, has, states), strict=False))
            if isinstance(step.op, _SUMS):
                [out] = step.outs
                values[out] = max(values[out], asked.get(out, 0))
    return Formats(values, states, bodies)


def _as_carried(bits: int) -> int:
    return WHOLE if bits == WHOLE else FRACTION


def _results(op: ops.Op, has: list[int], states: Mapping[str, int]) -> list[int]:
    """Fraction bits of what a step gives, by those of what it takes, numbers left out."""
    match op:
        case ops.Project() | ops.Lookup() | ops.Quantize() | ops.FromSums() | ops.InverseRoot():
            return [FRACTION]
        case ops.Table(function):
            return [UNIT_FRACTION if function in _FINE else FRACTION]
        case (
            ops.Add() | ops.Sub() | ops.Mul() | ops.Minimum() | ops.Maximum()
            | ops.Dot() | ops.Outer() | ops.Divide()
        ):  # fmt: skip
            return [_coarsest(has)]
        case ops.Where():
            return [_coarsest(has[1:])]
        case ops.Concat():
            return [WHOLE if set(has) == {WHOLE} else _coarsest(has)]
        case ops.TopK():
            return [has[0], WHOLE]
        case ops.ArgMax() | ops.Compare():
            return [WHOLE]
        case ops.Split(sizes):
            return [has[0]] * len(sizes)
        case (
            ops.Shift() | ops.Sum() | ops.Max() | ops.Reshape() | ops.Permute() | ops.Gather()
            | ops.Window()
        ):  # fmt: skip
            return [has[0]]
        case ops.Read(state):
            return [states[state]]
        case ops.Write():
            return []
        case ops.Repeat():
            raise AssertionError("has a body of its own")
        case _:
            assert_never(op)


def _coarsest(has: list[int]) -> int:
    """An index in arithmetic is a value, and so is what numbers alone make."""
    return min((max(bits, FRACTION) for bits in has), default=FRACTION)


def _asked(
    steps: Sequence[ops.Step], outputs: Sequence[str], states: Mapping[str, int],
    at_once: Mapping[int, Span],
) -> dict[str, int]:  # fmt: skip
    """Fraction bits that sums and products are asked for: of what is written, and of exponents."""
    takers = Counter([*outputs, *(a for s in steps for a in s.args if isinstance(a, str))])
    asked: dict[str, int] = {}
    for n, step in reversed(list(enumerate(steps))):
        if n in at_once:
            continue
        asked.update(_asked_by(step, asked, takers, states))
    return asked


def _asked_by(
    step: ops.Step, asked: Mapping[str, int], takers: Counter[str], states: Mapping[str, int]
) -> Iterator[tuple[str, int]]:
    alone = [arg for arg in step.args if isinstance(arg, str) and takers[arg] == 1]
    match step.op:
        case ops.Write(state) if states[state] == MEMORY_FRACTION:
            yield str(step.args[0]), MEMORY_FRACTION
        case ops.Table("exp"):
            yield from ((arg, UNIT_FRACTION) for arg in alone)
        case (
            ops.Reshape() | ops.Permute() | ops.Add() | ops.Sub() | ops.Mul() | ops.Dot()
            | ops.Outer()
        ) if step.outs[0] in asked:  # fmt: skip
            yield from ((arg, asked[step.outs[0]]) for arg in alone)
