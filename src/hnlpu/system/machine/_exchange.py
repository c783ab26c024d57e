"""Exchanges between chips -> steps on a link: bytes that each link carries, and hops.

    direct    every chip sends all its values to each peer              V bytes, 1 hop
    scatter   each chip reduces 1/n of them, then sends it around       V/n and V/n, 1 hop each
    ring      the same around a ring of links                           2 (n-1) times V/n, 1 hop
    line      sums flow to the middle chip and back                     V, 2 floor(n/2) hops

The first three (Thakur, Rabenseifner, Gropp, "Optimization of Collective Communication Operations
in MPICH", IJHPCA 19(1), 2005) on a link for every pair of a row or column, the last on links between
neighbours: each carries every value once in each direction, added as it flows.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, assert_never

from hnlpu.arithmetic.exchange import (
    CANDIDATE_BITS,
    INT8_BLOCK,
    LARGEST_BITS,
    SCALE_BITS,
    VALUE_BITS_SENT,
    Kind,
    bits_of,
)
from hnlpu.system.machine._specification import Links, Specification
from hnlpu.system.machine._tasks import AllGather, ColumnSums, Logits, SliceSums, Swap, TotalSums

STATISTIC_BYTES = 4  # of a softmax's largest score and of its total, in formats that are not exact
CANDIDATE_BYTES = CANDIDATE_BITS / 8

Axis = Literal["column", "row"]


class ExchangeStep(NamedTuple):
    """Bytes that every link of an axis carries once, and the hops that a value makes."""

    axis: Axis
    bytes: float
    hops: int = 1


class Sent(NamedTuple):
    """Bytes of a number that is a part of a sum, and of one that is whole."""

    part: float
    whole: float


def sent_bytes(spec: Specification, kind: Kind) -> Sent:
    """Bytes of a number of an exchange, as docs/exchange.md has its format."""
    form = spec.formats.of(kind)
    if form != "exact":
        size = bits_of(INT8_BLOCK, form) / INT8_BLOCK / 8
        return Sent(size, size)
    whole = VALUE_BITS_SENT / 8
    parts = {"sums": spec.widths.sums, "experts": spec.widths.experts,
             "attention": spec.widths.mixed, "activations": spec.widths.activations}  # fmt: skip
    part = parts.get(kind, VALUE_BITS_SENT) / 8
    return Sent(part, part if kind == "activations" else whole)


def swap_steps(spec: Specification, swap: Swap) -> tuple[ExchangeStep, ...]:
    """Steps of a task in which values go between chips; none where there is one chip."""
    rows, columns = spec.rows, spec.columns
    match swap:
        case ColumnSums(values, riders, statistics):
            size = sent_bytes(spec, "attention" if statistics else "sums")
            before, of_heads = _softmax_steps(spec, statistics)
            steps = _reduce(spec, "column", rows, size, values, of_heads)
            if steps and riders:  # each to the one chip that keeps them
                share = size.part * riders / (1 if spec.column_links.neighbours else rows)
                steps[0] = steps[0]._replace(bytes=steps[0].bytes + share)
            return (*before, *steps)
        case SliceSums(values, scales):
            size = sent_bytes(spec, "sums")
            ahead = scales * SCALE_BITS / 8 if spec.formats.sums == "exact" else 0
            return (
                *(_gather(spec, "row", columns, ahead) if ahead else ()),
                *_reduce(spec, "row", columns, size, values),
                *_gather(spec, "column", rows, size.whole * values),
            )
        case TotalSums(values):
            return tuple(_reduce_all(spec, sent_bytes(spec, "experts"), values))
        case AllGather(values, activations):
            ahead = SCALE_BITS / 8 if activations and spec.formats.activations == "exact" else 0
            size_bytes = sent_bytes(spec, "values").whole * values
            size_bytes += sent_bytes(spec, "activations").whole * activations
            return (*(_gather_all(spec, ahead) if ahead else ()), *_gather_all(spec, size_bytes))
        case Logits(values):
            if spec.sampling == "candidates":
                return (
                    *_gather(spec, "row", columns, CANDIDATE_BYTES),
                    *_gather(spec, "column", rows, CANDIDATE_BYTES),
                )
            return _gather_all(spec, sent_bytes(spec, "logits").whole * values)
        case _:
            assert_never(swap)


def _softmax_steps(spec: Specification, heads: int) -> tuple[list[ExchangeStep], float]:
    """What goes before the outputs of attention, and bytes beside them, of so many heads.

    Narrow formats send a largest score and a total along; exact ones agree on the largest first.
    """
    if not heads or spec.formats.attention != "exact":
        return [], 2 * STATISTIC_BYTES * heads
    each = Sent(LARGEST_BITS / 8, LARGEST_BITS / 8)
    ahead = _reduce(spec, "column", spec.rows, each, heads)
    return ahead, spec.widths.totals / 8 * heads


def swap_additions(spec: Specification, swap: Swap) -> float:
    """Additions of a chip for the sums of a task; 0 where values are only gathered."""
    column = _sums(spec, spec.rows, spec.column_links)
    row = _sums(spec, spec.columns, spec.row_links)
    match swap:
        case ColumnSums(values):
            return column * values
        case SliceSums(values):
            return row * values
        case TotalSums(values):
            column_part = 1 / spec.columns if shares_rows(spec) else 1.0
            return (row + column * column_part) * values
        case AllGather() | Logits():
            return 0.0
        case _:
            assert_never(swap)


def _sums(spec: Specification, chips: int, links: Links) -> float:
    """Additions for each value reduced among `chips`."""
    if chips == 1:
        return 0.0
    if links.neighbours:  # the middle of a line adds from both sides
        return min(2.0, chips - 1)
    return chips - 1 if spec.collective == "direct" else (chips - 1) / chips


def axis_bytes(steps: tuple[ExchangeStep, ...], axis: Axis) -> float:
    """Bytes that `steps` put on each link of an axis."""
    return sum(step.bytes for step in steps if step.axis == axis)


def _links(spec: Specification, axis: Axis) -> Links:
    return spec.column_links if axis == "column" else spec.row_links


def _reduce(
    spec: Specification, axis: Axis, chips: int, size: Sent, values: float, beside: float = 0
) -> list[ExchangeStep]:
    """All-reduce of so many values among `chips`, and of bytes `beside` them."""
    if chips == 1:
        return []
    part, whole = size.part * values + beside, size.whole * values + beside
    if _links(spec, axis).neighbours:  # parts one way, sums the other
        return [ExchangeStep(axis, max(part, whole), 2 * (chips // 2))]
    if spec.collective == "direct":
        return [ExchangeStep(axis, part)]
    hops = 1 if spec.collective == "scatter" else chips - 1
    return [*[ExchangeStep(axis, part / chips)] * hops, *[ExchangeStep(axis, whole / chips)] * hops]


def _gather(spec: Specification, axis: Axis, chips: int, size: float) -> list[ExchangeStep]:
    """All-gather of `size` bytes of each of `chips`."""
    if chips == 1:
        return []
    if _links(spec, axis).neighbours:  # the last link brings the last chip what all others have
        return [ExchangeStep(axis, size * (chips - 1), chips - 1)]
    return [ExchangeStep(axis, size)] * (chips - 1 if spec.collective == "ring" else 1)


def _gather_all(spec: Specification, size: float) -> tuple[ExchangeStep, ...]:
    """All-gather of `size` bytes of each chip among all: over rows, then over columns."""
    return (
        *_gather(spec, "row", spec.columns, size),
        *_gather(spec, "column", spec.rows, size * spec.columns),
    )


def _reduce_all(spec: Specification, size: Sent, values: float) -> list[ExchangeStep]:
    """All-reduce of so many values among all chips, over rows and over columns."""
    rows, columns = spec.rows, spec.columns
    if not shares_rows(spec):
        return [
            *_reduce(spec, "row", columns, size, values),
            *_reduce(spec, "column", rows, size, values),
        ]
    # columns reduce only the share that each chip of a row has after its reduce-scatter
    return [
        ExchangeStep("row", size.part * values / columns),
        *_reduce(spec, "column", rows, size, values / columns),
        ExchangeStep("row", size.whole * values / columns),
    ]


def shares_rows(spec: Specification) -> bool:
    """Whether an all-reduce over all chips leaves each chip of a row its share between its halves."""
    return spec.collective == "scatter" and spec.columns > 1 and not spec.row_links.neighbours
