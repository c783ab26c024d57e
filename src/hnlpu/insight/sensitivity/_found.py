"""What a measurement found: `Sensitivity`, as data that goes to a file and comes back."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from hnlpu.model.policy import Policy

_frozen = ConfigDict(frozen=True, extra="forbid")


class Option(BaseModel):
    """One matrix, one role or all of the model in a coarser format, all else in the finest.

    `loss` is how much higher the perplexity is than with every matrix in its finest format, as a share
    of that.  `area_mm2` is what its arrays take in this format, `finest_area_mm2` in the finest;
    `masks` and `usd` are the programmable masks and the dollars that the difference saves, None
    without prices.
    """

    model_config = _frozen

    name: str
    kind: Literal["matrix", "role", "model"]
    role: str
    format: str
    relative_error: float
    perplexity: float
    loss: float
    area_mm2: float
    finest_area_mm2: float
    masks: float | None
    usd: float | None

    @property
    def saved_mm2(self) -> float:
        """What the coarser format saves."""
        return self.finest_area_mm2 - self.area_mm2


class BudgetStep(BaseModel):
    """A measured mixture: the `finer` matrices that lose most per mm2 in the finest format."""

    model_config = _frozen

    finer: int
    perplexity: float
    loss: float
    area_mm2: float
    usd: float | None


class Sensitivity(BaseModel):
    """All that was measured on one text.

    `loss` of steps is against the float model; `exact` are matrices that their coarsest format
    reproduces, so that there is nothing to choose.  `policy` is the cheapest measured mixture that
    loses at most `budget` against float; None where none does.
    """

    model_config = _frozen

    checkpoint: str
    coarser: str
    text_sha256: str
    tokens: int
    activation_bits: int
    technology: str
    scheme: str
    chips: int
    masks_per_chip: int
    system: str | None
    usd_per_mm2: float | None
    float_perplexity: float
    finest_perplexity: float
    exact: tuple[str, ...]
    options: tuple[Option, ...]
    order: tuple[str, ...]
    steps: tuple[BudgetStep, ...]
    budget: float
    chosen: BudgetStep | None
    policy: Policy | None
