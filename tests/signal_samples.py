"""Random small networks of signals, each beside torch's own modules, and their builds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

import hnlpu
from studies.cura.definition import Cura
from studies.gru_svm.definition import GruSvm
from studies.lif.definition import Lif

Array = np.ndarray


@dataclass(frozen=True)
class SignalSample:
    """A network: its config.json, its tensors, and what torch says of signals [positions, n]."""

    config: dict[str, Any]
    tensors: dict[str, Array]
    outputs: Callable[[Array], Array]

    def signals(self, count: int, seed: int = 0) -> Array:
        """Signals [count, n] for it."""
        random = np.random.default_rng(seed)
        found = random.normal(size=(count, self.config["input_size"])).astype(np.float32)
        return (found > 0.5).astype(np.float32) if self.config["model_type"] in EVENTS else found


def _gru_svm(seed: int) -> tuple[dict[str, Any], torch.nn.Module]:
    random = np.random.default_rng(seed)
    c = {
        "model_type": "gru_svm", "input_size": int(random.integers(3, 40)),
        "hidden_size": int(random.integers(5, 41)), "output_size": int(random.integers(2, 6)),
        "num_hidden_layers": int(random.integers(1, 3)), "task": "classify",
    }  # fmt: skip
    sizes = (c["input_size"], c["hidden_size"], c["output_size"], c["num_hidden_layers"])
    return c, GruSvm(*sizes)


def _lif(seed: int) -> tuple[dict[str, Any], torch.nn.Module]:
    random = np.random.default_rng(seed)
    c = {
        "model_type": "lif", "input_size": int(random.integers(3, 40)),
        "hidden_size": int(random.integers(5, 41)), "output_size": int(random.integers(2, 6)),
        "num_hidden_layers": int(random.integers(1, 3)), "task": "classify",
        "reset": ("subtract", "zero")[seed % 2], "threshold": (1.0, 0.75)[seed % 2],
    }  # fmt: skip
    sizes = (c["input_size"], c["hidden_size"], c["output_size"], c["num_hidden_layers"])
    module = Lif(*sizes, threshold=c["threshold"], reset=c["reset"])
    for beta in module.beta:
        torch.nn.init.uniform_(beta, 0.5, 1.0)
    for linear in module.linear:
        torch.nn.init.normal_(linear.weight, std=1.0)
    return c, module


def _cura(seed: int) -> tuple[dict[str, Any], torch.nn.Module]:
    random = np.random.default_rng(seed)
    c = {
        "model_type": "cura", "input_size": int(random.integers(1, 5)), "taps": int(random.integers(1, 9)),
        "hidden_size": int(random.integers(5, 41)), "inner_size": int(random.integers(5, 41)),
        "output_size": int(random.integers(1, 4)), "num_hidden_layers": int(random.integers(1, 3)),
        "task": "stream",
    }  # fmt: skip
    names = ("input_size", "hidden_size", "inner_size", "output_size", "taps", "num_hidden_layers")
    return c, Cura(*(c[name] for name in names))


MAKERS = {"cura": _cura, "gru_svm": _gru_svm, "lif": _lif}
EVENTS = {"lif"}
"""Families whose signals are 0 and 1."""


def signal_sample(family: str, seed: int) -> SignalSample:
    """A random network of a family; seeds vary its sizes."""
    torch.manual_seed(seed)
    config, module = MAKERS[family](seed)
    tensors = {name: np.asarray(x.detach()) for name, x in module.state_dict().items()}

    def outputs(signals: Array) -> Array:
        with torch.no_grad():
            return np.asarray(module(torch.tensor(signals)[None])[0])

    return SignalSample(config, tensors, outputs)


def write_signal_sample(of: SignalSample, folder: Path) -> Path:
    """A sample as a checkpoint folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(of.config))
    save_file(of.tensors, folder / "model.safetensors")
    return folder


@dataclass(frozen=True)
class MadeSignals:
    """A sample, its checkpoint and its build."""

    sample: SignalSample
    checkpoint: Path
    build: Path


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory()


@cache
def made_signals(family: str) -> MadeSignals:
    """All of a family, made once, not to be altered."""
    folder = Path(_folder().name) / family
    found = signal_sample(family, 1)
    checkpoint = write_signal_sample(found, folder / "checkpoint")
    return MadeSignals(found, checkpoint, hnlpu.build(checkpoint, folder / "build", workers=1))
