"""A network of any family as a chip computes it: token ids in, logits out, whole numbers throughout.

Every result is what the chip's RTL gives for the same build, bit for bit, and depends on no other
token than those before it (docs/vector-unit.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.fixed_point import FRACTION, Random, chip_sample, inverse_temperature
from hnlpu.model.network import Network as Form
from hnlpu.run.emulate._chip_constants import ChipConstants
from hnlpu.run.emulate._chip_network import chip_interpreter
from hnlpu.run.emulate._chip_numerics import ChipNumerics
from hnlpu.run.emulate._interpreted import expect_language_model, split_off_logits
from hnlpu.run.emulate._network import Sampler, TokenModel, Tokens
from hnlpu.run.emulate._sampling import log_softmax
from hnlpu.run.emulate._states import States
from hnlpu.silicon.hardwire import Build

Int64 = npt.NDArray[np.int64]

NUMBERS_AT_ONCE = 2**22
"""As many positions run together as have this many numbers of the largest state in all."""


class ChipStates:
    """The states of one sequence: a value, so that to keep one is to be able to go back to it."""

    def __init__(self, states: States):
        self.states = states

    @property
    def length(self) -> int:
        """Positions that were taken in."""
        return self.states.position

    def reserve(self, positions: int) -> None:
        """States grow by themselves."""

    def save(self) -> States:
        """What `restore` goes back to."""
        return self.states

    def restore(self, states: States) -> None:
        """Go on from what was saved, of this sequence or of another."""
        self.states = states

    mark, rewind = save, restore  # states are values, so that nothing is copied


class ChipModel(TokenModel[ChipStates, np.int64]):
    """The model of a build in `chip` numerics; hidden states and logits are values (2^-16).

    Raises what `chip_interpreter` does, and InvalidInput for a network that makes no logits.
    """

    def __init__(self, build: Build):
        expect_language_model(build.network, build.facts, build.directory)
        self.architecture = build.facts
        self.constants = self._make_constants(build)
        parts = split_off_logits(build.network)
        self._matrix, self.body = parts.matrix, parts.body
        self.interpreter = chip_interpreter(
            parts.body, self.constants, build.directory, self._make_numerics
        )
        largest = max((math.prod(state.shape) for state in build.network.states), default=1)
        self._positions = max(1, NUMBERS_AT_ONCE // largest)

    def _make_constants(self, build: Build) -> ChipConstants:
        return ChipConstants(build)

    def _make_numerics(
        self, network: Form, constants: ChipConstants, made: Mapping[str, npt.NDArray[Any]]
    ) -> ChipNumerics:
        return ChipNumerics(network, constants, made)

    def new_cache(self) -> ChipStates:
        """The states of an empty sequence."""
        return ChipStates(self.interpreter.start())

    def logits(self, hidden: Int64) -> Int64:
        """Logits [n, vocabulary] of hidden states [n, hidden]."""
        if self._matrix is None:
            return hidden
        return self.constants.project(self._matrix, self.constants.prepare(hidden))

    def log_probabilities(self, logits: Int64) -> npt.NDArray[np.float64]:
        """Natural log-probabilities [n, vocabulary] of logits [n, vocabulary], in float64."""
        return log_softmax(logits / 2.0**FRACTION)

    def sampler(self, temperature: float, seed: int) -> Sampler:
        """The chip's own: at temperature 0 the first of the largest, else by xorshift64."""
        inverse, random = inverse_temperature(temperature), Random(seed)
        return lambda logits: chip_sample(logits, inverse, random)

    def _chunk(self, tokens: Tokens, cache: ChipStates) -> Int64:
        pieces = []
        for start in range(0, len(tokens), self._positions):
            piece = tokens[start : start + self._positions]
            (hidden,), cache.states = self.interpreter.run(list(piece), cache.states)
            pieces.append(np.asarray(hidden, np.int64))
        return np.concatenate(pieces)
