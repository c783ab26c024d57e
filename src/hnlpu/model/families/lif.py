"""A network of leaky integrate-and-fire neurons: events in, leaky integrators read out.

    signals ─► linear ─► lif ─► ... ─► linear ─► leaky integrators [output_size]

The checkpoint has the names of a module with lists `linear` (nn.Linear) and `beta`:

    linear.0.weight, linear.0.bias   [hidden_size, input_size], [hidden_size]; one more than layers, the last
                                     to [output_size, hidden_size]
    beta.0, beta.1 ...               [hidden_size] each, the last [output_size]: what stays of a membrane

Time is counted as snntorch's `Leaky` does, with its reset one position behind the spike: `reset` says how.
Spikes are 0 and 1.  Where the signals are too, activations of 2 bits (`activation_bits`, the fewest that
wires take) hold all of them exactly.
"""

from __future__ import annotations

from pydantic import Field

from hnlpu.model.families._config import SignalConfig
from hnlpu.model.families._family import Family
from hnlpu.model.families._parts import linear, signals
from hnlpu.model.network import Builder, Cut, Network, Tensor, Value
from hnlpu.model.network.composites import Reset, dense, leaky, lif


class Lif(SignalConfig):
    """config.json of a network of leaky integrate-and-fire neurons."""

    threshold: float = Field(1.0, gt=0, le=1e4)
    reset: Reset = "subtract"


def network(c: Lif) -> Network:
    """The network of a config."""
    b = Builder("lif")
    x = signals(b, c.input_size)
    for layer in range(c.num_hidden_layers):
        with b.block(layer):
            x = lif(
                _current(x, layer, c.hidden_size),
                _decay(b, layer, c.hidden_size),
                c.threshold,
                c.reset,
            )
    last = c.num_hidden_layers
    return b.finish(leaky(_current(x, last, c.output_size), _decay(b, last, c.output_size)))


def _current(x: Value, number: int, size: int) -> Value:
    matrix = linear(f"linear.{number}", size, x.sizes[0], "feed_forward", Cut("rows"), bias=True)
    return dense(x, x.builder.matrix(matrix))


def _decay(b: Builder, number: int, size: int) -> Value:
    name = f"beta.{number}"
    return b.parameter(name, (size,), Tensor(name, (size,)))


FAMILY = Family(
    ("lif",), Lif, network, "leaky integrate-and-fire neurons over events",
    "torch, with snntorch's count of time",
)  # fmt: skip
