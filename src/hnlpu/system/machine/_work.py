"""A model on a grid of chips -> `LayerWork`: what one token costs one chip in one layer.

The mapping is the paper's, for any grid: column j holds the query heads and KV heads of its share;
the chips of a column each take a slice of the inputs and every R-th position; experts are dealt to
all chips; matrices that every token passes (dense, shared) are split over all chips.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from hnlpu.errors import InvalidInput
from hnlpu.system.catalog import ModelShape

NORM_OPERATIONS = 2  # square and sum, scale
ROPE_OPERATIONS = 3  # two products and a sum
SWIGLU_OPERATIONS = 6  # clamp twice, sigmoid, two products, offset
SELECT_OPERATIONS = 2  # a comparison and a move for each expert
STATISTIC_BYTES = 4  # maximum and sum of a softmax travel in float32
CANDIDATE_BYTES = 8  # a logit in float32 and its index


@dataclass(frozen=True)
class LayerWork:
    """One layer's work for one token, on the chip that has most of it.

    Values are counts of elements; `macs_per_position` are multiplications of attention for each
    position that a chip holds, `kv_values` what it caches for one.  `experts` and `active` are of
    the whole machine, 0 without routing; `split_width` is the chip's share of what every token
    passes.
    """

    window: int | None
    projections: int
    query_values: int
    new_kv_values: int
    output_values: int
    heads: int
    slice_values: int
    hidden: int
    kv_values: int
    macs_per_position: int
    experts: int
    active: int
    expert_width: int
    split_width: int

    def positions(self, context: int) -> int:
        """Positions that the layer attends to with `context` of them cached."""
        return context if self.window is None else min(context, self.window)


@dataclass(frozen=True)
class TokenWork:
    """A model's work for one token: the kinds of layer, which layer is of which, the logits."""

    kinds: tuple[LayerWork, ...]
    layers: tuple[int, ...]
    hidden: int
    logits: int

    def count(self, kind: int) -> int:
        """Layers of a kind."""
        return self.layers.count(kind)


def token_work(model: ModelShape, rows: int, columns: int, sliding: bool = True) -> TokenWork:
    """The work of a model on `rows` x `columns` chips; without `sliding`, every layer sees all.

    Raises InvalidInput where the grid cannot split the model.
    """
    a = model.attention
    if columns > a.heads:
        raise InvalidInput(
            f"{columns} columns of chips share {a.heads} query heads of {model.name}; "
            f"use at most {a.heads} columns"
        )
    if rows > model.hidden:
        raise InvalidInput(
            f"{rows} rows of chips share {model.hidden} inputs; use at most {model.hidden} rows"
        )
    kinds: list[LayerWork] = []
    layers = []
    for layer in range(model.layers):
        work = _layer_work(model, layer, rows, columns, sliding)
        if work not in kinds:
            kinds.append(work)
        layers.append(kinds.index(work))
    logits = -(-model.vocabulary // (rows * columns))
    return TokenWork(tuple(kinds), tuple(layers), model.hidden, logits)


def _layer_work(model: ModelShape, layer: int, rows: int, columns: int, sliding: bool) -> LayerWork:
    a, chips = model.attention, rows * columns
    heads = -(-a.heads // columns)
    if a.latent:
        # the latent cache serves all heads, so every column keeps a copy of it
        kv_values = a.latent.kv_rank + a.latent.rope_dim
        query, value, projections = heads * kv_values, heads * a.latent.value_dim, 3
        macs = heads * (kv_values + a.latent.kv_rank)
    else:
        kv_values = 2 * -(-a.kv_heads // columns) * a.head_dim
        query, value, projections = heads * a.head_dim, heads * a.head_dim, 2
        macs = 2 * heads * a.head_dim
    routed = model.experts if layer >= model.dense_layers else None
    if routed:
        split = -(-routed.shared * routed.width // chips)
    else:
        assert model.dense
        split = -(-model.dense.width // chips)
    return LayerWork(
        window=model.window(layer) if sliding else None,
        projections=projections,
        query_values=query,
        new_kv_values=kv_values,
        output_values=value,
        heads=heads,
        slice_values=-(-model.hidden // rows),
        hidden=model.hidden,
        kv_values=kv_values,
        macs_per_position=macs,
        experts=routed.count if routed else 0,
        active=routed.active if routed else 0,
        expert_width=routed.width if routed else 0,
        split_width=split,
    )


def bank_size(work: LayerWork, chips: int, experts_per_bank: int) -> int:
    """Experts that share one bank, at most those of a chip; 0 without experts."""
    per_chip = -(-work.experts // chips)
    return min(experts_per_bank or per_chip, per_chip)


@functools.cache
def expected_rounds(experts: int, active: int, bank: int) -> float:
    """Expected rounds of the fullest bank when a token picks `active` of `experts` at random.

    Experts lie in banks of `bank` (the last may be smaller); those that meet in one run one after
    the other.  Exact: P(no bank has more than m) counts the picks that the generating function
    prod_banks sum_{i<=m} C(size, i) x^i allows.
    """
    if not experts:
        return 1.0
    sizes = [bank] * (experts // bank) + ([experts % bank] if experts % bank else [])
    picks = math.comb(experts, active)
    expected, below = 0.0, 0
    for most in range(1, min(bank, active) + 1):
        within = _picks(sizes, active, most)
        expected += most * (within - below) / picks
        below = within
    return expected


def _picks(sizes: Sequence[int], active: int, most: int) -> int:
    """Ways to pick `active` with at most `most` from each group."""
    ways = [1] + [0] * active
    for size in sizes:
        ways = [
            sum(ways[n - i] * math.comb(size, i) for i in range(min(most, n) + 1))
            for n in range(active + 1)
        ]
    return ways[active]
