"""Residual gated blocks over a delay line in torch; what `hnlpu.model.families.cura` is held to."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Gated(nn.Module):
    """out(tanh(value(x)) * sigmoid(gate(x)))."""

    def __init__(self, width: int, inner: int):
        super().__init__()
        self.value = nn.Linear(width, inner)
        self.gate = nn.Linear(width, inner)
        self.out = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] of [..., width]."""
        made: Tensor = self.out(torch.tanh(self.value(x)) * torch.sigmoid(self.gate(x)))
        return made


class Cura(nn.Module):
    """Outputs [batch, positions, m] of signals [batch, positions, n]."""

    def __init__(
        self, inputs: int, hidden: int, inner: int, outputs: int, taps: int, blocks: int = 1
    ):
        super().__init__()
        self.taps = taps
        self.stem = nn.Linear(taps * inputs, hidden)
        self.blocks = nn.ModuleList(Gated(hidden, inner) for _ in range(blocks))
        self.head = nn.Linear(hidden, outputs)

    def forward(self, signals: Tensor) -> Tensor:
        """Outputs at every position, each of the last `taps` positions."""
        padded = nn.functional.pad(signals, (0, 0, self.taps - 1, 0))
        lines = padded.unfold(1, self.taps, 1).transpose(2, 3).flatten(2)  # oldest first
        x = self.stem(lines)
        for block in self.blocks:
            x = x + block(x)
        outputs: Tensor = self.head(x)
        return outputs
