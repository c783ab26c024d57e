"""All layers of a transformer on a device, and the unembedding: tensors in, tensors out.

    tokens ─► embed ─► [ norm ─► qkv ─► attend ─► o ─► +
                         norm ─► router ─► experts ─► mix ─► + ] x layers ─► norm ─► unembed

Nothing here waits for the device, so that a whole pass can be recorded once as
a graph and played again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from hnlpu.run.kernels._numbers import Numbers
from hnlpu.run.kernels.gpu import _vector_unit as vector_unit
from hnlpu.run.kernels.gpu._attention import Places, attend
from hnlpu.run.kernels.gpu._project import GpuStack, gpu_project, meet_experts, meet_one


@dataclass(frozen=True)
class GpuLayer:
    """One layer: its matrices, those of q, k and v below each other, its norms, sinks and window.

    Attention sees the last `window` positions, 0: all.
    """

    qkv: GpuStack
    o: GpuStack
    router: GpuStack
    gate_up: GpuStack
    down: GpuStack
    norm: torch.Tensor
    norm_after: torch.Tensor
    sinks: torch.Tensor
    window: int


@dataclass(frozen=True)
class GpuModel:
    """A whole model: `embedding` [vocabulary, hidden], layers, final norm, unembedding."""

    embedding: torch.Tensor
    layers: Sequence[GpuLayer]
    final_norm: torch.Tensor
    unembedding: GpuStack
    numbers: Numbers

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        return self.embedding.device


@dataclass(frozen=True)
class Cache:
    """Pages of all layers: `keys` [layers, pages, kv heads, d, slots], `values` [..., slots, d]."""

    keys: torch.Tensor
    values: torch.Tensor


@dataclass(frozen=True)
class Inputs:
    """Rows to run: `tokens` int64 [rows], their places, and `cos` and `sin` [rows, d / 2]."""

    tokens: torch.Tensor
    places: Places
    cos: torch.Tensor
    sin: torch.Tensor


@dataclass(frozen=True)
class Outputs:
    """Normalised `hidden` [rows, n], the experts that `fired` [layers, rows, active].

    `infinite` [rows] is true for a row with an activation that is not finite.
    """

    hidden: torch.Tensor
    fired: torch.Tensor
    infinite: torch.Tensor


def run_layers(model: GpuModel, cache: Cache, inputs: Inputs) -> Outputs:
    """Run rows through all layers; `cache` takes in their keys and values."""
    n, rows, device = model.numbers, len(inputs.tokens), model.device
    bits, active = n.activation_bits, n.active
    infinite = torch.zeros(rows, dtype=torch.int32, device=device)
    inner_infinite = torch.zeros(rows * active, dtype=torch.int32, device=device)
    x = model.embedding[inputs.tokens].to(torch.float32)
    one = meet_one(rows, device)
    fired = []
    for layer, keys, values in zip(model.layers, cache.keys, cache.values, strict=True):
        _, h = vector_unit.norm(x, layer.norm, n.eps, bits, infinite)
        mixed = attend(
            gpu_project(layer.qkv, h, one), inputs.cos, inputs.sin, keys, values, inputs.places,
            layer.window, layer.sinks,
        )  # fmt: skip
        y = gpu_project(layer.o, vector_unit.quantize(mixed, bits, infinite), one)
        _, h = vector_unit.norm(x, layer.norm_after, n.eps, bits, infinite, more=y)
        chosen, shares = vector_unit.route(gpu_project(layer.router, h, one), active)
        meeting = meet_experts(chosen, len(layer.down.row_exponents))
        gate_up = gpu_project(layer.gate_up, h, meeting)
        gated = vector_unit.swiglu(gate_up, n.gain, n.limit, bits, inner_infinite)
        vector_unit.mix(x, gpu_project(layer.down, gated, meeting.one_each()), shares)
        fired.append(chosen)
    hidden, _ = vector_unit.norm(x, model.final_norm, n.eps, bits, infinite)
    bad = (infinite > 0) | (inner_infinite.reshape(rows, active) > 0).any(1)
    return Outputs(hidden, torch.stack(fired), bad)


def unembed(model: GpuModel, hidden: torch.Tensor) -> torch.Tensor:
    """Logits [rows, vocabulary] of hidden states [rows, n]; not finite where they are not."""
    infinite = torch.zeros(len(hidden), dtype=torch.int32, device=model.device)
    h = vector_unit.quantize(hidden, model.numbers.activation_bits, infinite)
    logits = gpu_project(model.unembedding, h, meet_one(len(hidden), model.device))
    return torch.where(infinite[:, None] > 0, torch.nan, logits)
