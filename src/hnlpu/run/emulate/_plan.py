"""In what order an interpreter does a network's steps: for all positions together, or one by one.

steps ─► [ step | span at once | (step, span, ...) position by position ] ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from hnlpu.model.network import (
    Network,
    Region,
    Span,
    ValueType,
    all_steps,
    extract,
    ops,
    regions,
)
from hnlpu.run.emulate._float_steps import Constants
from hnlpu.run.emulate._states import Run

Make = Callable[[Network, Span, Constants], Run | None]


@dataclass(frozen=True)
class AtOnce:
    """A span's steps, done by the `run` of their `part`; `last` is the step that others hear of."""

    last: ops.Step
    part: Network
    run: Run


Single = ops.Step | AtOnce
Item = Single | tuple[Single, ...]
"""A step or a span for all positions of a piece together; some of them, position by position."""


def plan(
    network: Network, types: Mapping[str, ValueType], constants: Constants,
    fused: Mapping[str, Make],
) -> Iterator[Item]:  # fmt: skip
    serial = {n: r for r in regions(network) if r.serial for n in range(r.start, r.stop)}
    spans = {s.start: s for s in reversed(network.spans) if s.composite in fused}  # outer ones win

    def single(n: int) -> tuple[Single, int]:
        """What begins at step n, and where the next begins."""
        span = spans.get(n)
        if span is not None and _stands_alone(network, span, serial):
            part = extract(network, span, types)
            run = fused[span.composite](part, span, constants)
            if run is not None:
                return AtOnce(network.steps[span.stop - 1], part, run), span.stop
        return network.steps[n], n + 1

    n = 0
    while n < len(network.steps):
        item, following = single(n)
        region = serial.get(n)
        if region is None or following >= region.stop:
            yield item
            n = following
            continue
        in_turn: list[Single] = []
        while n < region.stop:
            item, n = single(n)
            in_turn.append(item)
        yield tuple(in_turn)


def _stands_alone(network: Network, span: Span, serial: Mapping[int, Region]) -> bool:
    """Whether it holds its serial regions or is one position of one, and all that meets its states."""
    whole = range(span.start, span.stop)
    around = {serial.get(n) for n in whole}
    cut = any(r and (r.start < span.start or r.stop > span.stop) for r in around)
    touching: dict[str, set[bool]] = {}
    for n, step in enumerate(network.steps):
        if isinstance(step.op, ops.Read | ops.Write):
            touching.setdefault(step.op.state, set()).add(n in whole)
    if cut and (len(around) > 1 or {True} in touching.values()):
        return False
    return all(len(inside) == 1 for inside in touching.values())


def outs_of(single: Single) -> tuple[str, ...]:
    return single.part.outputs if isinstance(single, AtOnce) else single.outs


def args_of(single: Single) -> Iterator[str]:
    """Names of values that it takes, those of the steps within it too."""
    if isinstance(single, AtOnce):
        yield from (given.name for given in single.part.inputs)
    else:
        yield from (a for s in all_steps([single]) for a in s.args if isinstance(a, str))
