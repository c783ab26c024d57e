"""One span of a network as a network of its own: what a fused form of it is held to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hnlpu.model.network._check import check
from hnlpu.model.network._declare import Input
from hnlpu.model.network._form import Network, Span, span_ends
from hnlpu.model.network._infer import taken_by
from hnlpu.model.network._types import ValueType


def extract(network: Network, span: Span, types: Mapping[str, ValueType] | None = None) -> Network:
    """A checked network of a span's steps, with what it takes as inputs of data.

    Tokens and positions that it takes stay what they are.  `types` are those that `check` has given,
    if it has.  Raises MalformedNetwork where it takes
    or gives what cannot come from outside (digits, sums, wides).
    """
    types = check(network) if types is None else types
    taken, given = span_ends(network, span)
    parameters = {p.name for p in network.parameters}
    known = {x.name: x for x in network.inputs}
    inputs = tuple(
        known.get(name, Input(name, "data", types[name].shape, types[name].kind))
        for name in taken
        if name not in parameters
    )
    steps = network.steps[span.start : span.stop]
    used = {name for step in steps for name in taken_by(step)}
    inner = (s for s in network.spans if span.start <= s.start and s.stop <= span.stop)
    part = Network(
        network.family,
        inputs,
        given,
        tuple(m for m in network.matrices if m.name in used),
        tuple(p for p in network.parameters if p.name in used),
        tuple(s for s in network.states if s.name in used),
        steps,
        tuple(replace(s, start=s.start - span.start, stop=s.stop - span.start) for s in inner),
        network.context,
    )
    check(part)
    return part
