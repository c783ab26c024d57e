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


def trading_places(c: Odd) -> Network:
    """Pieces of a vector change places, and what is made of both goes where they were."""
    b, n = Builder("trading"), c.hidden_size
    x = embed(b, "embedding", c.vocab_size, n)
    with b.block(0):
        turned, kept = (b.state(name, (n,), Replace()) for name in ("turned", "kept"))
        before = b.read(turned, "before")
        x = x + _swapped(b, x + before * 0.5, 8)
        b.write(turned, x + _swapped(b, before, 8))
        last = b.read(kept, "before")
        b.write(kept, _swapped(b, b.read(turned), 8))
        x = b.read(turned) - last + b.read(kept)
        x = x + _swapped(b, x, 8)
    return b.finish(unembed(x, c.vocab_size))


def delaying(c: Odd) -> Network:
    """A line of delays: a state takes a new piece in front, and its own move on by one."""
    b, n = Builder("delaying"), c.hidden_size
    x = embed(b, "embedding", c.vocab_size, n)
    with b.block(0):
        line, last = (b.state(name, (n,), Replace()) for name in ("line", "last"))
        kept, _ = b.read(line, "before").split(n - 8, 8)
        new, _ = b.read(last, "before").split(8, n - 8)
        b.write(line, b.step(ops.Concat(), new, kept))
        b.write(last, x)
        x = x + b.read(line)
    return b.finish(unembed(x, c.vocab_size))


DELAYING = Family(("odd",), Odd, delaying)
TRADING = Family(("odd",), Odd, trading_places)
FAMILY = Family(("odd",), Odd, network)
CONFIG = {"model_type": "odd", "vocab_size": 20, "hidden_size": 24, "num_hidden_layers": 1}
