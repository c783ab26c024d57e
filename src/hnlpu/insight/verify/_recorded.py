"""The emulator's own run on a text -> the activations that it sent into every matrix.

the model writes a text ──► the model reads it ──► [expert][vectors, inputs] of every matrix
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.run.emulate import (
    Activations,
    HardwiredConstants,
    InterpretedModel,
    Meeting,
    hardwired,
)
from hnlpu.silicon.hardwire import Build

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]
Recorded = dict[str, list[Int32]]
"""By matrix, one entry an expert: activations int32 [vectors, inputs]."""
Seen = dict[tuple[str, int], list[Int32]]


def record_activations(build: Build, tokens: int, seed: int) -> Recorded:
    """Activations of a run over `tokens` tokens that the model itself wrote, drawn by `seed`."""
    model = hardwired(build)
    ends = build.facts.eos_token_ids
    text = [ends[0] if ends else 0]
    written = model.generate(
        text, max_tokens=tokens - 1, temperature=1.0, seed=seed, ignore_end=True
    )
    ids = np.array(text + [token.id for token in written], np.int64)
    seen: Seen = defaultdict(list)
    constants = _Recorder(HardwiredConstants(build), seen)
    reader = InterpretedModel(build.network, build.facts, constants, build.directory)
    reader.logits(reader.forward(ids, reader.new_cache()))
    recorded: Recorded = {}
    for name, shape in build.shapes().items():
        empty = np.empty((0, shape.columns), np.int32)
        recorded[name] = [
            np.concatenate([empty, *seen[name, index]]) for index in range(shape.count)
        ]
    return recorded


class _Recorder:
    """Constants of a network that keep what their matrices are multiplied with."""

    def __init__(self, constants: HardwiredConstants, seen: Seen):
        self._constants, self._seen = constants, seen

    def prepare(self, x: Float32) -> Activations:
        return self._constants.prepare(x)

    def project(self, name: str, x: Activations, index: int = 0) -> Float32:
        assert x.integers is not None
        self._seen[name, index].append(x.integers)
        return self._constants.project(name, x, index)

    def project_all(self, meetings: Sequence[Meeting]) -> list[Float32]:
        return [self.project(*meeting) for meeting in meetings]

    def parameter(self, name: str) -> Float32:
        return self._constants.parameter(name)

    def rows(self, name: str, numbers: npt.NDArray[Any]) -> Float32:
        return self._constants.rows(name, numbers)
