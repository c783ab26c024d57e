"""Whether spans are what they are called.

A consumer may do a span at once by its composite's name and options alone.  So the steps of a span
must be those that the composite writes; here it writes them again, and both are compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from hnlpu.errors import MalformedNetwork
from hnlpu.model.network._check import check
from hnlpu.model.network._compose import Builder, Value
from hnlpu.model.network._declare import Input, State
from hnlpu.model.network._form import Network, Option, Span
from hnlpu.model.network._rules import at, refuse_if
from hnlpu.model.network._types import ValueType
from hnlpu.model.network.composites._attend import attend
from hnlpu.model.network.composites._causal_conv import causal_conv
from hnlpu.model.network.composites._glu import clamped_swiglu, silu
from hnlpu.model.network.composites._low_rank import low_rank
from hnlpu.model.network.composites._moe import route
from hnlpu.model.network.composites._norm import layer_norm, norm, unit_norm
from hnlpu.model.network.composites._rope import rope, turns
from hnlpu.model.network.composites._softmax import softmax
from hnlpu.model.network.composites._ssm_scan import ssm_scan
from hnlpu.model.network.ops import Read, Step, Write

Pattern = tuple[tuple[Any, ...], frozenset[int]]
"""Steps without names, and the numbers of the values that others take."""
Call = Callable[[Sequence[Value], Mapping[str, Any]], Value | tuple[Value, ...]]

WRITTEN: Mapping[str, Call] = {
    "attend": lambda v, o: attend(
        v[2], v[0], v[1], scale=o["scale"], window=o["window"] or None,
        sink=v[3] if o["sink"] else None, softcap=o["softcap"] or None,
    ),
    "causal_conv": lambda v, _: causal_conv(v[0], v[1], v[2] if len(v) > 2 else None),
    "clamped_swiglu": lambda v, o: clamped_swiglu(v[0], o["alpha"], o["limit"]),
    "layer_norm": lambda v, o: layer_norm(v[0], v[1], v[2], o["eps"]),
    "low_rank": lambda v, o: (
        low_rank(v[3], v[4], v[0], v[2], o["scaling"], chosen=v[1])
        if o["chosen"]
        else low_rank(v[0], v[3], v[1], v[2], o["scaling"])
    ),
    "norm": lambda v, o: norm(v[0], v[1], o["eps"]),
    "rope": lambda v, _: rope(v[0], (v[1], v[2])),
    "route": lambda v, o: route(
        v[0], o["k"], share_first=o["share_first"], normalise=o["normalise"]
    ),
    "silu": lambda v, _: silu(v[0]),
    "softmax": lambda v, o: softmax(v[1], v[0]) if o["sink"] else softmax(v[0]),
    "ssm_scan": lambda v, _: ssm_scan(v[2], v[0], v[1], v[3], v[4], v[5]),
    "turns": lambda v, o: turns(v[1], v[0], o["scale"]),
    "unit_norm": lambda v, o: unit_norm(v[0], o["eps"]),
}  # fmt: skip
"""By composite: its call, of what its steps take in the order in which they take it."""


def check_composites(network: Network, types: Mapping[str, ValueType] | None = None) -> None:
    """Raises MalformedNetwork ("composite") for a span whose steps are not its composite's.

    It knows those that consumers do at once; other spans are names for people.  `types` are what
    `check` gave, if it was asked.
    """
    types = check(network) if types is None else types
    users: dict[str, list[int]] = defaultdict(list)
    for number, step in enumerate(network.steps):
        for arg in step.args:
            if isinstance(arg, str):
                users[arg].append(number)
    states = network.declared().states
    for span in network.spans:
        if span.composite in WRITTEN:
            with at(f"span {span.name} ({span.composite})"):
                _check_span(network, span, types, states, users)


def _check_span(
    network: Network, span: Span, types: Mapping[str, ValueType], states: Mapping[str, State],
    users: Mapping[str, Sequence[int]],
) -> None:  # fmt: skip
    steps = network.steps[span.start : span.stop]
    own = [name for step in steps for name in step.outs]
    taken = dict.fromkeys(
        arg for step in steps for arg in step.args if isinstance(arg, str) and arg not in set(own)
    )
    seen = {
        name
        for name in own
        if name in network.outputs
        or any(not span.start <= user < span.stop for user in users.get(name, ()))
    }
    written = _written(span.composite, span.options, tuple(types[name] for name in taken))
    pattern, numbers = _pattern(steps, tuple(taken), states, seen)
    same = written is not None and written[0] == pattern and numbers <= written[1]
    refuse_if(
        not same, "composite",
        "its steps are not those that the composite of this name writes with these options; "
        "give the span another name",
    )  # fmt: skip


@lru_cache(maxsize=1024)
def _written(
    composite: str, options: tuple[Option, ...], types: tuple[ValueType, ...]
) -> Pattern | None:
    """The pattern that a composite writes for values of these types; None where it cannot."""
    b = Builder("written")
    values = [
        b.input(Input(f"given_{number}", "data", type_.shape, type_.kind))
        for number, type_ in enumerate(types)
    ]
    try:
        found = WRITTEN[composite](values, dict(options))
    except (MalformedNetwork, AssertionError, ArithmeticError, LookupError, TypeError, ValueError):
        return None
    given = found if isinstance(found, tuple) else (found,)
    steps, spans, states = b.draft()
    if spans[0].options != tuple(sorted(options)):
        return None  # options say what the values' types say otherwise
    names = tuple(value.name for value in values)
    return _pattern(steps, names, states, {value.name for value in given})


def _pattern(
    steps: Sequence[Step], taken: tuple[str, ...], states: Mapping[str, State], seen: set[str]
) -> Pattern:
    """Steps without the names of their values and states, and which values others take."""
    numbers = {name: number for number, name in enumerate(taken)}
    kept: dict[str, int] = {}
    found: list[Any] = []
    for step in steps:
        op: Any = step.op
        if isinstance(op, Read | Write):
            state = states[op.state]
            number = kept.setdefault(op.state, len(kept))
            op = (replace(op, state=str(number)), state.shape, state.keeps, state.initial)
        args = tuple(numbers[arg] if isinstance(arg, str) else ("number", arg) for arg in step.args)
        for name in step.outs:
            numbers[name] = len(numbers)
        found.append((op, args, len(step.outs)))
    return tuple(found), frozenset(numbers[name] for name in seen)
