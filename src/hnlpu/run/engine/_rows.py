"""A step's plan as the rows of one batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hnlpu.run.engine._adapter import Adapter
from hnlpu.run.engine._batch import Rows
from hnlpu.run.engine._sequence import Sequence
from hnlpu.run.engine._slots import INITIAL

Int64 = npt.NDArray[np.int64]

NO_SLOTS = np.zeros(0, np.int64)
NO_SNAPSHOTS = np.zeros((0, 2), np.int64)


class Planned(NamedTuple):
    """A sequence that runs `tokens` more, with slots for snapshots by the tokens before them."""

    sequence: Sequence
    tokens: int
    snapshots: Mapping[int, int]


class LaidOut(NamedTuple):
    """The rows of a plan, which are wanted [wanted], and which of the wanted are whose."""

    rows: Rows
    wanted: Int64
    spans: list[range]


def _slots(plan: list[Planned]) -> tuple[Int64, Int64]:
    """Slots that are read and filled: none where nothing is kept whole."""
    if plan[0].sequence.target == INITIAL:
        return NO_SLOTS, NO_SLOTS
    sources = np.array([p.sequence.slot for p in plan], np.int64)
    return sources, np.array([p.sequence.target for p in plan], np.int64)


def lay_out(plan: list[Planned], adapter: Adapter | None) -> LaidOut:
    """A plan as rows, all with one adapter or none; each sequence has pages for its own, and a target if it keeps anything whole."""
    counts = np.array([part.tokens for part in plan], np.int64)
    first_rows = np.cumsum(counts) - counts
    sequences = np.repeat(np.arange(len(plan)), counts)
    starts = np.array([part.sequence.computed for part in plan], np.int64) - first_rows
    wanted: list[int] = []
    spans: list[range] = []
    snapshots: list[tuple[int, int]] = []
    tables = np.zeros((len(plan), max(len(p.sequence.pages) for p in plan)), np.int64)
    for i, (part, row) in enumerate(zip(plan, first_rows.tolist(), strict=True)):
        sequence, count, slots = part
        tables[i, : len(sequence.pages)] = sequence.pages
        first = len(wanted)
        wanted += [row + j for j in sequence.wanted(count)]
        spans.append(range(first, len(wanted)))
        if slots:
            start = sequence.computed
            snapshots += [(row + end - start - 1, slot) for end, slot in slots.items()]
    rows = Rows(
        np.concatenate([part.sequence.next_tokens(part.tokens) for part in plan]),
        np.arange(len(sequences)) + starts[sequences], sequences, tables,
        *_slots(plan),
        np.array(snapshots, np.int64).reshape(-1, 2) if snapshots else NO_SNAPSHOTS,
        adapter,
        any(p.sequence.request.trace_experts for p in plan),
    )  # fmt: skip
    return LaidOut(rows, np.array(wanted, np.int64), spans)
