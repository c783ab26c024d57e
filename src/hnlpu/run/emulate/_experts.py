"""The mixture of experts: every token through the experts that its router prefers.

    h ─► router ─► route ─► rows sorted by expert ─► gate_up ─► swiglu ─► down ─► mix ─► x

Each step handles all experts as one piece of work; a row's bits depend on no
other row.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from hnlpu.run.emulate._unit import Number, VectorUnit
from hnlpu.run.emulate._weights import Activations, Weights

Int64 = npt.NDArray[np.int64]
Number_contra = TypeVar("Number_contra", np.float32, np.int64, contravariant=True)


class Beside(Protocol[Number_contra]):
    """What runs beside the wires of a block: adds to what matrices give, in place.

    Entry e is token `tokens`[e] through expert `experts`[e].
    """

    def router(self, logits: npt.NDArray[Number_contra]) -> None:
        """Add to the router's logits [tokens, experts]."""
        ...

    def gate_up(self, y: npt.NDArray[Number_contra], tokens: Int64, experts: Int64) -> None:
        """Add to the experts' first outputs [entries, 2 n]."""
        ...

    def down(
        self,
        y: npt.NDArray[Number_contra],
        gated: npt.NDArray[Number_contra],
        tokens: Int64,
        experts: Int64,
    ) -> None:
        """Add to their last outputs [entries, hidden], whose inputs are `gated` [entries, n]."""
        ...


def mixture_of_experts(
    weights: Weights[Number],
    unit: VectorUnit[Number],
    prefix: str,
    x: npt.NDArray[Number],
    h: Activations,
    beside: Beside[Number] | None = None,
) -> Int64:
    """Add the experts' outputs for activations `h` to `x` [tokens, hidden], in place.

    `prefix` names the layer's block, as in "model.layers.0.mlp."; `beside` adds to
    its matrices' outputs.  Returns the
    experts that each token went through: [tokens, active], best first.
    """
    logits = weights.project(prefix + "router", h)
    if beside is not None:
        beside.router(logits)
    chosen, shares = unit.route(logits)
    flat = chosen.ravel()
    order = np.argsort(flat, kind="stable")
    experts, starts = np.unique(flat[order], return_index=True)
    pieces = list(zip(experts.tolist(), starts.tolist(), strict=True))
    tokens = order // chosen.shape[1]
    gate_up = weights.project_experts(prefix + "experts.gate_up_proj", h.take(tokens), pieces)
    if beside is not None:
        beside.gate_up(gate_up, tokens, flat[order])
    gated = unit.swiglu(gate_up)
    down = weights.project_experts(prefix + "experts.down_proj", weights.prepare(gated), pieces)
    if beside is not None:
        beside.down(down, gated, tokens, flat[order])
    outputs = np.empty_like(down)
    outputs[order] = down
    unit.mix(x, outputs.reshape(*chosen.shape, -1), shares)
    return chosen
