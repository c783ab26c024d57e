"""The mixture of experts: every token through the experts that its router prefers.

    h ─► router ─► route ─► rows sorted by expert ─► gate_up ─► swiglu ─► down ─► mix ─► x

Each step handles all experts as one piece of work; a row's bits depend on no
other row.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hnlpu.run.emulate._unit import Number, VectorUnit
from hnlpu.run.emulate._weights import Activations, Weights

Int64 = npt.NDArray[np.int64]


def mixture_of_experts(
    weights: Weights[Number],
    unit: VectorUnit[Number],
    prefix: str,
    x: npt.NDArray[Number],
    h: Activations,
) -> Int64:
    """Add the experts' outputs for activations `h` to `x` [tokens, hidden], in place.

    `prefix` names the layer's block, as in "model.layers.0.mlp.".  Returns the experts that each
    token went through: [tokens, active], best first.
    """
    logits = weights.project(prefix + "router", h)
    chosen, shares = unit.route(logits)
    flat = chosen.ravel()
    order = np.argsort(flat, kind="stable")
    experts, starts = np.unique(flat[order], return_index=True)
    pieces = list(zip(experts.tolist(), starts.tolist(), strict=True))
    tokens = order // chosen.shape[1]
    gate_up = weights.project_experts(prefix + "experts.gate_up_proj", h.take(tokens), pieces)
    gated = unit.swiglu(gate_up)
    down = weights.project_experts(prefix + "experts.down_proj", weights.prepare(gated), pieces)
    outputs = np.empty_like(down)
    outputs[order] = down
    unit.mix(x, outputs.reshape(*chosen.shape, -1), shares)
    return chosen
