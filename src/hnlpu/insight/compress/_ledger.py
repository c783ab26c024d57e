"""`Ledger`: what each step removed, and what the chips were before and behind it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from hnlpu.errors import DoesNotFit
from hnlpu.insight.sensitivity import areas_mm2, masks_per_chip
from hnlpu.model.checkpoint import read_model
from hnlpu.model.families import Family
from hnlpu.model.policy import Policy
from hnlpu.run.emulate import float_model, hardwired
from hnlpu.silicon.hardwire import build, open_build
from hnlpu.silicon.place import Target
from hnlpu.system.design import cost, design

_frozen = ConfigDict(frozen=True, extra="forbid")


class Chips(BaseModel):
    """The machine that is designed for a stage: `hnlpu design`, `simulate` and `cost` of its build.

    Areas in mm2 of all dies; `usd_chips` for the chips of one machine, `usd_once` for masks and design;
    `tokens_per_second` at the design's users and context, `joules_per_token` at that rate.
    """

    model_config = _frozen

    chips: int
    die_mm2: float
    usd_chips: float
    usd_once: float
    usd_per_mtoken: float
    tokens_per_second: float
    joules_per_token: float


class Stage(BaseModel):
    """A checkpoint of the chain: the one that was given, or what a step made.

    `perplexity` is that of the build's integers, `float_perplexity` that of its own numbers, both on
    the text that nothing was decided on.  `arrays_mm2` is what `hnlpu place` says of the build; `masks`
    are programmable masks of all chips.
    """

    model_config = _frozen

    step: str
    lines: tuple[str, ...]
    float_perplexity: float
    perplexity: float
    weights: int
    arrays_mm2: float
    masks: int
    machine: Chips | None


class Ledger(BaseModel):
    """The stages of a compression, the first of which is the checkpoint as it was.

    `coverage` is the share of matrices, each member counted, that the deciding text met.
    """

    model_config = _frozen

    checkpoint: str
    technology: str
    scheme: str
    decided_on: int
    judged_on: int
    coverage: float
    stages: tuple[Stage, ...]


@dataclass(frozen=True)
class Judge:
    """Measures a checkpoint: builds it, hears it on a text, designs and prices its chips."""

    text: str
    target: Target
    policy: Policy
    family: Family[Any] | None
    workers: int | None

    def stage(self, checkpoint: Path, folder: Path, step: str, lines: tuple[str, ...]) -> Stage:
        """The stage of a checkpoint, whose build is made in `folder`; raises any HnlpuError."""
        model = float_model(checkpoint, self.family)
        build(
            checkpoint, folder, self.policy, self.target, family=self.family, workers=self.workers
        )
        made = open_build(folder)
        network = read_model(checkpoint, self.family).network
        return Stage(
            step=step, lines=lines,
            float_perplexity=model.score(self.text).perplexity,
            perplexity=hardwired(made).score(self.text).perplexity,
            weights=sum(m.count * m.rows * m.columns for m in network.matrices),
            arrays_mm2=sum(areas_mm2(made).values()),
            masks=masks_per_chip(made) * made.manifest.placement.chips,
            machine=_machine(folder),
        )  # fmt: skip


def _machine(folder: Path) -> Chips | None:
    """The machine of a build; None where no die holds it."""
    try:
        designed = design(str(folder))
        priced = cost(str(folder), trials=20)  # bands are not shown
    except DoesNotFit:
        return None
    rate = designed.rate().tokens_per_second
    system, value = designed.system, priced.value
    assert system.die
    return Chips(
        chips=system.chips, die_mm2=system.chips * system.die.area.value,
        usd_chips=float(value.chip_usd) * system.chips, usd_once=1e6 * float(value.nre_musd),
        usd_per_mtoken=priced.usd_per_mtoken(value), tokens_per_second=float(rate),
        joules_per_token=float(value.power_w) / float(rate),
    )  # fmt: skip
