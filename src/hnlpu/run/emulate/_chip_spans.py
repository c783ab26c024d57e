"""Composites that chip numerics do at once: the formulas of docs/vector-unit.md stand for their steps.

Each `Make` takes a span's own network and the span; what it makes takes and gives whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic import fixed_point
from hnlpu.arithmetic.fixed_point import (
    FRACTION,
    LARGEST_ROPE_FACTOR,
    NO_CAP,
    NO_SINK,
    UNIT_FRACTION,
    to_fixed,
)
from hnlpu.errors import InvalidInput, UnsupportedArchitecture
from hnlpu.model.network import AT_ONCE, Network, Span, check, ops
from hnlpu.run.emulate._chip_numerics import AttentionInputs, ChipNumerics
from hnlpu.run.emulate._float_steps import Constants, project_together, quantize
from hnlpu.run.emulate._fused import dense_steps
from hnlpu.run.emulate._plan import Make
from hnlpu.run.emulate._states import Run, States, still_kept

Array = npt.NDArray[Any]
Inputs = Mapping[str, Array]

ChipMake = Callable[[Network, Span, ChipNumerics], Run | None]
_ONE = 1 << FRACTION


def chip_spans(numerics: ChipNumerics) -> Mapping[str, Make]:
    """What makes each composite of AT_ONCE, over these numerics."""
    makes: dict[str, ChipMake] = {
        "attend": _attend, "clamped_swiglu": _clamped_swiglu, "layer_norm": _layer_norm,
        "norm": _norm, "rope": _rope, "route": _route, "softmax": _softmax, "turns": _turns,
        "unit_norm": _unit_norm,
    }  # fmt: skip
    assert set(makes) == set(AT_ONCE)

    makes["dense"] = _dense  # of no formula but its steps

    def over(make: ChipMake) -> Make:
        def made(part: Network, span: Span, constants: Constants) -> Run | None:
            run = make(part, span, numerics)
            if run is None:
                return None

            def taking(inputs: Inputs, states: States) -> tuple[tuple[Array, ...], States]:
                return run({n: numerics.taken(span.name, n, x) for n, x in inputs.items()}, states)

            return taking

        return made

    return {name: over(make) for name, make in makes.items()}


class _Part:
    """A span's own network, and what its steps take."""

    def __init__(self, part: Network, span: Span, numerics: ChipNumerics):
        self.network, self.span, self.numerics = part, span, numerics
        self.constants = {p.name for p in part.parameters}

    def steps(self, kind: type[Any]) -> list[ops.Step]:
        """Its steps of a kind of operation."""
        return [step for step in self.network.steps if isinstance(step.op, kind)]

    def constant(self, name: ops.Arg) -> Array:
        """A parameter in float32; refuses what is none."""
        if name not in self.constants:
            raise UnsupportedArchitecture(
                f"chip numerics: {self.span.name} takes {name}, which is worked out at every "
                "position; it must be a parameter; use `numerics` float"
            )
        return self.numerics.real(str(name))

    def values(self, inputs: Inputs, name: ops.Arg, wanted: int = FRACTION) -> Array:
        """An input [n, ...], or a parameter [1, ...], with `wanted` fraction bits."""
        name = str(name)
        if name in self.constants:
            return to_fixed(self.numerics.real(name), wanted)[None]
        return np.asarray(self.numerics.values(name, inputs[name], wanted=wanted))

    def run(self, compute: Callable[[Inputs], Mapping[str, Array]]) -> Run:
        """A run without states of what gives outputs by name."""

        def run(inputs: Inputs, states: States) -> tuple[tuple[Array, ...], States]:
            made = compute(inputs)
            return tuple(made[name] for name in self.network.outputs), states

        return run


def _rows(x: Array) -> Array:
    return np.ascontiguousarray(x.reshape(-1, x.shape[-1]))


def _normed(x: Array, weights: Array, epsilon: int) -> Array:
    """Norm of values x [n, ..., d] with weights [d] or [..., d], as values."""
    if weights.ndim == 1:
        return fixed_point.norm(_rows(x), weights, epsilon).reshape(x.shape)
    own = np.broadcast_to(weights, x.shape[1:]).reshape(-1, x.shape[-1])
    rows = x.reshape(len(x), -1, x.shape[-1])
    made = [
        fixed_point.norm(np.ascontiguousarray(rows[:, n]), np.ascontiguousarray(weight), epsilon)
        for n, weight in enumerate(own)
    ]
    return np.stack(made, 1).reshape(x.shape)


