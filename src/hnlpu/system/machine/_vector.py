"""What the vector unit does beside attention: elements of each operation of a layer, in order.

    0 sum of queries, rotation   before attention, in one go with it
    1 sum of partial outputs     before Wo
    2 sums, residual, RMSNorm    before the router, or the dense layer
    3 choice of experts
    4 SwiGLU
    5 weighting of experts
    6 sums, residual, RMSNorm    before the next layer

Own count of multiplications and additions, one lane each; no publication gives it.
"""

from __future__ import annotations

from hnlpu.system.machine._exchange import shares_rows
from hnlpu.system.machine._specification import Links, Specification
from hnlpu.system.machine._work import (
    NORM_OPERATIONS,
    ROPE_OPERATIONS,
    SELECT_OPERATIONS,
    SWIGLU_OPERATIONS,
    LayerWork,
    TokenWork,
)


def layer_elements(spec: Specification, work: LayerWork) -> list[float]:
    """Elements of each operation on an average chip; those that a layer lacks are left out."""
    rotated = work.query_values + work.new_kv_values / 2  # queries and keys
    norm = (1 + NORM_OPERATIONS) * work.hidden
    active = work.active / spec.chips
    swiglu = active * work.expert_width + work.split_width
    column = _sums(spec, spec.rows, spec.column_links)
    row = _sums(spec, spec.columns, spec.row_links)
    column_part = 1 / spec.columns if shares_rows(spec) else 1.0
    elements = [
        column * work.query_values + ROPE_OPERATIONS * rotated,
        column * work.output_values,
        row * work.slice_values + norm,
        SELECT_OPERATIONS * work.experts,
        SWIGLU_OPERATIONS * swiglu,
        active * work.hidden,
        (row + column * column_part) * work.hidden + norm,
    ]
    return elements if work.experts else [*elements[:3], elements[4], elements[6]]


def sampling_elements(spec: Specification, work: TokenWork) -> float:
    """Elements that a chip compares to pick a token."""
    return float(work.logits * (spec.chips if spec.sampling == "gather" else 1))


def _sums(spec: Specification, chips: int, links: Links) -> float:
    """Additions for each value reduced among `chips`."""
    if chips == 1:
        return 0.0
    if links.neighbours:  # the middle of a line adds from both sides
        return min(2.0, chips - 1)
    return chips - 1 if spec.collective == "direct" else (chips - 1) / chips
