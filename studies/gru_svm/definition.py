"""The detector in torch, trained with either loss; what `hnlpu.model.families.gru_svm` is held to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from studies._frame import STUDIES
from studies.gru_svm.flows import FEATURES, flows

sys.path.append(str(STUDIES.parent / "training"))
from fit import (  # type: ignore[import-not-found]  # training/ is a folder of scripts
    Plan,
    exported,
    fit,
    quantized,
)

HIDDEN, CLASSES = 32, 2
Loss = Literal["svm", "softmax"]
BATCH = 128
TRAINING = 32768
"""Sequences that are trained on; those that are judged have other seeds."""


class GruSvm(nn.Module):
    """A GRU and a linear head; scores [batch, positions, classes] of signals [batch, positions, n]."""

    def __init__(
        self, inputs: int = FEATURES, hidden: int = HIDDEN, classes: int = CLASSES, layers: int = 1
    ):
        super().__init__()
        self.gru = nn.GRU(inputs, hidden, layers, batch_first=True)
        self.svm = nn.Linear(hidden, classes)

    def forward(self, signals: Tensor) -> Tensor:
        """Scores at every position."""
        scores: Tensor = self.svm(self.gru(signals)[0])
        return scores


def margin(scores: Tensor, labels: Tensor) -> Tensor:
    """The squared hinge loss of one class against the rest (L2-SVM), of the scores at the last position."""
    signs = 2.0 * nn.functional.one_hot(labels, scores.shape[-1]) - 1.0
    return torch.relu(1.0 - signs * scores[:, -1]).square().sum(-1).mean()


def cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """The loss of a softmax, of the scores at the last position."""
    return nn.functional.cross_entropy(scores[:, -1], labels)


def train(
    loss: Loss, seed: int, steps: int, state: Path | None = None
) -> tuple[GruSvm, list[float]]:
    """A detector trained by a loss on flows of `seed`; both losses start from the same weights."""
    torch.manual_seed(seed)
    module = GruSvm()
    count = min(TRAINING, steps * BATCH)  # a short run meets no more
    x, y = (torch.from_numpy(part) for part in flows(count, seed))

    def batches(step: int) -> tuple[Tensor, Tensor]:
        at = np.random.default_rng([seed, step]).integers(0, count, BATCH)
        return x[at], y[at]

    by: Any = margin if loss == "svm" else cross_entropy
    return module, fit(module, batches, by, Plan(steps=steps), state)


def accuracy(module: nn.Module, seed: int, count: int) -> float:
    """Share of flows of a seed that are told right, by the weights on the grid."""
    x, y = flows(count, seed)
    with torch.no_grad():
        scores = torch.func.functional_call(module, quantized(module), (torch.from_numpy(x),))
    return float((scores[:, -1].argmax(-1).numpy() == y).mean())


__all__ = [
    "CLASSES",
    "HIDDEN",
    "GruSvm",
    "accuracy",
    "cross_entropy",
    "exported",
    "margin",
    "train",
]
