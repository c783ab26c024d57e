"""A network of networks of layers, its forward pass and its gradient, beside torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.model.network import (
    Builder,
    Cut,
    Input,
    Matrix,
    Network,
    Tensor,
    in_sequence,
    include,
)
from hnlpu.model.network.composites import dense
from hnlpu.run.emulate import FloatConstants, Interpreter
from studies.nested.lenses import constants, lens_of

WIDTH = 12


def layer(rows: int, columns: int) -> Network:
    """tanh of a matrix times x."""
    b = Builder("layer")
    x = b.input(Input("x", "data", (columns,), "real"))
    source, bias = Tensor("weight", (rows, columns)), Tensor("bias", (rows,))
    made = Matrix(
        "linear", rows, columns, "mixer", Cut("rows"), source, bias, padding=-columns % BLOCK
    )
    return b.finish(dense(x, b.matrix(made)).table("tanh"))


def block() -> Network:
    """x + layer(layer(x) * sigmoid(x)): two layers inside, a way around them."""
    b = Builder("block")
    x = b.input(Input("x", "data", (WIDTH,), "real"))
    (inner,) = include(b, "first", layer(WIDTH, WIDTH), {"x": x})
    (outer,) = include(b, "second", layer(WIDTH, WIDTH), {"x": inner * x.table("sigmoid")})
    return b.finish(x + outer)


def mlp() -> Network:
    """Layers and blocks of layers, one behind the other."""
    return in_sequence(
        "mlp", ("enter", layer(WIDTH, 5)), ("blocks", in_sequence("two", ("0", block()), ("1", block()))),
        ("leave", layer(3, WIDTH)),
    )  # fmt: skip


def _torch(x: torch.Tensor, t: dict[str, torch.Tensor]) -> torch.Tensor:
    def one(name: str, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(torch.nn.functional.linear(x, t[f"{name}.weight"], t[f"{name}.bias"]))

    x = one("enter", x)
    for n in range(2):
        x = x + one(f"blocks.{n}.second", one(f"blocks.{n}.first", x) * torch.sigmoid(x))
    return one("leave", x)


def differences(seed: int) -> tuple[float, float]:
    """Largest differences to torch: of the output, and of any gradient over its largest entry."""
    random = np.random.default_rng([9, seed])
    network = mlp()
    tensors: dict[str, Any] = {}
    for m in network.matrices:
        assert isinstance(m.source, Tensor)
        assert isinstance(m.bias, Tensor)
        drawn = random.normal(size=m.shape) / np.sqrt(m.columns)
        tensors[m.source.name] = drawn.astype(np.float32)
        tensors[m.bias.name] = 0.1 * random.normal(size=m.rows).astype(np.float32)
    x, weight = (random.normal(size=n).astype(np.float32) for n in (5, 3))
    leaves = {
        name: torch.tensor(v.astype(np.float64), requires_grad=True) for name, v in tensors.items()
    }
    given = torch.tensor(x.astype(np.float64), requires_grad=True)
    expected = _torch(given, leaves)
    (expected * torch.tensor(weight)).sum().backward()  # type: ignore[no-untyped-call]

    lens = lens_of(network)
    before = {"x": x.astype(np.float64), **constants(network, tensors)}
    (output,) = network.outputs
    made = lens.get(before)[output]
    asked = lens.put(before, {output: weight.astype(np.float64)})
    runs = Interpreter(network, FloatConstants(network, tensors))
    (single,), _ = runs.run({"x": x[None]}, runs.start())

    wanted = expected.detach().numpy()
    forward = max(np.abs(made - wanted).max(), np.abs(single[0] - wanted).max())
    pairs = [(asked["x"], given.grad)]
    for m in network.matrices:
        pairs += [
            (asked[m.name], leaves[m.source.name].grad),  # type: ignore[union-attr]
            (asked[f"{m.name}/bias"], leaves[m.bias.name].grad),  # type: ignore[union-attr]
        ]
    gradient = 0.0
    for ours, theirs in pairs:
        assert theirs is not None
        there = theirs.numpy()
        gradient = max(gradient, float(np.abs(ours - there).max() / np.abs(there).max()))
    return float(forward), gradient
