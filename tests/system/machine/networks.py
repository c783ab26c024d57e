"""Small random networks of every family, for machines."""

from __future__ import annotations

from functools import cache

import numpy as np

from hnlpu.model.families import network_of
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
