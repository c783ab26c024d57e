"""Two losses for the same detector, five seeds each; the trained one as a chip."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from hnlpu.model.policy import make_policy
from studies import _hardwired as hard
from studies._frame import STUDIES, Figures, main
from studies.gru_svm.definition import CLASSES, HIDDEN, Loss, accuracy, exported, train
from studies.gru_svm.flows import FEATURES, FLOWS, flows

MODEL = STUDIES / "gru_svm" / "model"
JUDGED = 10_000
"""Seeds of what is judged begin here; those that are trained on lie below."""
LOSSES: tuple[Loss, ...] = ("svm", "softmax")


def measure(full: bool) -> Figures:
    """All figures."""
    torch.set_num_threads(1)
    seeds, steps, count = (range(5), 800, 4000) if full else (range(1), 8, 200)
    found: dict[str, list[float]] = {}
    for loss in LOSSES:
        found[loss] = []
        for seed in seeds:
            module, _ = train(loss, seed, steps)
            found[loss].append(accuracy(module, JUDGED + seed, count))
            if full and (loss, seed) == ("svm", 0):
                write(module)
    gain = 100 * (np.array(found["svm"]) - np.array(found["softmax"]))
    return {
        "accuracy": found, "seeds": list(seeds), "steps": steps,
        "svm_gain_points": float(gain.mean()), "svm_gain_t": hard.steadiness(gain), **_as_metal(full),
    }  # fmt: skip


def write(module: torch.nn.Module) -> None:
    """The checkpoint of a trained detector, and signals to try it on."""
    MODEL.mkdir(exist_ok=True)
    save_file(exported(module), MODEL / "model.safetensors")
    config = {
        "model_type": "gru_svm", "input_size": FEATURES, "hidden_size": HIDDEN,
        "output_size": CLASSES, "num_hidden_layers": 1, "task": "classify",
    }  # fmt: skip
    (MODEL / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    x, _ = flows(1, JUDGED)
    names = ",".join(f"f{n}" for n in range(FEATURES))
    np.savetxt(
        MODEL / "signals.csv", x[0].reshape(FLOWS, FEATURES), "%.6f", ",", header=names, comments=""
    )


def _as_metal(full: bool) -> dict[str, Any]:
    """The trained detector built: its numerics and, in full, its whole chip."""
    x, y = flows(400 if full else 4, JUDGED + 1)
    with hard.built(MODEL, make_policy(activation_bits=8)) as build:
        floats, chip = (made[:, -1] for made in hard.outputs(MODEL, build, x))
        whole = np.rint(chip * 65536).astype(np.int64)
        first = [row.tolist().index(max(row.tolist())) for row in whole]
        right = [float((made.argmax(-1) == y).mean()) for made in (floats, chip)]
        found: dict[str, Any] = {
            "float_accuracy": right[0], "chip_accuracy": right[1],
            "chip_loss_points": 100 * (right[0] - right[1]),
            "class_is_not_the_largest": int(np.sum(chip.argmax(-1) != first)),
            "rtl_differences": math.nan,  # the short form makes no chip
        }  # fmt: skip
        if full:
            found |= hard.as_chip(build, list(x[:40])) | hard.facts(build, MODEL)
    return found


if __name__ == "__main__":
    main("gru_svm", measure)
