"""The block beside a perceptron and an LSTM of as many parameters; the trained one as metal and as a chip."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from hnlpu.model.policy import make_policy
from studies import _hardwired as hard
from studies._frame import STUDIES, Figures, main
from studies.cura import signals
from studies.cura.train import (
    HIDDEN,
    INNER,
    LENGTH,
    MODELS,
    SKIPPED,
    TAPS,
    TASKS,
    error,
    exported,
    foretell,
    parameters,
    tell_apart,
)

MODEL = STUDIES / "cura" / "model"
JUDGED = 10_000
"""Seeds of what is judged begin here; those that are trained on lie below."""


def measure(full: bool) -> Figures:
    """All figures."""
    torch.set_num_threads(1)
    seeds, steps = (range(5), 2000) if full else (range(1), 60)
    sizes = {name: parameters(make()) for name, make in MODELS.items()}
    errors: dict[str, Any] = {task: {} for task in TASKS}
    for task, make in TASKS.items():
        for name, fresh in MODELS.items():
            of = []
            for seed in seeds:
                torch.manual_seed(seed)
                module = fresh()
                foretell(module, make, seed, steps)
                of.append(error(module, make, 256, JUDGED + seed))
                if full and (task, name, seed) == ("mackey_glass", "cura", 0):
                    write(module)
            errors[task][name] = of
    told = tell_apart(0, steps)
    x, kinds = signals.waves(1000, LENGTH, JUDGED)
    with torch.no_grad():
        answers = told(torch.from_numpy(x))[:, -1].argmax(-1).numpy()
    figures: dict[str, Any] = {
        "parameters": sizes, "errors": errors, "seeds": list(seeds), "steps": steps,
        "parameter_spread": max(abs(n / sizes["cura"] - 1) for n in sizes.values()),
        "waves_f1": hard.f1(answers, kinds),
    }  # fmt: skip
    for task in TASKS:
        figures |= _compared(task, errors[task])
    return figures | _as_metal(full)


def _compared(task: str, errors: dict[str, list[float]]) -> dict[str, float]:
    """The block against the baseline of the lower mean error."""
    block = np.array(errors["cura"])
    other = min(
        (np.array(errors[name]) for name in ("perceptron", "lstm")), key=lambda e: float(e.mean())
    )
    return {
        f"{task}_gain": float(other.mean() / block.mean()), f"{task}_t": hard.steadiness(other - block),
    }  # fmt: skip


def write(module: torch.nn.Module) -> None:
    """The checkpoint of a trained block."""
    MODEL.mkdir(exist_ok=True)
    save_file(exported(module), MODEL / "model.safetensors")
    config = {
        "model_type": "cura", "input_size": 1, "hidden_size": HIDDEN, "inner_size": INNER,
        "output_size": 1, "taps": TAPS, "num_hidden_layers": 1, "task": "stream",
    }  # fmt: skip
    (MODEL / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    x, _ = signals.mackey_glass(1, LENGTH, JUDGED)
    np.savetxt(MODEL / "signals.csv", x[0], "%.6f", ",", header="x", comments="")


def _as_metal(full: bool) -> dict[str, Any]:
    """The trained block built: its numerics and, in full, its masks in sky130 and its whole chip."""
    x, y = signals.mackey_glass(32 if full else 2, LENGTH, JUDGED + 1)
    with hard.built(MODEL, make_policy(activation_bits=8)) as build:
        float_error, chip_error = (
            float(np.abs(made - y)[:, SKIPPED:].mean()) for made in hard.outputs(MODEL, build, x)
        )
        found: dict[str, Any] = {
            "float_mae": float_error, "chip_mae": chip_error, "chip_mae_loss": chip_error / float_error - 1,
        }  # fmt: skip
        if full:
            found |= hard.as_chip(build, list(x[:8]))
            found |= hard.facts(build, Path(MODEL))
    found.setdefault("rtl_differences", math.nan)  # the short form makes no chip and no masks
    found["unsound_masks"] = hard.unsound_masks(MODEL, "sky130") if full else math.nan
    return found


if __name__ == "__main__":
    main("cura", measure)
