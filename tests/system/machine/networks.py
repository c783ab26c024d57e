"""Small random networks of every family, for machines."""

from __future__ import annotations

from functools import cache

import numpy as np

from hnlpu.model.families import network_of
from hnlpu.model.network import Tensor
from hnlpu.system.catalog import NetworkShape, shape_of_network
from readers import CONFIGS

FAMILIES = tuple(CONFIGS)


@cache
def random_network(family: str, seed: int) -> NetworkShape:
    """`make_network`, made once."""
    return make_network(family, seed)


def make_network(family: str, seed: int, **changes: object) -> NetworkShape:
    """A random model of a family; `changes` are of its config.json."""
    config = CONFIGS[family](np.random.default_rng(seed)) | {"model_type": family} | changes
    return shape_of_network(network_of(config), family)


def llama(family="llama", **changes):
    """A small Llama in whole blocks, or another dense family of its shape."""
    sizes = {
        "vocab_size": 64, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "rope_parameters":
        {"rope_type": "default", "rope_theta": 1e4}, "tie_word_embeddings": False,
    }  # fmt: skip
    return make_network(family, 0, **(sizes | changes))


def plain(b):
    """A token's row of a table."""
    return b.lookup(b.parameter("table", (11, 32), Tensor("table", (11, 32))), b.token())
