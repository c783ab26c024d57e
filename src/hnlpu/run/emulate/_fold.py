"""A network without the steps that depend on parameters alone: their results become parameters.

A chip does them when it is made, not at every token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.model.network import (
    Given,
    Network,
    Parameter,
    Span,
    all_steps,
    check,
    constant_steps,
)
from hnlpu.run.emulate._float_steps import Constants, run_step

Array = npt.NDArray[Any]


def folded(network: Network, constants: Constants) -> tuple[Network, Mapping[str, Array]]:
    """A checked network without its constant steps, and what these make in float numerics, by name."""
    done = constant_steps(network)
    if not done:
        return network, {}
    known = {p.name: p for p in network.parameters}
    values: dict[str, Array] = {}
    for step in done.values():
        args = [
            arg
            if not isinstance(arg, str)
            else constants.parameter(arg)
            if arg in known
            else values[arg]
            for arg in step.args
        ]
        results = run_step(step.op, args, constants)
        for name, result in zip(step.outs, results, strict=True):
            values[name] = np.asarray(result, np.float32)
    steps = tuple(step for n, step in enumerate(network.steps) if n not in done)
    used = {arg for step in all_steps(steps) for arg in step.args} | set(network.outputs)
    tables = {name for step in steps for name in [getattr(step.op, "table", None)] if name}
    made = {name: x for name, x in values.items() if name in used}
    kept = tuple(p for p in network.parameters if p.name in used | tables)
    blocks = {name: step.block for step in done.values() for name in step.outs}
    added = tuple(_parameter(name, x, blocks[name]) for name, x in made.items())
    found = replace(
        network, steps=steps, parameters=(*kept, *added), spans=_spans(network, set(done))
    )
    check(found)
    return found, made


def _parameter(name: str, x: Array, block: int | None) -> Parameter:
    return Parameter(name, x.shape, Given(tuple(map(float, x.ravel())), x.shape), block)


def _spans(network: Network, gone: set[int]) -> tuple[Span, ...]:
    """Spans of what is left; those without a step are gone too."""
    before = np.cumsum([0, *(n not in gone for n in range(len(network.steps)))]).tolist()
    moved = (replace(s, start=before[s.start], stop=before[s.stop]) for s in network.spans)
    return tuple(span for span in moved if span.start < span.stop)
