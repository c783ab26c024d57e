"""The emulator's own run on a text -> the activations that it sent into every matrix.

the model writes a text ──► the model reads it ──► [expert][vectors, inputs] of every matrix
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.model.checkpoint import Architecture
from hnlpu.run.emulate import (
    Activations,
    HardwiredConstants,
    HardwiredWeights,
    InterpretedModel,
    Transformer,
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
    reader: Any
    if isinstance(build.facts, Architecture):
        reader = Transformer(_Recorder(HardwiredWeights(build), seen))
    else:
        constants = _NetworkRecorder(HardwiredConstants(build), seen)
        reader = InterpretedModel(build.network, build.facts, constants, build.directory)
    reader.logits(reader.forward(ids, reader.new_cache()))
    recorded: Recorded = {}
    for name, shape in build.shapes().items():
        empty = np.empty((0, shape.columns), np.int32)
        recorded[name] = [
            np.concatenate([empty, *seen[name, index]]) for index in range(shape.count)
        ]
    return recorded


class _NetworkRecorder:
    """Constants of a network that keep what their matrices are multiplied with."""

    def __init__(self, constants: HardwiredConstants, seen: Seen):
        self._constants, self._seen = constants, seen

    def prepare(self, x: Float32) -> Activations:
        return self._constants.prepare(x)

    def project(self, name: str, x: Activations, index: int = 0) -> Float32:
        assert x.integers is not None
        self._seen[name, index].append(x.integers)
        return self._constants.project(name, x, index)

    def parameter(self, name: str) -> Float32:
        return self._constants.parameter(name)

    def rows(self, name: str, numbers: npt.NDArray[Any]) -> Float32:
        return self._constants.rows(name, numbers)


class _Recorder:
    """Hardwired weights that keep what they are multiplied with, by matrix and expert."""

    def __init__(self, weights: HardwiredWeights, seen: Seen):
        self._weights = weights
        self.seen = seen

    @property
    def architecture(self) -> Architecture:
        return self._weights.architecture

    def embed(self, tokens: npt.NDArray[np.int64]) -> Float32:
        return self._weights.embed(tokens)

    def vector(self, name: str) -> Float32:
        return self._weights.vector(name)

    def prepare(self, x: Float32) -> Activations:
        return self._weights.prepare(x)

    def project(self, name: str, x: Activations, index: int = 0) -> Float32:
        assert x.integers is not None
        self.seen[name, index].append(x.integers)
        return self._weights.project(name, x, index)

    def project_all(self, names: Sequence[str], x: Activations) -> list[Float32]:
        return [self.project(name, x) for name in names]

    def project_experts(
        self, name: str, x: Activations, pieces: Sequence[tuple[int, int]]
    ) -> Float32:
        assert x.integers is not None
        ends = [first for _, first in pieces[1:]] + [len(x.integers)]
        return np.concatenate(
            [
                self.project(name, x.part(slice(first, end)), expert)
                for (expert, first), end in zip(pieces, ends, strict=True)
            ]
        )
