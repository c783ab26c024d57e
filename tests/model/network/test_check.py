"""Every rule of the form: a valid network, broken in one place, is refused by the rule's name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hnlpu.errors import MalformedNetwork
from hnlpu.model.network import (
    Append,
    Cut,
    Either,
    Given,
    Input,
    Mxfp4,
    Network,
    Parameter,
    Positions,
    Reshaped,
    Ring,
    Slice,
    Span,
    Stack,
    State,
    Step,
    Tensor,
    Transpose,
    check,
    ops,
)
from network_samples import every_operation, networks

Break = Callable[[Network, st.DataObject], Network]
KINDS: dict[str, tuple[str, Break]] = {}
"""What is broken: the rule that must tell of it, and how it is broken."""


def kind(name: str, rule: str) -> Callable[[Break], Break]:
    def enter(change: Break) -> Break:
        assert name not in KINDS
        KINDS[name] = rule, change
        return change

    return enter


def simple(name: str, rule: str, change: Callable[[Network], Network]) -> None:
    KINDS[name] = rule, lambda network, data: change(network)


# ways to change one thing


def number_of(network: Network, data: st.DataObject, *of: type) -> int:
    """The number of any step with an operation of these types."""
    numbers = [n for n, step in enumerate(network.steps) if isinstance(step.op, of)]
    return data.draw(st.sampled_from(numbers))


def with_step(network: Network, n: int, **changes: Any) -> Network:
    steps = list(network.steps)
    steps[n] = replace(steps[n], **changes)
    return replace(network, steps=tuple(steps))


def any_step(
    name: str, rule: str, of: type | tuple[type, ...], change: Callable[[Step], Any]
) -> None:
    """Break any step of a type: `change` gives another operation, or fields of the step."""
    of = of if isinstance(of, tuple) else (of,)

    def broken(network: Network, data: st.DataObject) -> Network:
        n = number_of(network, data, *of)
        changed = change(network.steps[n])
        changes = changed if isinstance(changed, dict) else {"op": changed}
        return with_step(network, n, **changes)

    KINDS[name] = rule, broken


def any_of(
    of_kind: str, rule: str, field: str, where: Callable[[Any], bool], /, **changes: Any
) -> None:
    """Break any matrix, parameter, state or input for which `where` holds."""

    def broken(network: Network, data: st.DataObject) -> Network:
        things = list(getattr(network, field))
        n = data.draw(st.sampled_from([n for n, x in enumerate(things) if where(x)]))
        new = {key: v(things[n]) if callable(v) else v for key, v in changes.items()}
        things[n] = replace(things[n], **new)
        return replace(network, **{field: tuple(things)})

    KINDS[of_kind] = rule, broken


def always(thing: object) -> bool:
    return True


PAIRS = (ops.Add, ops.Sub, ops.Mul, ops.Divide, ops.Minimum, ops.Maximum)

# names and outputs
simple("no steps", "empty", lambda n: replace(n, steps=(), spans=()))
simple("no outputs", "empty", lambda n: replace(n, outputs=()))
simple("output of no step", "undefined", lambda n: replace(n, outputs=("nothing",)))
simple("output that is a parameter", "undefined", lambda n: replace(n, outputs=("table",)))
simple("output named twice", "redefined", lambda n: replace(n, outputs=n.outputs[:1] * 2))
simple("context of nothing", "context", lambda n: replace(n, context=0))
any_of("illegal name", "name", "matrices", always, name="9 lives")
any_of("empty name", "name", "states", always, name="")
any_of("name declared twice", "redefined", "parameters", lambda p: p.name != "table", name="table")


@kind("output still in digits", "kind")
def _(network: Network, data: st.DataObject) -> Network:
    n = number_of(network, data, ops.Quantize)
    return replace(network, outputs=(*network.outputs, network.steps[n].outs[0]))


@kind("output not rounded", "kind")
def _(network: Network, data: st.DataObject) -> Network:
    wide = [s.outs[0] for s in network.steps if isinstance(s.op, ops.Dot | ops.Sum) and s.op.wide]
    return replace(network, outputs=(*network.outputs, data.draw(st.sampled_from(wide))))


# inputs
any_of("token with a shape", "inputs", "inputs", lambda x: x.carries == "token", shape=(2,))
any_of("position that is real", "inputs", "inputs", lambda x: x.carries == "position", kind="real")
any_of("input of digits", "inputs", "inputs", lambda x: x.carries == "data", kind="digits")
any_of(
    "input as long as the sequence", "shape", "inputs", lambda x: x.carries == "data",
    shape=(Positions(), 3),
)  # fmt: skip
simple(
    "two tokens", "inputs", lambda n: replace(n, inputs=(*n.inputs, Input("another", "token")))
)  # fmt: skip
simple(
    "input that nothing uses", "unused",
    lambda n: replace(n, inputs=(*n.inputs, Input("more", "data", (2,), "real"))),
)  # fmt: skip

# matrices
any_of("matrix without rows", "shape", "matrices", always, rows=0)
any_of("columns in no blocks", "blocks", "matrices", always, padding=lambda m: m.padding + 1)
any_of("padding of a whole block", "padding", "matrices", always, padding=lambda m: m.padding + 32)
any_of("negative padding", "padding", "matrices", always, padding=lambda m: m.padding - 32)
any_of("matrix of another source", "source", "matrices", always, source=Tensor("w", (1, 7)))
any_of("bias of another length", "source", "matrices", always, bias=Tensor("bias", (12345,)))
any_of("bank from one matrix", "source", "matrices", lambda m: m.members is None, members=4)
any_of(
    "runs that do not divide", "cut", "matrices", lambda m: m.cut.how == "heads_out",
    cut=lambda m: replace(m.cut, group=m.rows + 1),
)  # fmt: skip
any_of("runs of rows", "cut", "matrices", lambda m: m.name == "head", cut=Cut("rows", 11))
any_of("members of one", "cut", "matrices", lambda m: m.members is None, cut=Cut("members"))
any_of("heads of a bank", "cut", "matrices", lambda m: m.members, cut=Cut("heads_in"))
any_of(
    "runs that differ together", "cut together", "matrices", lambda m: m.name in "qkvo",
    cut=lambda m: Cut(m.cut.how, 1, "b0.heads") if m.cut.group > 1 else Cut("copy", 1, "b0.heads"),
)  # fmt: skip


@kind("matrix that nothing uses", "unused")
def _(network: Network, data: st.DataObject) -> Network:
    spare = replace(network.matrices[0], name="spare")
    return replace(network, matrices=(*network.matrices, spare))


# parameters and sources
any_of("parameter of another source", "source", "parameters", always, source=Tensor("p", (99, 98)))
any_of("parameter without entries", "shape", "parameters", always, shape=(0, 4))
simple(
    "parameter that nothing uses", "unused",
    lambda n: replace(n, parameters=(*n.parameters, Parameter("p", (2,), Given((1.0, 2.0), (2,))))),
)  # fmt: skip
SOURCES: dict[str, tuple[str, Any]] = {
    "tensor without entries": ("source", Tensor("t", (0, 2))),
    "MXFP4 in no blocks": ("source", Mxfp4("t", (2, 33))),
    "too few numbers given": ("source", Given((1.0, 2.0), (3,))),
    "numbers given that are none": ("number", Given((math.nan,), (1,))),
    "slice behind the end": ("source", Slice(Tensor("t", (4,)), 0, 1, 5)),
    "slice along no axis": ("source", Slice(Tensor("t", (4,)), 1, 0, 1)),
    "slice backwards": ("source", Slice(Tensor("t", (4,)), 0, 0, 4, -1)),
    "transposed along one axis twice": ("source", Transpose(Tensor("t", (4, 4)), (0, 0))),
    "reshaped to another size": ("source", Reshaped(Tensor("t", (4, 4)), (5,))),
    "stack of different shapes": ("source", Stack((Tensor("t", (4,)), Tensor("u", (5,))))),
    "alternatives of different shapes": ("source", Either((Tensor("t", (4,)), Tensor("u", (5,))))),
    "stack of nothing": ("source", Stack(())),
}
for _name, (_rule, _source) in SOURCES.items():
    any_of(_name, _rule, "parameters", always, source=_source)


@kind("tensor in two shapes", "tensor")
def _(network: Network, data: st.DataObject) -> Network:
    matrix = network.matrices[0]
    source = Reshaped(Tensor("table", (matrix.rows * matrix.columns,)), matrix.shape)
    return replace(network, matrices=(replace(matrix, source=source), *network.matrices[1:]))


# states
any_of("state without entries", "shape", "states", always, shape=(0,))
any_of("state that starts from infinity", "number", "states", always, initial=math.inf)
any_of("ring of nothing", "keeps", "states", lambda s: isinstance(s.keeps, Ring), keeps=Ring(0))
any_of(
    "window of nothing", "keeps", "states", lambda s: isinstance(s.keeps, Append), keeps=Append(0)
)  # fmt: skip
any_of("state of another shape", "state", "states", always, shape=(1, 2, 3, 4))
simple(
    "state that nothing reads", "unused",
    lambda n: replace(n, states=(*n.states, State("s", (2,), Ring(2)))),
)  # fmt: skip


@kind("state written twice", "writes")
def _(network: Network, data: st.DataObject) -> Network:
    n = number_of(network, data, ops.Write)
    steps = (*network.steps[: n + 1], network.steps[n], *network.steps[n + 1 :])
    return replace(network, steps=steps, spans=())


@kind("state never written", "writes")
def _(network: Network, data: st.DataObject) -> Network:
    n = number_of(network, data, ops.Write)
    return replace(network, steps=network.steps[:n] + network.steps[n + 1 :], spans=())


@kind("read on the wrong side of the write", "order")
def _(network: Network, data: st.DataObject) -> Network:
    grows = {state.name for state in network.states if isinstance(state.keeps, Append)}
    reads = [
        n for n, s in enumerate(network.steps)
        if isinstance(s.op, ops.Read) and s.op.state not in grows
    ]  # fmt: skip
    n = data.draw(st.sampled_from(reads))
    op = network.steps[n].op
    assert isinstance(op, ops.Read)
    other = "after" if op.when == "before" else "before"
    return with_step(network, n, op=ops.Read(op.state, other))


@kind("write moved before its read", "order")
def _(network: Network, data: st.DataObject) -> Network:
    memory = [n for n, s in enumerate(network.steps) if getattr(s.op, "state", "") == "b1.memory"]
    steps = list(network.steps)
    value = next(s.outs[0] for s in steps if isinstance(s.op, ops.Outer))
    write = steps.pop(memory[1])
    read = steps.pop(memory[0])
    at = next(n for n, s in enumerate(steps) if value in s.outs)
    steps[at + 1 : at + 1] = [replace(write, args=(value,)), read]
    return replace(network, steps=tuple(steps), spans=())


any_step(
    "growing state read before", "order", ops.Read,
    lambda step: ops.Read("b0.attend.keys", "before"),
)  # fmt: skip
any_step("read of no state", "undeclared", ops.Read, lambda step: ops.Read("none", "after"))
any_step("write of no state", "undeclared", ops.Write, lambda step: ops.Write("none"))

# names of values
any_step("value that is nowhere", "undefined", PAIRS, lambda step: {"args": ("nowhere", 1.0)})
any_step("value before it is defined", "undefined", PAIRS, lambda step: {"args": (*step.outs, 1.0)})
any_step("name defined twice", "redefined", ops.Max, lambda step: {"outs": ("token",)})
any_step("name of a parameter", "redefined", ops.Max, lambda step: {"outs": ("table",)})
any_step("name of a matrix", "redefined", ops.Max, lambda step: {"outs": ("head",)})
any_step("value with an illegal name", "name", ops.ArgMax, lambda step: {"outs": ("a b",)})
any_step("one value too many", "arguments", PAIRS, lambda step: {"args": (*step.args, 1.0)})
any_step("one value too few", "arguments", PAIRS, lambda step: {"args": step.args[:1]})
any_step("one name too many", "outs", PAIRS, lambda step: {"outs": (*step.outs, "spare")})
any_step("one name too few", "outs", ops.TopK, lambda step: {"outs": step.outs[:1]})
any_step("infinite number", "number", PAIRS, lambda step: {"args": (step.args[0], math.inf)})
any_step("numbers only", "constant", PAIRS, lambda step: {"args": (1.0, 2.0)})


@kind("step that nothing uses", "unused")
def _(network: Network, data: st.DataObject) -> Network:
    spare = Step(ops.Add(), (network.outputs[0], 1.0), ("spare",))
    return replace(network, steps=(*network.steps, spare))


# shapes
any_step("shapes that do not fit", "broadcast", PAIRS, lambda step: {"args": ("picture", "table")})
any_step("axis that is not there", "axis", ops.Max, lambda step: ops.Max(axis=5))
any_step("sum along no axis", "axis", ops.Sum, lambda step: ops.Sum(axis=-6))
any_step("reshape to another size", "reshape", ops.Reshape, lambda step: ops.Reshape((12345,)))
any_step("reshape to no entries", "shape", ops.Reshape, lambda step: ops.Reshape((0, 3)))
any_step("permuted along one axis twice", "permute", ops.Permute, lambda step: ops.Permute((0, 0)))
any_step("pieces that are not all", "split", ops.Split, lambda step: ops.Split((1, 10**6)))
any_step("piece of no size", "split", ops.Split, lambda step: {"op": ops.Split((0, 5))})
any_step("pieces that do not join", "concat", ops.Concat, lambda step: {"args": ("table", "token")})
any_step("nothing to join", "arguments", ops.Concat, lambda step: {"args": ()})
any_step(
    "window of another rank",
    "window",
    ops.Window,
    lambda step: ops.Window((3,), (1,), (1,), ((0, 0),)),
)
any_step(
    "window larger than the picture", "window", ops.Window,
    lambda step: ops.Window((99, 2), (1, 1), (1, 1), ((0, 0), (0, 0))),
)  # fmt: skip
any_step(
    "window without a stride", "window", ops.Window,
    lambda step: ops.Window((3, 2), (0, 1), (1, 1), ((0, 0), (0, 0))),
)  # fmt: skip
any_step("product without an arrow", "axes", ops.Dot, lambda step: ops.Dot("ab,bc"))
any_step("product with an axis twice", "axes", ops.Dot, lambda step: ops.Dot("aa,a->a"))
any_step("product that names too few axes", "axes", ops.Dot, lambda step: ops.Dot(",->"))
any_step("product that sums nothing", "axes", ops.Outer, lambda step: ops.Dot(step.op.axes))
any_step("product that makes an axis", "axes", ops.Outer, lambda step: ops.Outer("k,v->kvx"))
any_step("outer product that sums", "axes", ops.Outer, lambda step: ops.Outer("k,v->k"))
any_step(
    "product of different lengths", "axes", ops.Outer,
    lambda step: {"op": ops.Dot("k,k->"), "args": step.args},
)  # fmt: skip
any_step("more than there are", "axis", ops.TopK, lambda step: ops.TopK(10**6))
any_step("none of the largest", "axis", ops.TopK, lambda step: ops.TopK(0))


@kind("two axes of positions joined", "join")
def _(network: Network, data: st.DataObject) -> Network:
    n = next(n for n, s in enumerate(network.steps) if isinstance(s.op, ops.Read))
    keys = network.steps[n].outs[0]
    twice = Step(ops.Concat(0), (keys, keys), ("twice",), network.steps[n].block)
    steps = (*network.steps[: n + 1], twice, *network.steps[n + 1 :])
    return replace(network, steps=steps, spans=(), outputs=(*network.outputs, "twice"))


# kinds
any_step(
    "real number for a wire", "kind", ops.Project, lambda step: {"args": ("table", *step.args[1:])}
)
any_step("digits of an index", "kind", ops.Quantize, lambda step: {"args": ("token",)})
any_step("real number to look up", "kind", ops.Lookup, lambda step: {"args": ("picture",)})
any_step(
    "real number to gather by", "kind", ops.Gather, lambda step: {"args": ("table", "picture")}
)
any_step("function of an index", "kind", ops.Table, lambda step: {"args": ("token",)})
any_step(
    "number where a truth belongs",
    "kind",
    ops.Where,
    lambda step: {"args": ("token", *step.args[1:])},
)
any_step("sum of indices", "kind", ops.Sum, lambda step: {"args": ("token",)})
any_step("written index", "kind", ops.Write, lambda step: {"args": ("token",)})


@kind("arithmetic on digits", "kind")
def _(network: Network, data: st.DataObject) -> Network:
    n = number_of(network, data, ops.Quantize)
    doubled = Step(ops.Mul(), (network.steps[n].outs[0], 2.0), ("doubled",), network.steps[n].block)
    steps = (*network.steps[: n + 1], doubled, *network.steps[n + 1 :])
    return replace(network, steps=steps, spans=(), outputs=(*network.outputs, "doubled"))


# matrices in steps
any_step("projection by no matrix", "undeclared", ops.Project, lambda step: ops.Project("none"))
any_step("table that is not there", "undeclared", ops.Lookup, lambda step: ops.Lookup("none"))
any_step("sums of no matrix", "undeclared", ops.FromSums, lambda step: ops.FromSums("none"))
any_step("inputs of another length", "columns", ops.Project, lambda step: _other_columns(step))
any_step("activations of one bit", "bits", ops.Quantize, lambda step: ops.Quantize(bits=1))
any_step("shift out of the word", "bits", ops.Shift, lambda step: ops.Shift(65))
any_step(
    "polynomial of nothing", "coefficients", ops.Table, lambda step: ops.Table("polynomial")
)  # fmt: skip
any_step("function times zero", "number", ops.Table, lambda step: replace(step.op, scale=0.0))


def _other_columns(step: Step) -> ops.Op:
    assert isinstance(step.op, ops.Project)
    other = "head" if step.op.matrix == "pixels" else "pixels"
    return ops.Project(other, step.op.members)


@kind("members of a single matrix", "members")
def _(network: Network, data: st.DataObject) -> Network:
    singles = [
        n for n, s in enumerate(network.steps)
        if isinstance(s.op, ops.Project) and s.op.members == "one"
    ]  # fmt: skip
    n = data.draw(st.sampled_from(singles))
    return with_step(network, n, op=replace(network.steps[n].op, members="each"))


@kind("bank without chosen members", "members")
def _(network: Network, data: st.DataObject) -> Network:
    n = next(n for n, s in enumerate(network.steps) if s.op == ops.Project("bank", "chosen"))
    return with_step(network, n, op=ops.Project("bank"), args=network.steps[n].args[:1])


@kind("sums of another matrix", "sums")
def _(network: Network, data: st.DataObject) -> Network:
    # k and v have rows alike
    n = next(n for n, s in enumerate(network.steps) if s.op == ops.FromSums("k"))
    return with_step(network, n, op=ops.FromSums("v"))


@kind("sums without their members", "sums")
def _(network: Network, data: st.DataObject) -> Network:
    n = next(n for n, s in enumerate(network.steps) if s.op == ops.FromSums("bank"))
    return with_step(network, n, args=network.steps[n].args[:1])


# repetition
any_step("no ticks", "ticks", ops.Repeat, lambda step: replace(step.op, ticks=0))
any_step("body without outputs", "arguments", ops.Repeat, lambda step: replace(step.op, outputs=()))
any_step(
    "body with one input too many", "arguments", ops.Repeat,
    lambda step: replace(step.op, inputs=(*step.op.inputs, "more")),
)  # fmt: skip
any_step(
    "output that the body lacks", "undefined", ops.Repeat,
    lambda step: replace(step.op, outputs=("nowhere",)),
)  # fmt: skip
any_step("end by a real number", "kind", ops.Repeat, lambda step: replace(step.op, until="z"))
any_step(
    "end that the body lacks", "undefined", ops.Repeat, lambda step: replace(step.op, until="no")
)
any_step(
    "carried on in another shape", "carried", ops.Repeat,
    lambda step: replace(step.op, outputs=("largest",)),
)  # fmt: skip
any_step(
    "state within a body", "repeat", ops.Repeat,
    lambda step: replace(
        step.op, body=(*step.op.body, Step(ops.Read("b1.memory", "before"), (), ("s",)))
    ),
)  # fmt: skip
any_step(
    "name twice in a body", "redefined", ops.Repeat,
    lambda step: replace(step.op, body=(*step.op.body, step.op.body[0])),
)  # fmt: skip

# blocks and spans


@kind("block that comes back", "block")
def _(network: Network, data: st.DataObject) -> Network:
    last = len(network.steps) - 1
    return with_step(network, last, block=0)


@kind("matrix of another block", "block")
def _(network: Network, data: st.DataObject) -> Network:
    matrices = tuple(replace(m, block=1) if m.name == "q" else m for m in network.matrices)
    return replace(network, matrices=matrices)


def with_span(network: Network, /, **changes: Any) -> Network:
    span = Span("norm", "spare", len(network.steps) - 2, len(network.steps))
    return replace(network, spans=(*network.spans, replace(span, **changes)))


simple("span without steps", "span", lambda n: with_span(n, start=len(n.steps), stop=len(n.steps)))
simple("span behind the end", "span", lambda n: with_span(n, stop=len(n.steps) + 1))
simple("span before the start", "span", lambda n: with_span(n, start=-1))
simple("span with an illegal name", "name", lambda n: with_span(n, name="two words"))
simple("span with a name twice", "redefined", lambda n: with_span(n, name=n.spans[0].name))
simple("span over two blocks", "span", lambda n: with_span(n, start=0, stop=len(n.steps)))


@kind("spans that cross", "span")
def _(network: Network, data: st.DataObject) -> Network:
    long = [s for s in network.spans if s.stop - s.start > 1 and s.stop < len(network.steps)]
    span = data.draw(st.sampled_from(long))
    return with_span(network, start=span.stop - 1, stop=span.stop + 1)


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize("name", KINDS)
@given(network=networks(), data=st.data())
def test_what_is_broken_is_refused_by_name(
    name: str, network: Network, data: st.DataObject
) -> None:
    rule, change = KINDS[name]
    check(network)
    with pytest.raises(MalformedNetwork) as refused:
        check(change(network, data))
    assert refused.value.rule == rule, refused.value


def test_the_message_names_the_place() -> None:
    network = every_operation()
    n = next(n for n, step in enumerate(network.steps) if isinstance(step.op, ops.TopK))
    broken = with_step(network, n, op=ops.TopK(99))
    with pytest.raises(MalformedNetwork, match=rf"^step {n} \(top_k b1\.route\.top_k\): .* 99 "):
        check(broken)


def test_there_are_enough_kinds() -> None:
    assert len(KINDS) >= 40
    assert len({rule for rule, _ in KINDS.values()}) >= 30
