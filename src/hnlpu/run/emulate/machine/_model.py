"""A build as its chips compute it together: `ChipModel` with slices, exchanges and a choice by chips."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.exchange import Exchange, choose, sent
from hnlpu.arithmetic.fixed_point import Random, inverse_temperature
from hnlpu.model.network import Network as Form
from hnlpu.run.emulate._chip_constants import ChipConstants
from hnlpu.run.emulate._chip_model import ChipModel
from hnlpu.run.emulate._chip_numerics import ChipNumerics
from hnlpu.run.emulate._network import Sampler
from hnlpu.run.emulate.machine._constants import MachineConstants
from hnlpu.run.emulate.machine._numerics import Array, MachineNumerics
from hnlpu.silicon.exchange import ChipGrid, ExchangePlan, exchange_plan, grid_of
from hnlpu.silicon.hardwire import Build

Int64 = npt.NDArray[np.int64]


class MachineModel(ChipModel):
    """The model of a build on a grid of chips (default: its placement's); see `ChipModel`.

    `exchange` is that of designs where none is given (`USUAL`: not exact).  With an exact one, hidden
    states, logits and tokens are those of one chip.
    """

    def __init__(
        self, build: Build, exchange: Exchange | None = None, grid: ChipGrid | None = None
    ):
        self.exchange = exchange or Exchange.of_formats()
        self.grid = grid or grid_of(build.manifest.placement)
        self.plan: ExchangePlan | None = None
        super().__init__(build)

    def _make_constants(self, build: Build) -> ChipConstants:
        return MachineConstants(build, self.grid, self.exchange)

    def _make_numerics(
        self, network: Form, constants: ChipConstants, made: Mapping[str, Array]
    ) -> ChipNumerics:
        assert isinstance(constants, MachineConstants)
        self.plan = exchange_plan(network, self.grid)
        crossings = self.plan.crossings
        constants.kept = frozenset(c.matrix for c in crossings if c.kept)
        constants.gathered = frozenset(
            c.matrix for c in crossings if c.kind == "values" and c.matrix
        )
        return MachineNumerics(network, constants, made, self.plan)

    def logits(self, hidden: Int64) -> Int64:
        """Logits [n, vocabulary] of hidden states [n, hidden], each chip's as the others see them."""
        logits = super().logits(hidden)
        if self.exchange.candidates:
            return logits
        form, out = self.exchange.formats.logits, np.array(logits)
        for first, behind in self._runs(logits.shape[-1]):
            out[:, first:behind] = sent(out[:, first:behind], form)
        return out

    def sampler(self, temperature: float, seed: int) -> Sampler:
        """The chip's own; with candidates, each chip takes part with its logits alone."""
        if not self.exchange.candidates:
            return super().sampler(temperature, seed)
        inverse, random = inverse_temperature(temperature), Random(seed)
        return partial(self._choose, inverse=inverse, random=random)

    def _choose(self, logits: Int64, inverse: int, random: Random) -> int:
        return choose([logits[a:b] for a, b in self._runs(len(logits))], inverse, random)

    def _runs(self, vocabulary: int) -> list[tuple[int, int]]:
        """Logits of each chip, in the order of their numbers."""
        if self._matrix is None or self.grid.chips == 1:
            return [(0, vocabulary)]
        return sorted({part.neurons for part in self.grid.slices[self._matrix]})
