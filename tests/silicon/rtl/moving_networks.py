"""Networks of no family, drawn: numbers in axes that change places, meet others, and go into states."""

from __future__ import annotations

import numpy as np
from odd_network import Odd

from hnlpu.model.families import Family, embed, linear, unembed
from hnlpu.model.network import Builder, Cut, Network, Replace, Ring, Tensor, Value, ops
from hnlpu.model.network.composites import dense

STEPS = 14
SHAPES = ((24,), (4, 6), (6, 4), (2, 3, 4), (3, 8))
KINDS = 13


def moving_family(seed: int) -> Family[Odd]:
    """A family whose one network follows from a seed; values have 24 numbers, in any axes."""

    def network(c: Odd) -> Network:
        random, b, n = np.random.default_rng(seed), Builder("moving"), c.hidden_size
        x = embed(b, "embedding", c.vocab_size, n)
        with b.block(0):
            matrix = b.matrix(linear("into", n, n, "recurrence", Cut("rows")))
            w = b.parameter("w", (6,), Tensor("w", (6,)))
            memory = b.state("memory", (4, 6), Replace(), initial=float(random.choice([0.0, 0.5])))
            ring = b.state("ring", (n,), Ring(int(random.integers(1, 4))), initial=0.25)
            values = [x, b.read(memory, "before")]
            if random.integers(2):
                values.append(b.read(ring, "before").sum(0))
            for _ in range(STEPS):
                one, other = (values[k] for k in random.integers(len(values), size=2))
                values.append(_drawn(b, random, one, other, w))
            b.write(memory, values[int(random.integers(len(values)))].reshape(4, 6))
            b.write(ring, values[int(random.integers(len(values)))].reshape(n))
            values += [b.read(memory), b.read(ring).max(0)]
            y = dense((values[-3].reshape(4, 6) * w).reshape(n), matrix)
            for value in values:
                y = y + value.reshape(n) * 0.125
        return b.finish(unembed(y, c.vocab_size))

    return Family(("odd",), Odd, network)


def _drawn(b: Builder, random: np.random.Generator, one: Value, other: Value, w: Value) -> Value:
    """A step of 24 numbers."""
    shape = SHAPES[int(random.integers(len(SHAPES)))]
    axis = int(random.integers(len(shape)))
    kind = int(random.integers(KINDS))
    if kind == 0:
        head = one.reshape(4, 6)
        return b.step(ops.Outer("a,b->ba"), head.sum(0), other.reshape(24).split(20, 4)[1])
    if kind == 1:
        products = b.step(ops.Dot("ab,cb->ac"), one.reshape(4, 6), other.reshape(4, 6)).reshape(16)
        first, second = products.split(6, 10)
        return b.step(ops.Concat(), second, w, first + w, w.table("sigmoid").split(2, 4)[0])
    if kind == 2:
        return one.reshape(4, 6) * w
    x = one.reshape(*shape)
    match kind:
        case 3:
            return x.permute(*random.permutation(len(shape)).tolist())
        case 4:
            return x * other.reshape(*shape).sum(axis, keep=True)
        case 5:
            return x - other.reshape(*shape).max(axis, keep=True)
        case 6:
            less = b.step(ops.Compare("less"), x, other.reshape(*shape))
            return b.step(ops.Where(), less, x, 0.5)
        case 7:
            size = int(random.integers(1, shape[axis]))
            head, tail = b.steps(ops.Split((size, shape[axis] - size), axis), x, outs=2)
            return b.step(ops.Concat(axis), tail, head)
        case 8:
            return (x * 0.25).table("exp")
        case 9:
            return x + other.reshape(*shape)
        case 10:
            return x - other.reshape(*shape)
        case 11:
            return x * other.reshape(*shape)
        case _:
            return b.step(ops.Maximum(), x.table("tanh"), other.reshape(*shape))
