"""A model of the catalog on a grid of chips -> the tasks of one token.

The mapping is the paper's, for any grid: column j holds the query heads and KV heads of its share;
the chips of a column each take a slice of the inputs and every R-th position; experts are dealt to
all chips; matrices that every token passes (dense, shared) are split over all chips.

    for each layer:
        passes Q, K, V ─► sums ─► Vector + CacheTraffic (attention) ─► sums ─► Vector
        ─► ArrayPass Wo ─► sums ─► Vector
        ─► ArrayPass router ─► Vector ─► experts up, gate ─► Vector ─► experts down ─► Vector
           (without experts: ArrayPass up, gate ─► Vector ─► ArrayPass down)
        ─► sums ─► Vector
    then ArrayPass unembedding ─► logits

Elements of vector operations are our own count of multiplications and additions, one lane each; no
publication gives it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import assert_never

from hnlpu.errors import InvalidInput
from hnlpu.system.catalog import Model, ModelShape, NetworkShape
from hnlpu.system.machine._tasks import (
    ArrayPass,
    Bank,
    CacheTraffic,
    ColumnSums,
    Logits,
    SliceSums,
    Task,
    TokenWork,
    TotalSums,
    Vector,
)
from hnlpu.system.machine._walk import network_work

NORM_OPERATIONS = 2  # square and sum, scale
ROPE_OPERATIONS = 3  # two products and a sum
SWIGLU_OPERATIONS = 6  # clamp twice, sigmoid, two products, offset
SELECT_OPERATIONS = 2  # a comparison and a move for each expert


def token_work(model: Model, rows: int, columns: int, sliding: bool = True) -> TokenWork:
    """The tasks of a model on `rows` x `columns` chips; without `sliding`, every layer sees all.

    Raises InvalidInput or DoesNotFit where the grid cannot split the model, UnsupportedArchitecture
    for a step of a network that the machine has no time for.
    """
    match model:
        case NetworkShape():
            return network_work(model, rows, columns, sliding)
        case ModelShape():
            return catalog_work(model, rows, columns, sliding)
        case _:
            assert_never(model)


def catalog_work(model: ModelShape, rows: int, columns: int, sliding: bool = True) -> TokenWork:
    """The tasks of a model on `rows` x `columns` chips; without `sliding`, every layer sees all.

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
    kinds: list[tuple[Task, ...]] = []
    layers = []
    for layer in range(model.layers):
        work = (
            *_attention(model, layer, rows, columns, sliding),
            *_mixture(model, layer, rows * columns),
        )
        if work not in kinds:
            kinds.append(work)
        layers.append(kinds.index(work))
    head = ArrayPass(), Logits(-(-model.vocabulary // (rows * columns)))
    return TokenWork(tuple(kinds), tuple(layers), head, model.hidden)


def _attention(
    model: ModelShape, layer: int, rows: int, columns: int, sliding: bool
) -> Iterator[Task]:
    """From the layer's norm to the next one's."""
    a = model.attention
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
    for _ in range(projections - 1):
        yield ArrayPass()
    yield ColumnSums(query, riders=kv_values)
    yield Vector(ROPE_OPERATIONS * (query + kv_values / 2))  # rotation of queries and keys
    yield CacheTraffic(model.window(layer) if sliding else None, macs, kv_values)
    yield ColumnSums(value, statistics=heads)
    yield Vector(0)
    yield ArrayPass()
    yield SliceSums(-(-model.hidden // rows), scales=1)
    yield Vector(_norm(model))


def _mixture(model: ModelShape, layer: int, chips: int) -> Iterator[Task]:
    """From the router, or the dense layer, to the next layer's norm."""
    routed = model.experts if layer >= model.dense_layers else None
    yield ArrayPass()  # the router, or up and gate
    if routed:
        split = -(-routed.shared * routed.width // chips)
        active, bank = routed.active / chips, Bank(routed.count, routed.active)
        yield Vector(SELECT_OPERATIONS * routed.count)
        yield ArrayPass(bank)
        yield Vector(SWIGLU_OPERATIONS * (active * routed.width + split))
        yield ArrayPass(bank)
        yield Vector(active * model.hidden)  # weighting of experts
    else:
        assert model.dense
        yield Vector(SWIGLU_OPERATIONS * -(-model.dense.width // chips))
        yield ArrayPass()
    yield TotalSums(model.hidden)
    yield Vector(_norm(model))


def _norm(model: ModelShape) -> int:
    """Residual and norm."""
    return (1 + NORM_OPERATIONS) * model.hidden


def bank_size(bank: Bank | None, chips: int, experts_per_bank: int) -> int:
    """Experts that share one bank, at most those of a chip; 0 without experts."""
    if bank is None:
        return 0
    per_chip = -(-bank.count // chips)
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
