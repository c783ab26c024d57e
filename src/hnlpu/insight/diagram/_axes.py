"""What stands on a wire: the lengths of a value's axes, with their names where they are known.

A name is known where a step fixes it: the vocabulary of the unembedding, the experts of a router,
the heads of what attention keeps.  It holds for all values that steps join place by place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hnlpu.model.network import Append, Network, Span, ValueType, ops
from hnlpu.model.network.ops import Step

Names = tuple[str, ...]
_BEFORE = ("hidden", "vocabulary")  # "hidden 2880", but "64 heads"
_PLACEWISE = (
    ops.Quantize, ops.Add, ops.Sub, ops.Mul, ops.Divide, ops.Shift, ops.Minimum, ops.Maximum,
    ops.Where, ops.Table, ops.InverseRoot, ops.FromSums,
)  # fmt: skip


def labels(
    network: Network, types: Mapping[str, ValueType], stream: Iterable[str]
) -> dict[str, str]:
    """The text of every value's wire; `stream` has the values of the residual stream."""
    joined = _joined(network, types)
    names: dict[str, Names] = {}
    for value, given in _fixed(network, types, stream):
        names.setdefault(_root(joined, value), given)
    return {value: _text(type_, names.get(_root(joined, value))) for value, type_ in types.items()}


def _text(type_: ValueType, names: Names | None) -> str:
    if not type_.shape:
        return "index" if type_.kind == "index" else "1"
    known = names or ("",) * len(type_.shape)
    if len(known) != len(type_.shape):
        known = ("",) * len(type_.shape)
    text = " × ".join(_axis(str(n), name) for n, name in zip(type_.shape, known, strict=True))
    return f"{text}, index" if type_.kind == "index" else text


def _axis(length: str, name: str) -> str:
    if not name:
        return length
    return f"{name} {length}" if name in _BEFORE else f"{length} {name}"


def _joined(network: Network, types: Mapping[str, ValueType]) -> dict[str, str]:
    """Values whose places correspond, as a forest: a value to another of its tree."""
    joined: dict[str, str] = {}

    def join(a: str, b: str) -> None:
        roots = _root(joined, a), _root(joined, b)
        if roots[0] != roots[1]:
            joined[roots[0]] = roots[1]

    parameters = {parameter.name for parameter in network.parameters}
    for step in network.steps:
        if isinstance(step.op, _PLACEWISE):
            for arg in _values(step, parameters):
                if types[arg].shape == types[step.outs[0]].shape:
                    join(arg, step.outs[0])
    for span in network.spans:
        if span.composite in ("rope", "softmax"):
            out = next(iter(network.steps[span.stop - 1].outs), "")
            for arg in _taken(network, span):
                if out and arg not in parameters and types[arg].shape == types[out].shape:
                    join(arg, out)
    return joined


def _taken(network: Network, span: Span) -> list[str]:
    """What a span's steps take from outside."""
    inside = network.steps[span.start : span.stop]
    own = {out for step in inside for out in step.outs}
    taken = dict.fromkeys(a for step in inside for a in step.args if isinstance(a, str))
    return [arg for arg in taken if arg not in own]


def _root(joined: Mapping[str, str], value: str) -> str:
    while value in joined:
        value = joined[value]
    return value


def _values(step: Step, parameters: set[str]) -> list[str]:
    return [arg for arg in step.args if isinstance(arg, str) and arg not in parameters]


def _fixed(
    network: Network, types: Mapping[str, ValueType], stream: Iterable[str]
) -> Iterable[tuple[str, Names]]:
    """Values whose axes a step names."""
    known = network.declared()
    for value in stream:
        yield value, (*("",) * (len(types[value].shape) - 1), "hidden")
    for step in network.steps:
        rank = len(types[step.outs[0]].shape) if step.outs else 0
        match step.op:
            case ops.FromSums(name):
                role = known.matrices[name].role
                last = {"unembedding": "vocabulary", "router": "experts"}.get(role, "")
                if last:
                    yield step.outs[0], (*("",) * (rank - 1), last)
                elif known.matrices[name].members is not None and len(step.args) == 2:
                    yield step.outs[0], (*("",) * (rank - 2), "chosen", "")
            case ops.TopK():
                for out in step.outs:
                    yield out, (*("",) * (rank - 1), "chosen")
            case ops.Write(name):
                grows = isinstance(known.states[name].keeps, Append)
                if grows and len(known.states[name].shape) == 2:
                    yield str(step.args[0]), ("kv heads", "")
    for span in network.spans:
        if span.composite == "attend":
            for arg in _taken(network, span):
                if len(types[arg].shape) == 2:
                    yield arg, ("heads", "")
