"""A step's plan as the rows of one batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hnlpu.run.engine._adapter import Adapter
from hnlpu.run.engine._batch import AdapterRows, Rows
from hnlpu.run.engine._sequence import Sequence

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Planned:
    """A sequence that runs `count` tokens, with slots for snapshots by the tokens before them."""

    sequence: Sequence
    count: int
    snapshots: dict[int, int]


class LaidOut(NamedTuple):
    """The rows of a plan, which are wanted [wanted], and which of the wanted are whose."""

    rows: Rows
    wanted: Int64
    spans: list[range]


def rows_of(names: list[str | None], adapters: Mapping[str, Adapter]) -> AdapterRows:
    """The rows that each adapter changes, given the name of each row's."""
    used = sorted({name for name in names if name is not None})
    return [
        (adapters[name], np.array([row for row, of in enumerate(names) if of == name], np.int64))
        for name in used
    ]


def lay_out(plan: list[Planned], adapters: Mapping[str, Adapter]) -> LaidOut:
    """A plan as rows; each sequence has pages for its own, and a target if it keeps anything whole."""
    tokens, positions, sequences = [], [], []
    wanted: list[int] = []
    spans: list[range] = []
    snapshots: list[tuple[int, int]] = []
    tables = np.zeros((len(plan), max(len(p.sequence.pages) for p in plan)), np.int64)
    row = 0
    for i, part in enumerate(plan):
        sequence, count = part.sequence, part.count
        start = sequence.computed
        tokens.append(sequence.tokens[start : start + count])
        positions.append(np.arange(start, start + count))
        sequences.append(np.full(count, i))
        tables[i, : len(sequence.pages)] = sequence.pages
        first = len(wanted)
        wanted += [row + j for j in sequence.wanted(count)]
        spans.append(range(first, len(wanted)))
        snapshots += [(row + end - start - 1, slot) for end, slot in part.snapshots.items()]
        row += count
    names = [p.sequence.request.adapter for p in plan for _ in range(p.count)]
    rows = Rows(
        np.concatenate(tokens), np.concatenate(positions), np.concatenate(sequences), tables,
        np.array([p.sequence.slot for p in plan], np.int64),
        np.array([p.sequence.target for p in plan], np.int64),
        np.array(snapshots, np.int64).reshape(-1, 2),
        rows_of(names, adapters),
        any(p.sequence.request.trace_experts for p in plan),
    )  # fmt: skip
    return LaidOut(rows, np.array(wanted, np.int64), spans)
