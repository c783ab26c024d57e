"""Networks for tests of the form: one that uses every operation, in sizes that are drawn."""

from __future__ import annotations

from hypothesis import strategies as st

from hnlpu.model.network import (
    Append,
    Builder,
    Cut,
    Given,
    Input,
    Matrix,
    Network,
    Replace,
    Ring,
    Slice,
    Stack,
    Step,
    Tensor,
    Transpose,
    Value,
    ops,
)
from hnlpu.model.network.composites import attend, causal_conv, dense, dense_all, norm, route


def tensor_matrix(name: str, rows: int, columns: int, **of: object) -> Matrix:
    """A matrix with a source of its own and no particular cut."""
    options: dict[str, object] = {"role": "mixer", "cut": Cut("rows"), **of}
    return Matrix(
        name,
        rows,
        columns,
        source=Tensor(f"{name}.weight", (rows, columns)),
        padding=-columns % 32,
        **options,
    )  # type: ignore[arg-type]  # fields by name


def every_operation(heads: int = 2, size: int = 16, width: int = 48, members: int = 3) -> Network:
    """A network with two blocks in which every operation stands."""
    b = Builder("sample", context=64)
    table = b.parameter("table", (11, width), Tensor("table", (11, width)))
    x = b.lookup(table, b.token())
    picture = b.input(Input("picture", "data", (6, 5, 3), "real"))
    taps = 3 * 2 * 3
    seen = b.step(ops.Window((3, 2), (1, 2), (1, 1), ((1, 1), (0, 1))), picture)
    made = dense(seen, b.matrix(tensor_matrix("pixels", 8, taps)))  # [6, 3, 8]
    x = x + made.max(0).sum(0).sum()
    with b.block(0):
        x = x + _attention(b, x, heads, size, width)
    with b.block(1):
        x = x + _experts(b, x, width, members)
        x = x + _memory(b, x, width)
    x = _ticks(b, x)
    logits = dense(x, b.matrix(tensor_matrix("head", 11, width)))
    best = b.step(ops.ArgMax(), logits)
    odd = b.step(ops.Compare("less"), x, 0.5)
    chosen = b.step(ops.Where(), odd, x.shift(-1), b.step(ops.Maximum(), x, 0.25))
    position = b.step(ops.Minimum(), b.position(), 3.0)
    return b.finish(logits, best, b.step(ops.Gather(), chosen * position, best))


def _attention(b: Builder, x: Value, heads: int, size: int, width: int) -> Value:
    weight = b.parameter("b0.weights", (width,), Given((1.0,) * width, (width,)))
    cut = {"role": "attention", "cut": Cut("heads_out", size, "b0.heads")}
    q, k, v = (b.matrix(tensor_matrix(name, heads * size, width, **cut)) for name in "qkv")
    cut["cut"] = Cut("heads_in", size, "b0.heads")
    o = b.matrix(tensor_matrix("o", width, heads * size, **cut))
    sink = b.parameter("b0.sinks", (heads,), Slice(Tensor("sinks", (heads + 2,)), 0, 1, heads + 1))
    parts = dense_all(norm(x, weight, 1e-5), q, k, v)
    y = attend(*(y.reshape(heads, size) for y in parts), scale=0.25, window=7, sink=sink)
    return dense(y, o)


def _experts(b: Builder, x: Value, width: int, members: int) -> Value:
    weights = Stack(tuple(Tensor(f"experts.{n}", (width, width)) for n in range(members)))
    bank = b.matrix(
        Matrix("bank", width, width, "experts", Cut("members"), weights,
               Tensor("biases", (members, width)), members=members, padding=-width % 32)
    )  # fmt: skip
    router = b.matrix(tensor_matrix("router", members, width, role="router", cut=Cut("copy")))
    shares, chosen = route(dense(x, router), 2)
    return b.step(ops.Dot("k,kn->n"), shares, dense(x, bank, chosen=chosen)) / 3.0


def _memory(b: Builder, x: Value, width: int) -> Value:
    kernel = b.parameter("b1.kernel", (width, 4), Transpose(Tensor("kernel", (4, width)), (1, 0)))
    rolled = causal_conv(x, kernel).table("tanh")
    state = b.state("memory", (2, 3), Replace(), initial=0.5)
    first, _ = rolled.split(2, width - 2)
    second, _ = rolled.split(3, width - 3)
    memory = b.read(state, "before") - b.step(ops.Outer("k,v->kv"), first, second)
    b.write(state, memory)
    return memory.permute(1, 0).sum().max() * x


def _ticks(b: Builder, x: Value) -> Value:
    body = (
        Step(ops.Mul(), ("y", "by"), ("z",)),
        Step(ops.Max(), ("z",), ("largest",)),
        Step(ops.Compare("less"), ("largest", 1.0), ("small",)),
    )
    half = b.step(ops.Add(), b.step(ops.Gather(), x, b.token()) * 0.0, 0.5)
    return b.step(ops.Repeat(5, ("y", "by"), body, ("z",), "small"), x, half)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """`every_operation` in drawn sizes."""
    return every_operation(
        draw(st.integers(1, 4)), draw(st.sampled_from([2, 8, 16, 31])),
        draw(st.integers(12, 70)), draw(st.integers(2, 5)),
    )  # fmt: skip


def keeps_of_all_kinds() -> tuple[object, ...]:
    """One of each."""
    return Append(), Append(3), Ring(4), Replace()