def _norm(part: Network, span: Span, numerics: ChipNumerics) -> Run:
    of = _Part(part, span, numerics)
    x, last = of.steps(ops.Dot)[0].args[0], part.steps[-1]
    weights = fixed_point.norm_weights(of.constant(last.args[1]))
    epsilon = fixed_point.norm_epsilon(float(span.option("eps")), weights.shape[-1])
    return of.run(lambda given: {last.outs[0]: _normed(of.values(given, x), weights, epsilon)})


def _layer_norm(part: Network, span: Span, numerics: ChipNumerics) -> Run:
    of = _Part(part, span, numerics)
    x, (scaled, last) = of.steps(ops.Sum)[0].args[0], part.steps[-2:]
    weights = fixed_point.norm_weights(of.constant(scaled.args[1]))
    bias = to_fixed(of.constant(last.args[1]))
    epsilon = fixed_point.norm_epsilon(float(span.option("eps")), weights.shape[-1])

    def compute(given: Inputs) -> Mapping[str, Array]:
        values = of.values(given, x)
        centred = fixed_point.clipped(values - fixed_point.means(values))
        return {last.outs[0]: fixed_point.clipped(_normed(centred, weights, epsilon) + bias)}

    return of.run(compute)


def _unit_norm(part: Network, span: Span, numerics: ChipNumerics) -> Run:
    of = _Part(part, span, numerics)
    x, last = of.steps(ops.Dot)[0].args[0], part.steps[-1]
    epsilon = fixed_point.norm_epsilon(float(span.option("eps")), 1)

    def compute(given: Inputs) -> Mapping[str, Array]:
        values = of.values(given, x)
        return {last.outs[0]: fixed_point.unit_norm(_rows(values), epsilon).reshape(values.shape)}

    return of.run(compute)


def _turns(part: Network, span: Span, numerics: ChipNumerics) -> Run:
    of = _Part(part, span, numerics)
    factor = float(span.option("scale"))
    if not factor <= LARGEST_ROPE_FACTOR:
        raise InvalidInput(
            f"chip numerics: the model's factor on RoPE, {factor:g}, exceeds "
            f"{LARGEST_ROPE_FACTOR:g}; use `numerics` float"
        )
    (angles,) = of.steps(ops.Mul)
    per_position = fixed_point.turns(of.constant(angles.args[0]))
    table, position = fixed_point.sine_table(factor), part.inputs[0]
    if angles.args[1] != position.name or position.kind != "index":
        raise UnsupportedArchitecture(
            f"chip numerics: {span.name} turns by {angles.args[1]}, which is no whole number; "
            "use `numerics` float"
        )
    cos, sin = (
        next(step.outs[0] for step in of.steps(ops.Table) if step.op == ops.Table(name, factor))
        for name in ("cos", "sin")
    )

    def compute(given: Inputs) -> Mapping[str, Array]:
        both = fixed_point.rotations(given[position.name], per_position, table)
        return {cos: both[0], sin: both[1]}

    return of.run(compute)


def _dense(part: Network, span: Span, numerics: ChipNumerics) -> Run | None:
    x, projections = dense_steps(part)
    if x is None or not numerics.together:
        return None
    constants = numerics.constants

    def run(inputs: Inputs, states: States) -> tuple[tuple[Array, ...], States]:
        values = np.asarray(numerics.values(x, inputs[x]))
        digits = quantize(values, constants)
        meetings = [(op, [inputs[name] for name in numbers]) for op, numbers in projections]
        return project_together(meetings, digits, constants, 1), states

    return run


def _rope(part: Network, span: Span, numerics: ChipNumerics) -> Run:
    of = _Part(part, span, numerics)
    (split,), (by_cos, by_sin) = of.steps(ops.Split), of.steps(ops.Mul)[:2]
    turning, last = 2 * int(span.option("pairs")), part.steps[-1].outs[0]

    def compute(given: Inputs) -> Mapping[str, Array]:
        x = np.array(of.values(given, split.args[0]))
        pairs = [of.values(given, step.args[1], UNIT_FRACTION) for step in (by_cos, by_sin)]
        turned = np.ascontiguousarray(x[..., :turning]).reshape(len(x), -1, turning)
        fixed_point.rotate(turned, np.stack(pairs))
        x[..., :turning] = turned.reshape(*x.shape[:-1], turning)
        return {last: x}

    return of.run(compute)


