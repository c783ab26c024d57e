"""What a network costs, read from its diagram; and what torch says that it does.

A product is a matrix, or a `dot` in which both sides have an axis that the other lacks: a product of
two matrices.  A `dot` of two vectors, as norms have, is none: profilers do not count it either.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from hnlpu.model.network import Dim, Network, Positions, Shape, Step, ValueType, check, ops

BYTES = 4
"""Of a float32."""


@dataclass(frozen=True)
class Cost:
    """FLOPs, bytes of constants, bytes that products write, and bytes kept at the end."""

    flops: int
    constant_bytes: int
    product_bytes: int
    state_bytes: int


def by_diagram(network: Network, positions: int) -> Cost:
    """The cost of a sequence of so many positions."""
    types = check(network)
    flops = written = 0
    for step in network.steps:
        for position in range(positions):
            step_flops, numbers = _product(network, step, types, position + 1)
            flops, written = flops + step_flops, written + numbers * BYTES
    constants = sum(math.prod(p.shape) for p in network.parameters)
    for m in network.matrices:
        constants += math.prod(m.shape) + (m.count * m.rows if m.bias is not None else 0)
    kept = sum(positions * math.prod(state.shape) for state in network.states)
    return Cost(flops, constants * BYTES, written, kept * BYTES)


def _product(
    network: Network, step: Step, types: Mapping[str, ValueType], so_far: int
) -> tuple[int, int]:
    """FLOPs of a step, and numbers that it makes, where it is a product."""
    shapes = [types[arg].shape for arg in step.args if isinstance(arg, str)]
    match step.op:
        case ops.Project(name):
            matrix = network.declared().matrices[name]
            made = _size(types[step.outs[0]].shape, so_far)
            return 2 * made * matrix.columns, made
        case ops.Dot(axes):
            first, second = axes.partition("->")[0].split(",")
            if not set(first) - set(second) or not set(second) - set(first):
                return 0, 0
            lengths = dict(zip(first + second, [*shapes[0], *shapes[1]], strict=True))
            return 2 * _size(tuple(lengths.values()), so_far), _size(
                types[step.outs[0]].shape, so_far
            )
        case _:
            return 0, 0


def _size(shape: Shape, so_far: int) -> int:
    return math.prod(_length(dim, so_far) for dim in shape)


def _length(dim: Dim, so_far: int) -> int:
    if isinstance(dim, Positions):
        return (so_far if dim.most is None else min(so_far, dim.most)) + dim.more
    return dim


class _Written(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's is untyped
    """Bytes of what torch's products return: those operators whose FLOPs torch counts."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's is untyped
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # torch's own signature
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket in flop_registry:
            self.bytes += out.numel() * out.element_size()
        return out


def by_torch(model: torch.nn.Module, given: torch.Tensor) -> tuple[torch.Tensor, Cost]:
    """The output, and the cost as torch counts it while the model runs."""
    counter, written = FlopCounterMode(display=False), _Written()
    with torch.no_grad(), counter, written:
        output = model(given)
    held = [t for t in model.state_dict().values() if t.is_floating_point()]
    kept = [t for layer in getattr(model, "kept", []) for t in layer]
    constants, states = (sum(t.numel() * t.element_size() for t in ts) for ts in (held, kept))
    return output, Cost(counter.get_total_flops(), constants, written.bytes, states)
