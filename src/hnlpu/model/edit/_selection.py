"""`Edit`: what of a model is kept, and which of its weights are others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

Numbers = tuple[int, ...]
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LayerSelection:
    """What is kept of a layer: numbers, rising from 0; None for all.

    attention, feed_forward   whether the layer keeps that half
    heads                     query heads; every head of keys and values keeps as many, or none
    inner                     neurons of the dense feed-forward block
    experts                   experts
    expert_inner              neurons of each expert that is kept: as many of each
    """

    attention: bool = True
    feed_forward: bool = True
    heads: Numbers | None = None
    inner: Numbers | None = None
    experts: Numbers | None = None
    expert_inner: tuple[Numbers, ...] | None = None


@dataclass(frozen=True)
class Edit:
    """A `LayerSelection` for each layer, and new values [rows, columns] of some matrices.

    `values` has functions of a member's number (0 where there is one), by the matrix's name; they give
    float32 in the matrix's old shape, before anything is taken out of it.  `vectors` has the same for parameters by
    their names, and for the biases of a matrix M as `M bias`.
    """

    layers: tuple[LayerSelection, ...]
    values: Mapping[str, Callable[[int], Float32]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    vectors: Mapping[str, Callable[[], Float32]] = field(
        default_factory=lambda: MappingProxyType({})
    )


def keep_all(layers: int) -> tuple[LayerSelection, ...]:
    """Everything of so many layers."""
    return (LayerSelection(),) * layers
