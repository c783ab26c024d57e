"""A token's work -> work items in the order in which they are done: one list for every reader.

    Pass       through a neuron array, or through the experts that the token picked
    Exchange   steps between chips
    Vector     an operation of the vector unit
    Memory     the sum over cached positions that the operation before it opens

    for each layer:
        passes Q, K, V ─► Exchange ─► Vector + Memory (attention) ─► Exchange ─► Vector
        ─► Pass Wo ─► Exchange ─► Vector
        ─► Pass router ─► Vector ─► experts up, gate ─► Vector ─► experts down ─► Vector
           (without experts: Pass up, gate ─► Vector ─► Pass down)
        ─► Exchange ─► Vector
    then Pass unembedding ─► Exchange ─► Vector (sampling)

Elements of vector operations are our own count of multiplications and additions, one lane each; no
publication gives it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hnlpu.system.machine._exchange import Step, layer_exchanges, logit_exchange, shares_rows
from hnlpu.system.machine._specification import Links, Specification
from hnlpu.system.machine._work import (
    NORM_OPERATIONS,
    ROPE_OPERATIONS,
    SELECT_OPERATIONS,
    SWIGLU_OPERATIONS,
    LayerWork,
    TokenWork,
)


@dataclass(frozen=True)
class Pass:
    """A pass through an array that is used nowhere else, or through a layer's banks of experts."""

    experts: bool = False


@dataclass(frozen=True)
class Exchange:
    """Values between chips; no steps where there is one chip."""

    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Vector:
    """Elements of an operation on an average chip."""

    elements: float


@dataclass(frozen=True)
class Memory:
    """Keys and values of a layer's positions, read and summed, in one go with the operation before."""

    work: LayerWork


Item = Pass | Exchange | Vector | Memory


def layer_items(spec: Specification, work: LayerWork) -> tuple[Item, ...]:
    """The items of one token in one layer."""
    return (*_attention(spec, work), *_mixture(spec, work))


def head_items(spec: Specification, work: TokenWork) -> tuple[Item, ...]:
    """The items after the last layer, of a token that has logits."""
    compared = work.logits * (spec.chips if spec.sampling == "gather" else 1)
    return Pass(), Exchange(logit_exchange(spec, work.logits)), Vector(float(compared))


def _attention(spec: Specification, work: LayerWork) -> Iterator[Item]:
    """From the layer's norm to the next one's."""
    exchanges = layer_exchanges(spec, work)
    column = _sums(spec, spec.rows, spec.column_links)
    row = _sums(spec, spec.columns, spec.row_links)
    rotated = work.query_values + work.new_kv_values / 2  # queries and keys
    for _ in range(work.projections - 1):
        yield Pass()
    yield Exchange(exchanges.query)
    # sum of queries, rotation; then attention
    yield Vector(column * work.query_values + ROPE_OPERATIONS * rotated)
    yield Memory(work)
    yield Exchange(exchanges.attention)
    yield Vector(column * work.output_values)  # sum of partial outputs
    yield Pass()
    yield Exchange(exchanges.output)
    # sums, residual, norm
    yield Vector(row * work.slice_values + _norm(work))


def _mixture(spec: Specification, work: LayerWork) -> Iterator[Item]:
    """From the router, or the dense layer, to the next layer's norm."""
    column = _sums(spec, spec.rows, spec.column_links)
    row = _sums(spec, spec.columns, spec.row_links)
    column_part = 1 / spec.columns if shares_rows(spec) else 1.0
    active = work.active / spec.chips
    swiglu = SWIGLU_OPERATIONS * (active * work.expert_width + work.split_width)
    yield Pass()  # the router, or up and gate
    if work.experts:
        yield Vector(SELECT_OPERATIONS * work.experts)
        yield Pass(experts=True)
        yield Vector(swiglu)
        yield Pass(experts=True)
        yield Vector(active * work.hidden)  # weighting of experts
    else:
        yield Vector(swiglu)
        yield Pass()
    yield Exchange(layer_exchanges(spec, work).experts)
    # sums, residual, norm
    yield Vector((row + column * column_part) * work.hidden + _norm(work))


def _norm(work: LayerWork) -> int:
    return (1 + NORM_OPERATIONS) * work.hidden


def _sums(spec: Specification, chips: int, links: Links) -> float:
    """Additions for each value reduced among `chips`."""
    if chips == 1:
        return 0.0
    if links.neighbours:  # the middle of a line adds from both sides
        return min(2.0, chips - 1)
    return chips - 1 if spec.collective == "direct" else (chips - 1) / chips
