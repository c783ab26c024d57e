"""The spiking network and a perceptron of summed events, trained alike on digits that an eye moves over."""

from __future__ import annotations

import sys

import numpy as np
import torch
from torch import Tensor, nn

from studies._frame import STUDIES
from studies.lif.definition import Lif
from studies.lif.events import CLASSES, LINES, events, split

sys.path.append(str(STUDIES.parent / "training"))
from fit import (  # type: ignore[import-not-found]  # training/ is a folder of scripts
    Plan,
    exported,
    fit,
    quantized,
)

HIDDEN, BATCH = 64, 64


class Summed(nn.Module):
    """A perceptron of as many hidden neurons that sees how often each line fired."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(LINES, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES))

    def forward(self, signals: Tensor) -> Tensor:
        """Scores [batch, 1, classes]."""
        made: Tensor = self.layers(signals.sum(1, keepdim=True))
        return made


def spiking() -> Lif:
    """The network that is judged."""
    return Lif(LINES, HIDDEN, CLASSES)


def learn(module: nn.Module, seed: int, steps: int) -> list[float]:
    """Train a module to tell digits; every step draws new paths.  The loss of every step."""
    numbers, _ = split()

    def batches(step: int) -> tuple[Tensor, Tensor]:
        chosen = np.random.default_rng([seed, step]).choice(numbers, BATCH)
        x, y = events(chosen, seed * 100_000 + step)
        return torch.from_numpy(x), torch.from_numpy(y)

    def loss(outputs: Tensor, wanted: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs[:, -1], wanted)

    history: list[float] = fit(module, batches, loss, Plan(steps=steps, muon_lr=0.005))
    return history


def accuracy(module: nn.Module, seed: int) -> float:
    """Share of the judged digits that are told, with the weights on the grid."""
    x, y = events(split()[1], seed)
    with torch.no_grad():
        made = torch.func.functional_call(module, quantized(module), (torch.from_numpy(x),))
    return float((made[:, -1].argmax(-1).numpy() == y).mean())


__all__ = ["HIDDEN", "Summed", "accuracy", "exported", "learn", "quantized", "spiking"]
