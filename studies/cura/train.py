"""CURA's block, a multilayer perceptron and an LSTM of as many parameters, trained alike."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from studies._frame import STUDIES
from studies.cura import signals
from studies.cura.definition import Cura

sys.path.append(str(STUDIES.parent / "training"))
from fit import (  # type: ignore[import-not-found]  # training/ is a folder of scripts
    Plan,
    fit,
    quantized,
)
from fit import (
    exported as exported,
)

TAPS, HIDDEN, INNER = 16, 24, 24
LENGTH, BATCH, TRAINING = 48, 32, 1024
SKIPPED = 16
"""Positions at a sequence's beginning that are not judged: nobody has seen enough."""
Make = Callable[[int, int, int], tuple[npt.NDArray[Any], npt.NDArray[Any]]]
TASKS: dict[str, Make] = {"mackey_glass": signals.mackey_glass, "tones": signals.tones}


class Perceptron(nn.Module):
    """Two hidden layers of tanh over the same delay line."""

    def __init__(self, taps: int = TAPS, width: int = 39, outputs: int = 1):
        super().__init__()
        self.taps = taps
        self.layers = nn.Sequential(
            nn.Linear(taps, width),
            nn.Tanh(),
            nn.Linear(width, width),
            nn.Tanh(),
            nn.Linear(width, outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Outputs at every position of signals [batch, positions, 1]."""
        padded = nn.functional.pad(x, (0, 0, self.taps - 1, 0))
        made: Tensor = self.layers(padded.unfold(1, self.taps, 1).flatten(2))
        return made


class Lstm(nn.Module):
    """A long short-term memory and a linear head."""

    def __init__(self, hidden: int = 22, outputs: int = 1):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, batch_first=True)
        self.head = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs at every position of signals [batch, positions, 1]."""
        made: Tensor = self.head(self.lstm(x)[0])
        return made


def cura(outputs: int = 1) -> Cura:
    """The block that is judged."""
    return Cura(1, HIDDEN, INNER, outputs, TAPS)


MODELS: dict[str, Callable[[], nn.Module]] = {"cura": cura, "perceptron": Perceptron, "lstm": Lstm}


def parameters(module: nn.Module) -> int:
    """Numbers that are trained."""
    return sum(p.numel() for p in module.parameters())


def foretell(module: nn.Module, make: Make, seed: int, steps: int) -> list[float]:
    """Train a module to foretell a signal, by the mean absolute error; the loss of every step."""
    x, y = (torch.from_numpy(part) for part in make(TRAINING, LENGTH, seed))

    def batches(step: int) -> tuple[Tensor, Tensor]:
        at = np.random.default_rng([seed, step]).integers(0, TRAINING, BATCH)
        return x[at], y[at]

    def loss(outputs: Tensor, wanted: Tensor) -> Tensor:
        return (outputs - wanted)[:, SKIPPED:].abs().mean()

    history: list[float] = fit(module, batches, loss, Plan(steps=steps, muon_lr=0.005))
    return history


def error(module: nn.Module, make: Make, count: int, seed: int) -> float:
    """Mean absolute error on signals of another seed, with the weights on the grid."""
    x, y = make(count, LENGTH, seed)
    with torch.no_grad():
        made = torch.func.functional_call(module, quantized(module), (torch.from_numpy(x),)).numpy()
    return float(np.abs(made - y)[:, SKIPPED:].mean())


def tell_apart(seed: int, steps: int) -> Cura:
    """The block trained to tell four kinds of waves apart."""
    torch.manual_seed(seed)
    module = cura(len(signals.WAVES))
    x, y = (torch.from_numpy(part) for part in signals.waves(4 * TRAINING, LENGTH, seed))

    def batches(step: int) -> tuple[Tensor, Tensor]:
        at = np.random.default_rng([seed, step]).integers(0, len(x), 64)
        return x[at], y[at]

    def loss(outputs: Tensor, wanted: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs[:, -1], wanted)

    fit(module, batches, loss, Plan(steps=steps, muon_lr=0.005))
    return module
