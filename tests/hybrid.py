"""A family from outside with states of every kind: a window, a convolution and a recurrence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

import hnlpu
from hnlpu.model.families import open_family
from hnlpu.model.network import chosen_leaves, leaf_tensors

HYBRID = '''
"""Attention to all positions and within a window, a convolution, and a recurrence."""

from hnlpu.model.families import Config, Family, embed, linear, unembed
from hnlpu.model.network import Builder, Cut, Replace, Tensor
from hnlpu.model.network.composites import attend, causal_conv, dense, dense_all

HEADS, SIZE = 2, 12


class Hybrid(Config):
    """config.json."""


def network(c):
    b = Builder("hybrid", context=c.max_position_embeddings)
    x = embed(b, "embedding", c.vocab_size, c.hidden_size)
    for layer, window in enumerate((None, 5)):
        with b.block(layer):
            names = ("q", "k", "v")
            q, k, v = (
                b.matrix(linear(f"{layer}.{name}", HEADS * SIZE, c.hidden_size, "mixer", Cut("rows")))
                for name in names
            )
            o = b.matrix(linear(f"{layer}.o", c.hidden_size, HEADS * SIZE, "mixer", Cut("rows")))
            heads = (y.reshape(HEADS, SIZE) for y in dense_all(x, q, k, v))
            x = x + dense(attend(*heads, scale=0.3, window=window), o)
    with b.block(2):
        kernel = b.parameter("kernel", (c.hidden_size, 3), Tensor("kernel", (c.hidden_size, 3)))
        x = x + causal_conv(x, kernel)
        back = b.matrix(linear("back", c.hidden_size, c.hidden_size, "recurrence", Cut("rows")))
        state = b.state("hidden", (c.hidden_size,), Replace(), initial=0.25)
        x = (x + dense(b.read(state, "before"), back)).table("tanh")
        b.write(state, x)
    return b.finish(unembed(x, c.vocab_size))


FAMILY = Family(("hybrid",), Hybrid, network)
'''
CONFIG = {
    "model_type": "hybrid", "vocab_size": 50, "hidden_size": 24, "num_hidden_layers": 3,
    "max_position_embeddings": 256,
}  # fmt: skip


def build_hybrid(folder: Path) -> Path:
    """A build of a random model of the family, in a folder of its own."""
    folder.mkdir(parents=True)
    (folder / "family.py").write_text(HYBRID)
    family = open_family(folder / "family.py")
    network = family.read(CONFIG)
    random = np.random.default_rng(3)
    tensors = {
        name: random.normal(0, 0.4, shape).astype(np.float32)
        for declared in (*network.parameters, *network.matrices)
        for leaf in chosen_leaves(declared.source, lambda name: True)
        for name, shape in leaf_tensors(leaf).items()
    }
    checkpoint = folder / "checkpoint"
    checkpoint.mkdir()
    save_file(tensors, checkpoint / "model.safetensors")
    (checkpoint / "config.json").write_text(json.dumps(CONFIG))
    return hnlpu.build(checkpoint, folder / "build", family=family)
