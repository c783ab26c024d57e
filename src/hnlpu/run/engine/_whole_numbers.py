"""A model in chip or machine numerics as an engine batches it: whole numbers of 32 bits where float32 lies.

pages, slots: 32 bits ─► states, whole numbers ─► interpreter ─► states ─► 32 bits
                                                      └────────► hidden: 32 bits ─► logits
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.fixed_point import FRACTION
from hnlpu.run.emulate import ChipModel, States
from hnlpu.run.engine._interpreted import BatchedInterpreter
from hnlpu.run.engine._layout import StateLayout, layout_of

Float32 = npt.NDArray[np.float32]
Array = npt.NDArray[Any]


def layout_of_chip(model: ChipModel) -> StateLayout:
    """Where the states of a model in whole numbers lie; slots begin with the bits of their initial values.

    They stay float32: a conversion to float64 and back sets a bit of what would be a signalling NaN.
    """
    layout, start = layout_of(model.body), model.interpreter.start().entries
    whole = tuple(
        replace(state, initial=_bits(start[state.name]).ravel()[0]) for state in layout.whole
    )
    return replace(layout, whole=whole)


def batched_chip(model: ChipModel) -> BatchedInterpreter:
    """What runs batches of a model in whole numbers, one sequence after the other."""
    return BatchedInterpreter(_AsBits(model))


def _bits(x: Array) -> Float32:
    """Whole numbers of 32 bits as float32 of the same bits."""
    narrow = np.ascontiguousarray(x, np.int32)
    assert np.array_equal(narrow, x), "a number of more than 32 bits"
    return narrow.view(np.float32)


class _AsBits:
    """`ChipModel` for `BatchedInterpreter`."""

    def __init__(self, model: ChipModel):
        self.body = model.body
        self._model = model
        self._types = {
            name: entries.dtype for name, entries in model.interpreter.start().entries.items()
        }

    def interpret(self, tokens: Any, states: States, watch: Any = None) -> tuple[Float32, States]:
        """Hidden states [n, hidden] after n more tokens, and the states behind them, all as bits."""
        given = {
            name: np.asarray(entries, np.float32).view(np.int32).astype(self._types[name])
            for name, entries in states.entries.items()
        }
        run = self._model.interpreter.run
        (hidden,), after = run(list(tokens), States(states.position, given), watch)
        kept = {name: _bits(entries) for name, entries in after.entries.items()}
        return _bits(hidden), States(after.position, kept)

    def logits_in_pieces(self, hidden: Float32) -> Iterator[tuple[int, Float32]]:
        """Logits as (first row, logits) pieces: exact below 256 in magnitude, beyond that rounded to float32."""
        values = np.ascontiguousarray(hidden).view(np.int32).astype(np.int64)
        for first, logits in self._model.logits_in_pieces(values):
            yield first, (logits / 2.0**FRACTION).astype(np.float32)
