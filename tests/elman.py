"""A family from outside: a file of a user's own, and a checkpoint of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

ELMAN = '''
"""An Elman network: the oldest recurrence."""

from hnlpu.model.families import Config, Family, embed, linear, unembed
from hnlpu.model.network import Builder, Cut, Replace
from hnlpu.model.network.composites import dense


class Elman(Config):
    """config.json."""


def network(c):
    b = Builder("elman")
    x = embed(b, "embedding", c.vocab_size, c.hidden_size)
    for layer in range(c.num_hidden_layers):
        with b.block(layer):
            matrices = (
                b.matrix(linear(f"{layer}.{name}", *[c.hidden_size] * 2, "recurrence", Cut("rows")))
                for name in ("input", "hidden")
            )
            state = b.state("hidden", (c.hidden_size,), Replace())
            into, back = matrices
            x = (dense(x, into) + dense(b.read(state, "before"), back)).table("tanh")
            b.write(state, x)
    return b.finish(unembed(x, c.vocab_size))


FAMILY = Family(("elman",), Elman, network)
'''
CONFIG = {"model_type": "elman", "vocab_size": 7, "hidden_size": 12, "num_hidden_layers": 1}
SHAPES = {
    "embedding.weight": (7, 12), "0.input.weight": (12, 12), "0.hidden.weight": (12, 12),
    "lm_head.weight": (7, 12),
}  # fmt: skip


def write_elman(folder: Path) -> Path:
    """A checkpoint of the family in a folder of its own."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    tensors = {n: random.normal(size=s).astype(np.float32) for n, s in SHAPES.items()}
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder
