"""Residual blocks of gated multilayer perceptrons over a delay line: small networks of signals.

    signals ─► last `taps` positions ─► linear ─► x + out(tanh(value(x)) * sigmoid(gate(x))) ─► ... ─► head

The checkpoint has the names of a module with `stem` and `head` (nn.Linear) and a list `blocks` of `value`,
`gate` and `out` (nn.Linear):

    stem.weight, stem.bias                  [hidden_size, taps * input_size], oldest position first
    blocks.0.value.weight, .gate.weight     [inner_size, hidden_size], with biases
    blocks.0.out.weight, blocks.0.out.bias  [hidden_size, inner_size]
    head.weight, head.bias                  [output_size, hidden_size]

Before the first position the delay line holds zeros.
"""

from __future__ import annotations

from pydantic import Field

from hnlpu.model.families._config import SIZE_LIMIT, SignalConfig
from hnlpu.model.families._family import Family
from hnlpu.model.families._parts import linear, signals
from hnlpu.model.network import Builder, Cut, Network, Ring, Value
from hnlpu.model.network.composites import dense, dense_all


class Cura(SignalConfig):
    """config.json of residual gated blocks over a delay line."""

    taps: int = Field(ge=1, le=65536)
    inner_size: int = Field(ge=1, le=SIZE_LIMIT)


def network(c: Cura) -> Network:
    """The network of a config."""
    b = Builder("cura")
    x = signals(b, c.input_size)
    line = b.keep("delays", x, Ring(c.taps))
    x = _linear(line.reshape(c.taps * c.input_size), "stem", c.hidden_size)
    for number in range(c.num_hidden_layers):
        with b.block(number):
            x = x + _gated(x, f"blocks.{number}", c.inner_size)
    return b.finish(_linear(x, "head", c.output_size))


def _gated(x: Value, name: str, inner: int) -> Value:
    b, (width,) = x.builder, x.sizes
    value, gate = (
        b.matrix(linear(f"{name}.{part}", inner, width, "feed_forward", Cut("rows"), bias=True))
        for part in ("value", "gate")
    )
    values, gates = dense_all(x, value, gate)
    return _linear(values.table("tanh") * gates.table("sigmoid"), f"{name}.out", width)


def _linear(x: Value, name: str, rows: int) -> Value:
    matrix = linear(name, rows, x.sizes[0], "feed_forward", Cut("rows"), bias=True)
    return dense(x, x.builder.matrix(matrix))


FAMILY = Family(
    ("cura",), Cura, network, "residual gated multilayer perceptrons over a delay line", "torch"
)
