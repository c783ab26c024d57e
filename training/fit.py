"""One loop for networks of signals: a module, batches and a loss become trained weights.

    fit(module, batches, loss, plan, state) ──► history        resumes from `state` after a kill

Muon drives the matrices, AdamW everything else.  The learning rate warms up, stays, and falls linearly to
zero over the second half of the run.  From `Plan.quantize_from` on, the matrices of `module.quantized` are on
the MXFP4 grid (gradients straight through), so that what is exported is what was trained.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from model import BLOCK, FakeQuantize, mxfp4_grid

SAVED_EVERY_S = 30
Batches = Callable[[int], tuple[Tensor, Tensor]]
"""From the step's number to signals and labels; the same for the same number."""


@dataclass(frozen=True)
class Plan:
    """How long and how fast: steps, learning rates, the step from which the weights are on the grid."""

    steps: int = 600
    muon_lr: float = 0.02
    adamw_lr: float = 0.004
    weight_decay: float = 0.01
    warmup_steps: int = 20
    decay_from: float = 0.5
    quantize_from: float = 0.6
    clip: float = 1.0


def on_grid(weight: Tensor) -> Tensor:
    """A matrix [rows, columns] on the MXFP4 grid, zeros behind the last column where a block is not full."""
    missing = -weight.shape[-1] % BLOCK
    padded = nn.functional.pad(weight, (0, missing))
    return mxfp4_grid(padded)[..., : weight.shape[-1]]


def straight_through(weight: Tensor) -> Tensor:
    """The same with the gradient of the weight itself."""
    missing = -weight.shape[-1] % BLOCK
    padded = nn.functional.pad(weight, (0, missing))
    made: Tensor = FakeQuantize.apply(padded)
    return made.float()[..., : weight.shape[-1]]


def quantized(module: nn.Module) -> dict[str, Tensor]:
    """The parameters of a module, its matrices on the grid: what `functional_call` runs it with."""
    return {
        name: straight_through(value) if value.ndim == 2 else value
        for name, value in module.named_parameters()
    }


def drivers(module: nn.Module, plan: Plan) -> list[torch.optim.Optimizer]:
    """Muon for matrices, AdamW for the rest."""
    named = list(module.parameters())
    matrices = [p for p in named if p.ndim == 2]
    rest = [p for p in named if p.ndim != 2]
    found: list[torch.optim.Optimizer] = []
    if matrices:
        muon = torch.optim.Muon(
            matrices, lr=plan.muon_lr, weight_decay=plan.weight_decay, momentum=0.95,
            adjust_lr_fn="match_rms_adamw",
        )  # fmt: skip
        found.append(muon)
    if rest:
        found.append(torch.optim.AdamW(rest, lr=plan.adamw_lr, betas=(0.9, 0.95), weight_decay=0.0))
    for optimizer in found:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return found


def fit(
    module: nn.Module,
    batches: Batches,
    loss: Callable[[Tensor, Tensor], Tensor],
    plan: Plan,
    state: Path | None = None,
) -> list[float]:
    """Train `module` in place; the loss of every step.

    `loss` takes outputs and labels.  With `state`, progress is kept in that file and taken up from it.
    Raises SystemExit for a loss that is no number, and for a state of another plan.
    """
    optimizers = drivers(module, plan)
    step, history = 0, list[float]()
    if state is not None and state.exists():
        kept = torch.load(state, weights_only=True)
        if kept["plan"] != asdict(plan):
            raise SystemExit(f"{state}: trained by another plan; remove it")
        module.load_state_dict(kept["module"])
        for optimizer, saved in zip(optimizers, kept["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        step, history = kept["step"], kept["history"]
    last = time.monotonic()
    while step < plan.steps:
        progress = step / plan.steps
        for optimizer in optimizers:
            optimizer.zero_grad()
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * _rate(step, progress, plan)
        signals, labels = batches(step)
        weights = quantized(module) if progress >= plan.quantize_from else {}
        value = loss(torch.func.functional_call(module, weights, (signals,)), labels)
        if not math.isfinite(value.item()):
            raise SystemExit(f"loss is {value.item()} at step {step}: lower the learning rate")
        value.backward()
        nn.utils.clip_grad_norm_(module.parameters(), plan.clip)
        for optimizer in optimizers:
            optimizer.step()
        history.append(round(value.item(), 5))
        step += 1
        if state is not None and time.monotonic() - last > SAVED_EVERY_S:
            last = time.monotonic()
            _save(state, module, optimizers, plan, step, history)
    if state is not None:
        _save(state, module, optimizers, plan, step, history)
    return history


def _rate(step: int, progress: float, plan: Plan) -> float:
    warmup = min(1.0, (step + 1) / plan.warmup_steps)
    return warmup * min(1.0, (1 - progress) / (1 - plan.decay_from))


def _save(
    state: Path, module: nn.Module, optimizers: list[torch.optim.Optimizer], plan: Plan, step: int,
    history: list[float],
) -> None:  # fmt: skip
    temporary = state.with_suffix(".part")
    torch.save(
        {
            "module": module.state_dict(), "optimizers": [o.state_dict() for o in optimizers],
            "plan": asdict(plan), "step": step, "history": history,
        },
        temporary,
    )  # fmt: skip
    temporary.replace(state)


def exported(module: nn.Module) -> dict[str, Tensor]:
    """The tensors of a checkpoint: matrices on the grid, all in float32."""
    return {
        name: (on_grid(value) if value.ndim == 2 else value).detach().float().contiguous()
        for name, value in module.state_dict().items()
    }
