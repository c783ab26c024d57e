"""The spiking network in torch, with surrogate gradients; what `hnlpu.model.families.lif` is held to."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

SLOPE = 25.0
"""Of the surrogate gradient 1 / (slope |u - threshold| + 1)^2 (fast sigmoid)."""


class Spike(torch.autograd.Function):
    """1 where a membrane is above its threshold, else 0; backwards the gradient of a fast sigmoid."""

    @staticmethod
    def forward(ctx: Any, over: Tensor) -> Tensor:
        ctx.save_for_backward(over)
        return (over > 0).to(over.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (over,) = ctx.saved_tensors
        surrogate: Tensor = gradient / (SLOPE * over.abs() + 1.0) ** 2
        return surrogate


class Lif(nn.Module):
    """Layers of leaky integrate-and-fire neurons; outputs [batch, positions, m] of signals [..., n]."""

    def __init__(
        self, inputs: int, hidden: int, outputs: int, layers: int = 1, threshold: float = 1.0,
        reset: Literal["subtract", "zero"] = "subtract", decay: float = 0.9,
    ):  # fmt: skip
        super().__init__()
        sizes = [inputs, *[hidden] * layers, outputs]
        self.linear = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.beta = nn.ParameterList(nn.Parameter(torch.full((n,), decay)) for n in sizes[1:])
        self.threshold, self.reset = threshold, reset

    def forward(self, signals: Tensor) -> Tensor:
        """Membranes of the leaky integrators behind the last layer."""
        return self.run(signals)[0]

    def run(self, signals: Tensor) -> tuple[Tensor, Tensor]:
        """The same, and the share of neurons that fire at a position."""
        membranes = [signals.new_zeros(len(signals), len(beta)) for beta in self.beta]
        outputs, fired = [], []
        for x in signals.unbind(1):
            for n, (linear, beta) in enumerate(zip(self.linear, self.beta, strict=True)):
                u = beta.clamp(0, 1) * membranes[n] + linear(x)
                if n < len(self.beta) - 1:
                    before = (membranes[n] > self.threshold).to(u.dtype)
                    u = (
                        u - self.threshold * before
                        if self.reset == "subtract"
                        else u * (1 - before)
                    )
                    x = Spike.apply(u - self.threshold)  # type: ignore[no-untyped-call]  # torch's
                    fired.append(x.mean())
                membranes[n] = u
            outputs.append(membranes[-1])
        return torch.stack(outputs, 1), torch.stack(fired).mean()
