"""Composites that a kernel does at once in `float` numerics, with the bits of their steps.

Each is made of a span's own network (`extract`), the span, and the constants; None where the kernel
does not do what this span asks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.model.network import Network, Span, check, ops
from hnlpu.run.emulate import _vector_unit as vector_unit
from hnlpu.run.emulate._float_steps import Constants, project_together, quantize
from hnlpu.run.emulate._plan import Make
from hnlpu.run.emulate._states import Run, States, still_kept

Array = npt.NDArray[Any]
Inputs = Mapping[str, Array]


def _pointwise(part: Network, compute: Any) -> Run:
    """A run without states, of the inputs in their order."""
    names = [given.name for given in part.inputs]

    def run(inputs: Inputs, states: States) -> tuple[tuple[Array, ...], States]:
        return compute(*(inputs[name] for name in names)), states

    return run


def _norm(part: Network, span: Span, constants: Constants) -> Run | None:
    if len(part.inputs) != 1 or len(part.parameters) != 1:
        return None  # its weights are worked out by other steps
    weight, eps = constants.parameter(part.parameters[0].name), float(span.option("eps"))

    def compute(x: Array) -> tuple[Array, ...]:
        rows = np.ascontiguousarray(x.reshape(-1, x.shape[-1]))
        return (vector_unit.rms_norm(rows, weight, eps).reshape(x.shape),)

    return _pointwise(part, compute)


def _dense(part: Network, span: Span, constants: Constants) -> Run | None:
    x, projections = dense_steps(part)
    if x is None:
        return None

    def run(inputs: Inputs, states: States) -> tuple[tuple[Array, ...], States]:
        meetings = [(op, [inputs[name] for name in numbers]) for op, numbers in projections]
        return project_together(meetings, quantize(inputs[x], constants), constants, 1), states

    return run


def dense_steps(part: Network) -> tuple[str | None, list[tuple[ops.Project, tuple[str, ...]]]]:
    """What a dense span multiplies, and by what: each matrix with the names of its members' numbers.

    None where its outputs are not one for each matrix, in their order, of what comes from outside.
    """
    given = {each.name for each in part.inputs}
    first, found = part.steps[0], []
    x = str(first.args[0])
    for meets, back in zip(part.steps[1::2], part.steps[2::2], strict=False):
        if isinstance(meets.op, ops.Project) and isinstance(back.op, ops.FromSums):
            found.append((meets.op, tuple(str(arg) for arg in meets.args[1:])))
    taken = {x, *(name for _, names in found for name in names)}
    whole = (
        first.op == ops.Quantize()
        and len(part.steps) == 1 + 2 * len(found)
        and part.outputs == tuple(step.outs[0] for step in part.steps[2::2])
        and taken <= given
    )
    return (x if whole else None), found


def _rope(part: Network, span: Span, constants: Constants) -> Run | None:
    if part.inputs[0].shape[-1] != 2 * int(span.option("pairs")):
        return None

    def compute(x: Array, cos: Array, sin: Array) -> tuple[Array, ...]:
        turned = np.array(x)
        vector_unit.rotate(turned, np.ascontiguousarray(cos), np.ascontiguousarray(sin))
        return (turned,)

    return _pointwise(part, compute)


def _clamped_swiglu(part: Network, span: Span, constants: Constants) -> Run | None:
    alpha, limit = (float(span.option(name)) for name in ("alpha", "limit"))

    def compute(x: Array) -> tuple[Array, ...]:
        rows = np.ascontiguousarray(x.reshape(-1, x.shape[-1]))
        return (vector_unit.swiglu(rows, alpha, limit).reshape(*x.shape[:-1], -1),)

    return _pointwise(part, compute)


def _route(part: Network, span: Span, constants: Constants) -> Run | None:
    if span.option("share_first"):
        return None
    types, k = check(part), int(span.option("k"))

    def compute(logits: Array) -> tuple[Array, ...]:
        chosen, shares = vector_unit.route(np.ascontiguousarray(logits), k)
        return tuple(chosen if types[name].kind == "index" else shares for name in part.outputs)

    return _pointwise(part, compute)


def _heads(part: Network) -> int:
    """Query heads of an attention."""
    heads = part.inputs[-1].shape[0]
    assert isinstance(heads, int)
    return heads


def _attend(part: Network, span: Span, constants: Constants) -> Run | None:
    keys, values = part.states
    q, size = part.inputs[-1].name, keys.shape[-1]
    if keys.shape != values.shape or span.option("softcap"):
        return None
    if float(span.option("scale")) != 1.0 / math.sqrt(size):
        return None
    sinks = np.full(_heads(part), -np.inf, np.float32)  # of no weight
    if span.option("sink"):
        sinks = constants.parameter(part.parameters[0].name)
    window = int(span.option("window"))
    written = {
        step.op.state: str(step.args[0]) for step in part.steps if isinstance(step.op, ops.Write)
    }

    def run(inputs: Inputs, states: States) -> tuple[tuple[Array, ...], States]:
        entries = {
            name: np.concatenate([states.entries[name], inputs[of]]) for name, of in written.items()
        }
        mixed = vector_unit.attend(
            np.ascontiguousarray(inputs[q]),
            np.ascontiguousarray(entries[keys.name].transpose(1, 2, 0)),
            np.ascontiguousarray(entries[values.name].transpose(1, 0, 2)),
            len(states.entries[keys.name]), window, sinks,
        )  # fmt: skip
        kept = {s.name: still_kept(entries[s.name], s.keeps) for s in (keys, values)}
        return (mixed,), States(states.position + len(mixed), kept)

    return run


FUSED: Mapping[str, Make] = {
    "attend": _attend,
    "clamped_swiglu": _clamped_swiglu,
    "dense": _dense,
    "norm": _norm,
    "rope": _rope,
    "route": _route,
}
