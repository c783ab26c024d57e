"""A spiking network beside a perceptron of summed events, five seeds each; the trained one as a chip."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from hnlpu.model.policy import make_policy
from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.rtl import find_units
from studies import _hardwired as hard
from studies._frame import STUDIES, Figures, main
from studies.lif.definition import Lif
from studies.lif.events import CLASSES, LINES, events, split
from studies.lif.train import HIDDEN, Summed, accuracy, exported, learn, quantized, spiking

MODEL = STUDIES / "lif" / "model"
JUDGED = 10_000_000
"""Seeds of the paths that are judged begin here; the judged digits are others than those trained on."""


def measure(full: bool) -> Figures:
    """All figures."""
    torch.set_num_threads(1)
    seeds, steps = (range(5), 600) if full else (range(1), 6)
    makes: dict[str, Callable[[], nn.Module]] = {"spiking": spiking, "summed": Summed}
    found: dict[str, list[float]] = {name: [] for name in makes}
    fired = []
    for name, make in makes.items():
        for seed in seeds:
            torch.manual_seed(seed)
            module = make()
            learn(module, seed, steps)
            found[name].append(accuracy(module, JUDGED + seed))
            if name == "spiking":
                assert isinstance(module, Lif)
                fired.append(_fired(module, JUDGED + seed))
                if full and seed == 0:
                    write(module)
    gain = 100 * (np.array(found["spiking"]) - np.array(found["summed"]))
    return {
        "accuracy": found, "seeds": list(seeds), "steps": steps, "firing_share": float(np.mean(fired)),
        "gain_points": float(gain.mean()), "gain_t": hard.steadiness(gain), **_as_metal(full),
    }  # fmt: skip


def _fired(module: Lif, seed: int) -> float:
    """The share of hidden neurons that fire at a position, with the weights on the grid."""
    x, _ = events(split()[1], seed)
    with torch.no_grad():
        weights = quantized(module)
        for name, value in module.named_parameters():
            value.copy_(weights[name])
        return float(module.run(torch.from_numpy(x))[1])


def write(module: nn.Module) -> None:
    """The checkpoint of a trained network, and events to try it on."""
    MODEL.mkdir(exist_ok=True)
    tensors = exported(module)
    tensors = {n: x.clamp(0, 1) if n.startswith("beta") else x for n, x in tensors.items()}
    save_file(tensors, MODEL / "model.safetensors")
    config = {
        "model_type": "lif", "input_size": LINES, "hidden_size": HIDDEN, "output_size": CLASSES,
        "num_hidden_layers": 1, "task": "classify", "threshold": 1.0, "reset": "subtract",
    }  # fmt: skip
    (MODEL / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    x, _ = events(split()[1][:1], JUDGED)
    np.savetxt(MODEL / "signals.csv", x[0], "%d", ",")


def _as_metal(full: bool) -> dict[str, Any]:
    """The trained network built with activations of 2 and of 8 bits and, in full, its whole chip."""
    x, y = events(split()[1][: 100 if full else 4], JUDGED + 1)
    with (
        hard.built(MODEL, make_policy(activation_bits=2)) as two,
        hard.built(MODEL, make_policy(activation_bits=8)) as eight,
    ):
        (floats, by_two), (_, by_eight) = (hard.outputs(MODEL, build, x) for build in (two, eight))
        found: dict[str, Any] = {
            "two_bit_differences": int(np.sum(by_two != by_eight)),
            "array_cycle_share": _cycles(two) / _cycles(eight),
            "float_accuracy": float((floats[:, -1].argmax(-1) == y).mean()),
            "chip_accuracy": float((by_two[:, -1].argmax(-1) == y).mean()),
            "rtl_differences": math.nan,  # the short form makes no chip
        }  # fmt: skip
        if full:
            found |= hard.as_chip(two, list(x[:40])) | hard.facts(two, MODEL)
    return found


def _cycles(build: Build) -> int:
    """Cycles from vector to vector of the slowest array of a build."""
    return max(unit.shape.steps for unit in find_units(build))


if __name__ == "__main__":
    main("lif", measure)
