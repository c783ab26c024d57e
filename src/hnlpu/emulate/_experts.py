"""The mixture of experts: every token through the experts that its router prefers.

    h ─► router ─► route ─► rows sorted by expert ─► gate_up ─► swiglu ─► down ─► mix ─► x

Each step handles all experts as one piece of work; a row's bits depend on no
other row.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hnlpu.checkpoint import Architecture
from hnlpu.emulate import _vector_unit as vector_unit
from hnlpu.emulate._weights import Activations, Weights

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


def mixture_of_experts(weights: Weights, prefix: str, x: Float32, h: Activations) -> Int64:
    """Add the experts' outputs for activations `h` to `x` [tokens, hidden], in place.

    `prefix` names the layer's block, as in "model.layers.0.mlp.".  Returns the
    experts that each token went through: [tokens, active], best first.
    """
    a: Architecture = weights.architecture
    logits = weights.project(prefix + "router", h)
    chosen, shares = vector_unit.route(logits, a.num_experts_per_tok)
    flat = chosen.ravel()
    order = np.argsort(flat, kind="stable")
    experts, starts = np.unique(flat[order], return_index=True)
    pieces = list(zip(experts.tolist(), starts.tolist(), strict=True))
    inner = h.take(order // a.num_experts_per_tok)
    gate_up = weights.project_experts(prefix + "experts.gate_up_proj", inner, pieces)
    gated = weights.prepare(vector_unit.swiglu(gate_up, a.swiglu_alpha, a.swiglu_limit))
    down = weights.project_experts(prefix + "experts.down_proj", gated, pieces)
    outputs = np.empty_like(down)
    outputs[order] = down
    vector_unit.mix(x, outputs.reshape(*chosen.shape, a.hidden_size), shares)
    return chosen
