"""Networks of no family whose numbers change lanes: one step between embedding and unembedding each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from odd_network import Odd

from hnlpu.model.families import Family, embed, unembed
from hnlpu.model.network import Builder, Given, Network, Replace, Ring, Tensor, Value, ops
from hnlpu.model.network.composites import layer_norm, norm, rope, turns, unit_norm

SIZE = 24
CONFIG = {"model_type": "odd", "vocab_size": 20, "hidden_size": SIZE, "num_hidden_layers": 1}
Middle = Callable[[Builder, Value], Value]


def _parameter(b: Builder, *shape: int) -> Value:
    return b.parameter("w", shape, Tensor("w", shape))


def _masked(b: Builder, x: Value) -> Value:
    """Sums of two numbers, where a number is small."""
    pairs = x.reshape(12, 2)
    chosen = b.step(
        ops.Where(),
        b.step(ops.Compare("less_equal"), pairs, 0.25),
        pairs,
        x.reshape(2, 12).permute(1, 0),
    )
    return chosen.reshape(SIZE)


def _compared(b: Builder, x: Value) -> Value:
    other = x.reshape(3, 8).permute(1, 0).reshape(SIZE)
    same = b.step(ops.Compare("equal"), b.step(ops.Minimum(), x, other), x)
    less = b.step(ops.Compare("less"), x, other * 0.5)
    return b.step(ops.Where(), same, x, 0.5) + b.step(ops.Where(), less, -1.0, other)


def _delta(b: Builder, x: Value) -> Value:
    """A memory of two axes that is read before it is written, over the axis within: a delta rule."""
    keys, values, queries = x.split(8, 8, 8)
    state = b.state("memory", (8, 8), Replace(), initial=0.25)
    before = b.read(state, "before")
    error = values - b.step(ops.Dot("kv,k->v"), before, keys)
    memory = before + b.step(ops.Outer("k,v->kv"), keys * 0.125, error)
    b.write(state, memory)
    read = b.step(ops.Dot("kv,k->v"), memory, queries)
    return b.step(ops.Concat(), read, values, keys)


def _turned_memory(b: Builder, x: Value) -> Value:
    """A memory whose new value lies otherwise than itself, read after its write."""
    state = b.state("memory", (4, 6), Replace())
    before = b.read(state, "before")
    b.write(state, (before * 0.5).reshape(6, 4).permute(1, 0) + x.reshape(4, 6))
    after = b.read(state)
    return after.reshape(SIZE) + b.step(ops.Max(0, keep=True), after.reshape(2, 12)).reshape(
        12
    ).reshape(1, 12).reshape(12).split(6, 6)[0].sum(keep=True)


def _rings(b: Builder, x: Value) -> Value:
    kept, later = b.state("kept", (SIZE,), Ring(3), initial=0.5), b.state("later", (5,), Ring(2))
    before = b.read(kept, "before")
    b.write(kept, x * 0.5)
    head, rest = x.split(5, SIZE - 5)
    b.write(later, head)
    last = b.step(ops.Dot("kc,ck->c"), b.read(kept), _parameter(b, SIZE, 3))
    pair = b.read(later).permute(1, 0).reshape(10)
    return (last + before.sum(0)) * b.step(ops.Concat(), pair, rest.split(14, 5)[0])


def _quotients(b: Builder, x: Value) -> Value:
    """Values, a parameter and numbers over each other, in units of their own."""
    w, one = _parameter(b, SIZE), b.step(ops.Divide(), 1.0, x)
    fine = x.table("sigmoid") / x.table("softplus")
    rows = x.reshape(2, 12).sum(0).reshape(12, 1) / 3.0 * x.reshape(12, 2)
    return (x / w + one) * fine + b.step(ops.Divide(), w, rows.reshape(SIZE))


def _everything(b: Builder, x: Value) -> Value:
    """A delta rule between norms, with a quotient, a comparison and a ring: every unit but attention's."""
    h = layer_norm(x, _parameter(b, SIZE), b.parameter("v", (SIZE,), Tensor("v", (SIZE,))), 1e-5)
    queries, keys, values = h.split(8, 8, 8)
    queries, keys = unit_norm(queries.reshape(2, 4), 1e-6), unit_norm(keys.reshape(2, 4), 1e-6)
    b.write(late := b.state("late", (8,), Ring(2)), values)
    decay = (b.read(late).sum(0) * 0.25).table("softplus", -1.0).table("exp").reshape(2, 1, 4)
    state = b.state("memory", (2, 4, 4), Replace())
    faded = b.read(state, "before") * decay
    error = values.reshape(2, 4) - b.step(ops.Dot("hkv,hk->hv"), faded, keys)
    memory = faded + b.step(ops.Outer("hk,hv->hkv"), keys, error)
    b.write(state, memory)
    found = b.step(ops.Dot("hkv,hk->hv"), memory, queries).reshape(8)
    share = found.table("sigmoid") / (found.table("sigmoid").sum(keep=True) + 0.5)
    values = values + values.table("gelu")
    kept = b.step(ops.Where(), b.step(ops.Compare("less"), values, found), found, values)
    return b.step(ops.Concat(), found, share, b.step(ops.Maximum(), kept, -0.5))


