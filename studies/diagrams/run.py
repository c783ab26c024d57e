"""Network, diagram, network: the same bits, and costs that a profiler confirms."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hnlpu.insight.diagram import draw, open_subject
from hnlpu.model.network import Network, dump
from hnlpu.run.emulate import FloatConstants, Interpreter
from studies._frame import Figures, main
from studies.diagrams.count import by_diagram, by_torch
from studies.diagrams.models import random_model
from studies.diagrams.networks import NETWORKS, Sizes

SHORT = Sizes(side=8, channels=3, width=12, heads=3, layers=2, tokens=5)
FULL = Sizes(side=32, channels=16, width=96, heads=6, layers=4, tokens=48)
SEED = 18
Array = np.ndarray[Any, Any]


def measure(full: bool) -> Figures:
    """All figures, over the five architectures."""
    sizes = FULL if full else SHORT
    rows = {name: _one(name, sizes, SEED + n) for n, name in enumerate(NETWORKS)}
    total = {key: sum(row[key] for row in rows.values()) for key in next(iter(rows.values()))}
    return {
        "architectures": len(rows),
        "networks_that_differ": total["networks_that_differ"],
        "output_bits_that_differ": total["output_bits_that_differ"],
        "torch_difference": max(row["torch_difference"] for row in rows.values()),
        "flops_off": total["flops_off"],
        "constant_bytes_off": total["constant_bytes_off"],
        "product_bytes_off": total["product_bytes_off"],
        "state_bytes_off": total["state_bytes_off"],
        "seed": SEED,
        "each": rows,
    }


def _one(name: str, sizes: Sizes, seed: int) -> dict[str, Any]:
    network, model = NETWORKS[name](sizes), random_model(name, sizes, seed)
    tensors = {key: t.numpy() for key, t in model.state_dict().items() if t.is_floating_point()}
    random = np.random.default_rng(seed)
    data: dict[str, Array]
    if name == "transformer":
        numbers = random.integers(0, sizes.vocabulary, sizes.tokens)
        data, given = {"token": numbers}, torch.tensor(numbers)
    else:
        picture = random.normal(size=(sizes.side, sizes.side, 3)).astype(np.float32)
        data, given = {"picture": picture[None]}, torch.tensor(picture).permute(2, 0, 1)[None]
    again = round_trips(network, name)
    output = _run(network, tensors, data)
    expected, counted = by_torch(model, given)
    if expected.dim() == 4:
        expected = expected.permute(0, 2, 3, 1)
    positions = len(next(iter(data.values())))
    off = [by_diagram(each, positions) for each in again]
    bits = [_different_bits(_run(each, tensors, data), output) for each in again]
    return {
        "networks_that_differ": sum(each != network for each in again),
        "output_bits_that_differ": sum(bits),
        "torch_difference": float(np.abs(output - expected.numpy()).max() / np.abs(output).max()),
        "flops_off": sum(abs(cost.flops - counted.flops) for cost in off),
        "constant_bytes_off": sum(
            abs(cost.constant_bytes - counted.constant_bytes) for cost in off
        ),
        "product_bytes_off": sum(abs(cost.product_bytes - counted.product_bytes) for cost in off),
        "state_bytes_off": sum(abs(cost.state_bytes - counted.state_bytes) for cost in off),
        "steps": len(network.steps),
        "outputs": int(output.size),
        "flops": counted.flops,
        "constant_bytes": counted.constant_bytes,
        "product_bytes": counted.product_bytes,
        "state_bytes": counted.state_bytes,
    }


def round_trips(network: Network, name: str) -> list[Network]:
    """The network read from its text form and from its diagram, as `hnlpu draw` reads them."""
    with tempfile.TemporaryDirectory() as folder:
        written, drawn = Path(folder) / "net.json", Path(folder) / "net.svg"
        written.write_text(dump(network), "utf-8")
        drawn.write_text(draw(network, name), "utf-8")
        return [open_subject(path).network for path in (written, drawn)]


def _run(network: Network, tensors: dict[str, Array], data: dict[str, Array]) -> Array:
    runs = Interpreter(network, FloatConstants(network, tensors))
    (output,), _ = runs.run(data, runs.start())
    return output


def _different_bits(a: Array, b: Array) -> int:
    return int(np.bitwise_count(a.view(np.uint32) ^ b.view(np.uint32)).sum())


if __name__ == "__main__":
    main("diagrams", measure)
