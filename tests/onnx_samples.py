"""Small networks as a user's script exports them from torch to ONNX, one position at a time."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn


class Recurrent(nn.Module):
    """A GRU or an LSTM, its state in and out by name."""

    def __init__(self, of: type[nn.RNNBase]):
        super().__init__()
        self.rnn = of(5, 12)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        y, after = self.rnn(x, states if len(states) > 1 else states[0])
        return (self.head(y), *(after if isinstance(after, tuple) else (after,)))


class Mixer(nn.Module):
    """A block of an MLP-Mixer: along the places, then along the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.places, self.channels = nn.Linear(6, 6), nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x + torch.tanh(self.places(self.norm(x).transpose(1, 2))).transpose(1, 2)
        return self.head((x + torch.sigmoid(self.channels(self.norm(x)))).mean(1))


class Encoder(nn.Module):
    """A layer of torch's transformer encoder over six places."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x).mean(1))


def _mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 3))


def _cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.LeakyReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 6, (2, 3), stride=(1, 2)), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(6, 3),
    )  # fmt: skip


NETWORKS = {
    "gru": (lambda: Recurrent(nn.GRU), {"x": (1, 1, 5), "h": (1, 1, 12)}),
    "lstm": (lambda: Recurrent(nn.LSTM), {"x": (1, 1, 5), "h": (1, 1, 12), "c": (1, 1, 12)}),
    "mlp": (_mlp, {"x": (1, 5)}),
    "cnn": (_cnn, {"x": (1, 2, 8, 9)}),
    "mixer": (Mixer, {"x": (1, 6, 8)}),
    "encoder": (Encoder, {"x": (1, 6, 8)}),
}


@dataclass(frozen=True)
class Exported:
    """A network in torch and its file; `inputs` are shapes by name, states behind the first."""

    module: nn.Module
    inputs: dict[str, tuple[int, ...]]
    file: Path

    def signals(self, count: int, seed: int = 0) -> np.ndarray:
        """Signals [count, ...] without the axis of sequences."""
        shape = tuple(dim for n, dim in enumerate(self.inputs["x"]) if n or dim != 1)
        shape = shape[1:] if len(self.inputs) > 1 else shape
        return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)

    def outputs(self, signals: np.ndarray) -> np.ndarray:
        """What torch says [count, m], position by position."""
        states = [torch.zeros(shape) for name, shape in self.inputs.items() if name != "x"]
        rows = []
        with torch.no_grad():
            for one in signals:
                made = self.module(torch.tensor(one).reshape(self.inputs["x"]), *states)
                first, *states = made if isinstance(made, tuple) else (made,)
                rows.append(first.numpy().ravel())
        return np.array(rows)


def exported(name: str, folder: Path, **told: str) -> Exported:
    """A random network exported; `told` is metadata of ours."""
    torch.manual_seed(7)
    make, inputs = NETWORKS[name]
    module = make().eval()
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2.0)
    file = folder / f"{name}.onnx"
    outs = ["y", *(f"{state}_out" for state in list(inputs)[1:])]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zeros = tuple(torch.zeros(shape) for shape in inputs.values())
        torch.onnx.export(
            module, zeros, str(file), input_names=list(inputs), output_names=outs, dynamo=False,
            opset_version=17,
        )  # fmt: skip
    if told:
        model = onnx.load(str(file))
        onnx.helper.set_model_props(model, {f"hnlpu.{key}": text for key, text in told.items()})
        onnx.save(model, str(file))
    return Exported(module, inputs, file)
