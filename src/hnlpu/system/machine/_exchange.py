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

from dataclasses import dataclass
from typing import Literal, NamedTuple

from hnlpu.system.machine._specification import Links, Specification
from hnlpu.system.machine._work import CANDIDATE_BYTES, STATISTIC_BYTES, LayerWork

Axis = Literal["column", "row"]


class Step(NamedTuple):
    """Bytes that every link of an axis carries once, and the hops that a value makes."""

    axis: Axis
    bytes: float
    hops: int = 1


@dataclass(frozen=True)
class Exchanges:
    """The exchanges of a layer, in order, each as its steps.

    `query`: queries summed over a column, keys and values to the chip that keeps them.
    `attention`: partial outputs and softmax statistics over a column.
    `output`: Wo's partial sums over a row, then slices gathered over a column.
    `experts`: the partial sums of all chips.
    """

    query: tuple[Step, ...]
    attention: tuple[Step, ...]
    output: tuple[Step, ...]
    experts: tuple[Step, ...]

    def all(self) -> tuple[Step, ...]:
        """All steps."""
        return self.query + self.attention + self.output + self.experts


def layer_exchanges(spec: Specification, work: LayerWork) -> Exchanges:
    """Steps of one token's exchanges in one layer."""
    size = spec.value_bytes
    rows, columns = spec.rows, spec.columns
    statistics = 2 * STATISTIC_BYTES * work.heads
    query = _reduce(spec, "column", rows, size * work.query_values)
    if query:  # new keys and values ride along, each to the one chip that keeps them
        share = size * work.new_kv_values / (1 if spec.column_links.neighbours else rows)
        query[0] = query[0]._replace(bytes=query[0].bytes + share)
    return Exchanges(
        tuple(query),
        tuple(_reduce(spec, "column", rows, size * work.output_values + statistics)),
        (
            *_reduce(spec, "row", columns, size * work.slice_values),
            *_gather(spec, "column", rows, size * work.slice_values),
        ),
        tuple(_reduce_all(spec, size * work.hidden)),
    )


def logit_exchange(spec: Specification, logits: int) -> tuple[Step, ...]:
    """Steps that bring `logits` of each chip (or its best one) to all."""
    if spec.sampling == "candidates":
        return (
            *_gather(spec, "row", spec.columns, CANDIDATE_BYTES),
            *_gather(spec, "column", spec.rows, CANDIDATE_BYTES),
        )
    size = spec.value_bytes * logits
    return (
        *_gather(spec, "row", spec.columns, size),
        *_gather(spec, "column", spec.rows, size * spec.columns),
    )


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