def _turned(b: Builder, x: Value) -> Value:
    """Heads whose angles are of two sets, a part of each turned in one and all of it in the other."""
    x, sets = x.reshape(3, 8), []
    for name, values in (("slow", (0.5, 0.25, 0.125)), ("quick", (1.0, 0.75, 0.5, 0.25))):
        table = b.parameter(name, (len(values),), Given(values, (len(values),)))
        sets.append(turns(b.position(), table))
    for by in (sets[1], sets[0], sets[0], sets[1]):
        x = rope(x, by) + x * 0.5
    return x.reshape(SIZE)


MOVED: Mapping[str, Middle] = {
    "exp": lambda b, x: (x * 0.25).table("exp"),
    "scaled": lambda b, x: x.table("softplus", -2.0) + x.table("sigmoid", 0.5),
    "gelu": lambda b, x: x.table("gelu"),
    "gelu_tanh": lambda b, x: x.table("gelu_tanh"),
    "polynomial": lambda b, x: b.step(
        ops.Table("polynomial", 1.0, (0.5, -1.0, 0.25)), x
    ),
    "maximum": lambda b, x: b.step(ops.Maximum(), x, 0.0),
    "smaller": lambda b, x: b.step(ops.Minimum(), x, x * x),
    "sum": lambda b, x: x + x.sum(keep=True) * 0.125,
    "rows": lambda b, x: (x.reshape(4, 6) - x.reshape(4, 6).max(keep=True)).reshape(SIZE),
    "repeated": lambda b, x: (x.reshape(3, 8) * _parameter(b, 8)).reshape(SIZE),
    "finer": lambda b, x: x.table("tanh") * (x.table("sigmoid") + _parameter(b, SIZE).table("exp")),
    "permuted": lambda b, x: x + x.reshape(3, 8).permute(1, 0).reshape(SIZE),
    "outer": lambda b, x: b.step(
        ops.Outer("a,b->ab"), x.split(4, 20)[0], x.split(18, 6)[1]
    ).reshape(SIZE),
    "norm": lambda b, x: norm(
        x.reshape(2, 12), (_parameter(b, SIZE) * 2.0).reshape(2, 12), 1e-5
    ).reshape(SIZE),
    "layer norm": lambda b, x: layer_norm(
        x.reshape(2, 12), _parameter(b, 12), b.parameter("v", (12,), Tensor("v", (12,))), 1e-5
    ).reshape(SIZE),
    "unit norm": lambda b, x: unit_norm(x.reshape(4, 6), 1e-4).reshape(SIZE),
    "quotient": _quotients,
    "turned": _turned,
    "everything": _everything,
    "masked": _masked,
    "compared": _compared,
    "delta": _delta,
    "turned memory": _turned_memory,
    "rings": _rings,
}  # fmt: skip


def family(middle: Middle) -> Family[Odd]:
    """A family of one network."""

    def network(c: Odd) -> Network:
        b = Builder("moved")
        x = embed(b, "embedding", c.vocab_size, c.hidden_size)
        with b.block(0):
            x = middle(b, x)
        return b.finish(unembed(x, c.vocab_size))

    return Family(("odd",), Odd, network)