def _softmax(part: Network, span: Span, numerics: ChipNumerics) -> Run:
    of = _Part(part, span, numerics)
    first, sunk = part.steps[0], bool(span.option("sink"))
    x, last = first.args[1 if sunk else 0], part.steps[-1].outs[-1]

    def compute(given: Inputs) -> Mapping[str, Array]:
        values = of.values(given, x)
        rows, sinks = _rows(values), np.empty((values[..., 0].size, 0), np.int64)
        if sunk:
            side = of.values(given, first.args[0])
            sinks = np.broadcast_to(side, (*values.shape[:-1], side.shape[-1]))
            sinks = sinks.reshape(len(rows), -1)
        shares = fixed_point.softmax(rows, np.ascontiguousarray(sinks))
        return {last: shares.reshape(values.shape)}

    return of.run(compute)


def _route(part: Network, span: Span, numerics: ChipNumerics) -> Run:
    of, k = _Part(part, span, numerics), int(span.option("k"))
    of_all = bool(span.option("share_first")) and not bool(span.option("normalise"))
    types, logits = check(part), part.steps[0].args[0]

    def compute(given: Inputs) -> Mapping[str, Array]:
        values = of.values(given, logits)
        chosen, shares = fixed_point.route(_rows(values), k, of_all)
        shape = (*values.shape[:-1], k)
        return {
            name: (chosen if types[name].kind == "index" else shares).reshape(shape)
            for name in part.outputs
        }

    return of.run(compute)


def _clamped_swiglu(part: Network, span: Span, numerics: ChipNumerics) -> Run:
    of, x, last = _Part(part, span, numerics), part.steps[0].args[0], part.steps[-1].outs[0]
    alpha, limit = (int(to_fixed(float(span.option(name)))) for name in ("alpha", "limit"))

    def compute(given: Inputs) -> Mapping[str, Array]:
        pairs = of.values(given, x)
        opened = fixed_point.swiglu(_rows(pairs), alpha, limit)
        return {last: opened.reshape(*pairs.shape[:-1], -1)}

    return of.run(compute)


def _before_reshape(part: Network, name: ops.Arg) -> ops.Arg:
    """What a value of the span was before it was reshaped there."""
    made = {step.outs[0]: step for step in part.steps if isinstance(step.op, ops.Reshape)}
    return made[name].args[0] if name in made else name


def _attend(part: Network, span: Span, numerics: ChipNumerics) -> Run:
    of = _Part(part, span, numerics)
    keys, values = part.states
    written = {step.op.state: step.args[0] for step in part.steps if isinstance(step.op, ops.Write)}
    q, window = _before_reshape(part, of.steps(ops.Dot)[0].args[0]), int(span.option("window"))
    factor = fixed_point.score_factor(float(span.option("scale")))
    cap = float(span.option("softcap"))
    bent = fixed_point.soft_cap(cap) if cap else NO_CAP
    sinks = None
    if span.option("sink"):
        (sink,) = (step.args[0] for step in of.steps(ops.Concat))
        sinks = to_fixed(of.constant(_before_reshape(part, sink)).ravel())
    last = part.steps[-1].outs[0]
    assert part.outputs == (last,)

    def run(inputs: Inputs, states: States) -> tuple[tuple[Array, ...], States]:
        entries = {
            name: np.concatenate(
                [states.entries[name], fixed_point.to_keys(of.values(inputs, x), _ONE)]
            )
            for name, x in written.items()
        }
        queries = fixed_point.to_keys(of.values(inputs, q), factor)
        before = len(states.entries[keys.name])
        given = AttentionInputs(
            queries,
            np.ascontiguousarray(entries[keys.name].transpose(1, 0, 2)),
            np.ascontiguousarray(entries[values.name].transpose(1, 0, 2)),
            before, window,
            np.full(queries.shape[1], NO_SINK) if sinks is None else sinks, bent,
        )  # fmt: skip
        mixed = numerics.attend(span.name, given, states.position - before)
        kept = {s.name: still_kept(entries[s.name], s.keeps) for s in (keys, values)}
        return (mixed,), States(states.position + len(mixed), kept)

    return run
