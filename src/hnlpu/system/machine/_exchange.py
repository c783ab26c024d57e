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

from hnlpu.system.machine._specification import Links, Specification
from hnlpu.system.machine._tasks import ColumnSums, Gather, Logits, SliceSums, Swap, TotalSums

STATISTIC_BYTES = 4  # maximum and sum of a softmax travel in float32
CANDIDATE_BYTES = 8  # a logit in float32 and its index

Axis = Literal["column", "row"]


class Step(NamedTuple):
    """Bytes that every link of an axis carries once, and the hops that a value makes."""

    axis: Axis
    bytes: float
    hops: int = 1


def swap_steps(spec: Specification, swap: Swap) -> tuple[Step, ...]:
    """Steps of a task in which values go between chips; none where there is one chip."""
    size, rows, columns = spec.value_bytes, spec.rows, spec.columns
    match swap:
        case ColumnSums(values, riders, statistics):
            of_heads = 2 * STATISTIC_BYTES * statistics
            steps = _reduce(spec, "column", rows, size * values + of_heads)
            if steps and riders:  # each to the one chip that keeps them
                share = size * riders / (1 if spec.column_links.neighbours else rows)
                steps[0] = steps[0]._replace(bytes=steps[0].bytes + share)
            return tuple(steps)
        case SliceSums(values):
            return (
                *_reduce(spec, "row", columns, size * values),
                *_gather(spec, "column", rows, size * values),
            )
        case TotalSums(values):
            return tuple(_reduce_all(spec, size * values))
        case Gather(values):
            return _gather_all(spec, size * values)
        case Logits(values):
            if spec.sampling == "candidates":
                return (
                    *_gather(spec, "row", columns, CANDIDATE_BYTES),
                    *_gather(spec, "column", rows, CANDIDATE_BYTES),
                )
            return _gather_all(spec, size * values)
        case _:
            assert_never(swap)


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
        case Gather() | Logits():
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


def axis_bytes(steps: tuple[Step, ...], axis: Axis) -> float:
    """Bytes that `steps` put on each link of an axis."""
    return sum(step.bytes for step in steps if step.axis == axis)


def _links(spec: Specification, axis: Axis) -> Links:
    return spec.column_links if axis == "column" else spec.row_links


def _reduce(spec: Specification, axis: Axis, chips: int, size: float) -> list[Step]:
    """All-reduce of `size` bytes among `chips`."""
    if chips == 1:
        return []
    if _links(spec, axis).neighbours:
        return [Step(axis, size, 2 * (chips // 2))]
    if spec.collective == "direct":
        return [Step(axis, size)]
    hops = 2 if spec.collective == "scatter" else 2 * (chips - 1)
    return [Step(axis, size / chips)] * hops


def _gather(spec: Specification, axis: Axis, chips: int, size: float) -> list[Step]:
    """All-gather of `size` bytes of each of `chips`."""
    if chips == 1:
        return []
    if _links(spec, axis).neighbours:  # the last link brings the last chip what all others have
        return [Step(axis, size * (chips - 1), chips - 1)]
    return [Step(axis, size)] * (chips - 1 if spec.collective == "ring" else 1)


def _gather_all(spec: Specification, size: float) -> tuple[Step, ...]:
    """All-gather of `size` bytes of each chip among all: over rows, then over columns."""
    return (
        *_gather(spec, "row", spec.columns, size),
        *_gather(spec, "column", spec.rows, size * spec.columns),
    )


def _reduce_all(spec: Specification, size: float) -> list[Step]:
    """All-reduce of `size` bytes among all chips, over rows and over columns."""
    rows, columns = spec.rows, spec.columns
    if not shares_rows(spec):
        return [
            *_reduce(spec, "row", columns, size),
            *_reduce(spec, "column", rows, size),
        ]
    # columns reduce only the share that each chip of a row has after its reduce-scatter
    half = [Step("row", size / columns)]
    return [*half, *_reduce(spec, "column", rows, size / columns), *half]


def shares_rows(spec: Specification) -> bool:
    """Whether an all-reduce over all chips leaves each chip of a row its share between its halves."""
    return spec.collective == "scatter" and spec.columns > 1 and not spec.row_links.neighbours
