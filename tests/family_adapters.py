"""Adapters of models of any family, as PEFT writes them: low-rank parts of some linear modules."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from hnlpu.model.checkpoint import read_model
from hnlpu.run.engine import linear_modules

RANK, ALPHA = 3, 6


def modules(checkpoint: Path) -> dict[str, tuple[int, int]]:
    """Linear modules of a checkpoint by name, with their weights' shapes."""
    return linear_modules(read_model(checkpoint).network)


def write_adapter(folder: Path, checkpoint: Path, seed: int = 0, every: int = 1) -> Path:
    """A random adapter of every linear module of a checkpoint, or of each `every`th one."""
    random = np.random.default_rng(seed)
    tensors = {}
    for name, (rows, columns) in list(modules(checkpoint).items())[::every]:
        for part, shape in (("A", (RANK, columns)), ("B", (rows, RANK))):
            values = 0.3 * random.standard_normal(shape) / np.sqrt(shape[1])
            tensors[f"base_model.model.{name}.lora_{part}.weight"] = values.astype(np.float32)
    folder.mkdir(parents=True)
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder
