"""A network of no family: what lanes do beside what families ask for, in beats that are not full."""

from __future__ import annotations

from typing import ClassVar

from hnlpu.model.families import Config, Family, embed, linear, unembed
from hnlpu.model.network import Builder, Cut, Network, Replace, Tensor, Value, ops
from hnlpu.model.network.composites import dense


class Odd(Config):
    """config.json: sizes, and whether pieces of a vector change places."""

    swapped: bool = False
    harmless: ClassVar[dict[str, str]] = {}


def network(c: Odd) -> Network:
    """Sums and products of values, parameters and numbers; states that are read before and after."""
    b, n = Builder("odd"), c.hidden_size
    x = embed(b, "embedding", c.vocab_size, n)
    scale, moved = (b.parameter(name, (n,), Tensor(name, (n,))) for name in ("scale", "moved"))
    with b.block(0):
        into, back = (
            b.matrix(linear(name, n, n, "recurrence", Cut("rows"), bias=True))
            for name in ("into", "back")
        )
        y = b.step(ops.Minimum(), 1.0 - (x * scale + moved), 0.75)
        y = y.shift(-2) + y.shift(1)
        opened = y.table("sigmoid")
        slow, quick = (b.state(name, (n,), Replace()) for name in ("slow", "quick"))
        before = b.read(slow, "before")
        b.write(slow, (opened + before) * 0.5)
        b.write(quick, opened)
        z = dense(opened, into) + (b.read(slow) - before) * opened
        z = (moved - z) + b.read(quick) * 2.5
        if c.swapped:
            z = _swapped(b, z, 8)
        z = dense(z.table("tanh"), back) - 0.25
    return b.finish(unembed(z * z, c.vocab_size))


def _swapped(b: Builder, z: Value, first: int) -> Value:
    head, tail = z.split(first, z.sizes[0] - first)
    return b.step(ops.Concat(), tail, head)


FAMILY = Family(("odd",), Odd, network)
CONFIG = {"model_type": "odd", "vocab_size": 20, "hidden_size": 24, "num_hidden_layers": 1}
