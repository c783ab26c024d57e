"""Which spans of a network are counted as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hnlpu.model.network import Network, Replace, Span, State, Step, ops

COUNTED = ("attend", "norm", "rope", "clamped_swiglu", "route")
LEAST_AXES = 3
"""Axes of a memory that has heads: heads, keys, values."""


def units(network: Network) -> dict[int, Span]:
    """Spans that are counted as a whole, the outermost ones, by the step that they start with."""
    found: dict[int, Span] = {}
    steps, states, end = network.steps, network.declared().states, 0
    for span in network.spans:
        counted = span.composite in COUNTED or is_scan(span, steps, states)
        if span.start >= end and counted:
            found[span.start] = span
            end = span.stop
    return found


def last_uses(network: Network) -> dict[str, int]:
    """The last step that takes each value; the one behind the last for what the network gives."""
    found = {
        arg: number
        for number, step in enumerate(network.steps)
        for arg in step.args
        if isinstance(arg, str)
    }
    return found | dict.fromkeys(network.outputs, len(network.steps))


def ends(steps: Sequence[Step], span: Span, last: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """What a span takes and gives, as `hnlpu.model.network.span_ends`; `last` is of `last_uses`."""
    inside = steps[span.start : span.stop]
    own = [name for step in inside for name in step.outs]
    taken = dict.fromkeys(arg for step in inside for arg in step.args if isinstance(arg, str))
    known = set(own)
    args = [name for name in taken if name not in known]
    return args, [name for name in own if last.get(name, -1) >= span.stop]


def is_scan(span: Span, steps: Sequence[Step], states: Mapping[str, State]) -> bool:
    """Whether a span keeps memories with heads, reads them before it writes, and passes no wires."""
    inside = [step.op for step in steps[span.start : span.stop]]
    read = [states[op.state] for op in inside if isinstance(op, ops.Read)]
    first = any(isinstance(op, ops.Read) and op.when == "before" for op in inside)
    if not first or any(isinstance(op, ops.Project | ops.Repeat) for op in inside):
        return False
    memories = all(isinstance(state.keeps, Replace) for state in read)
    return memories and max(len(state.shape) for state in read) >= LEAST_AXES


def origin(name: str, steps: Sequence[Step]) -> str:
    """The value that `name` is another shape of, as far back as `steps` go."""
    made = {out: step for step in steps for out in step.outs}
    while name in made and isinstance(made[name].op, ops.Reshape):
        name = str(made[name].args[0])
    return name
