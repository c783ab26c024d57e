"""Networks of no family, drawn: steps of one layer that meet, change places and go into states."""

from __future__ import annotations

import numpy as np
from odd_network import Odd

from hnlpu.model.families import Family, embed, linear, unembed
from hnlpu.model.network import Builder, Cut, Network, Replace, Tensor, Value, ops
from hnlpu.model.network.composites import dense

STEPS, PIECE = 12, 8
"""Steps that are drawn, and the smaller of two pieces: a beat of the chips that are made."""


def random_family(seed: int) -> Family[Odd]:
    """A family whose one network follows from a seed."""

    def network(c: Odd) -> Network:
        random, b, n = np.random.default_rng(seed), Builder("drawn"), c.hidden_size
        x = embed(b, "embedding", c.vocab_size, n)
        with b.block(0):
            p = b.parameter("p", (n,), Tensor("p", (n,)))
            matrix = b.matrix(linear("into", n, n, "recurrence", Cut("rows")))
            initial = random.choice([0.0, 0.5], 3).tolist()
            states = [b.state(f"s{k}", (n,), Replace(), initial=i) for k, i in enumerate(initial)]
            values = [x, *(b.read(state, "before") for state in states)]
            left = list(states)
            for _ in range(STEPS):
                one, other = (values[k] for k in random.integers(len(values), size=2))
                if left and not random.integers(6):
                    state = left.pop()
                    b.write(state, one)
                    values.append(b.read(state))
                else:
                    values.append(_drawn(b, int(random.integers(9)), one, other, p))
            for state in left:
                b.write(state, values[int(random.integers(len(values)))])
            y = dense(values[-1] * p, matrix)
            for value in [*values, *(b.read(state) for state in states)]:
                y = y + value * 0.125
        return b.finish(unembed(y, c.vocab_size))

    return Family(("odd",), Odd, network)


def _drawn(b: Builder, which: int, one: Value, other: Value, p: Value) -> Value:
    """A step by its number."""
    n = one.sizes[0]
    match which:
        case 0:
            return one + other
        case 1:
            return one - other
        case 2:
            return one * other
        case 3:
            head, tail = one.split(PIECE, n - PIECE)
            return b.step(ops.Concat(), tail, head)
        case 4:
            return b.step(
                ops.Concat(), one.split(PIECE, n - PIECE)[0], other.split(n - PIECE, PIECE)[0]
            )
        case 5:
            return one.table("tanh")
        case 6:
            return 1.0 - one
        case 7:
            return b.step(ops.Minimum(), one.shift(-1), 0.25)
        case _:
            return one * p
