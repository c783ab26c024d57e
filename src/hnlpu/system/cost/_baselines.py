"""One hardwired system beside GPUs: the source's rate and fair ones, each with its own ratio.

Rates are of two kinds.  A pipeline of hardwired stages counts every token that passes, prompt or
output; benchmarks of GPUs count output alone.  With as many prompt as output tokens, output is
half of what is processed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hnlpu.errors import InvalidInput
from hnlpu.system.catalog import Rate, System
from hnlpu.system.cost._assumptions import End, end, owning_of
from hnlpu.system.cost._estimate import Estimate, Owned, cost_per_mtoken, own


@dataclass(frozen=True)
class Rates:
    """A rate in all its readings: tokens/s of the system and of one user (None: not stated)."""

    name: str
    source: str
    processed: float
    output: float
    users: int | None

    @property
    def output_per_user(self) -> float | None:
        """Output tokens/s that one user sees."""
        return self.output / self.users if self.users else None

    @property
    def processed_per_user(self) -> float | None:
        """Tokens/s that pass for one user."""
        return self.processed / self.users if self.users else None


def rates_of(rate: Rate, output_share: float) -> Rates:
    """Both readings of a published rate; `output_share` of all processed tokens are output."""
    given = rate.tokens.value
    processed, output = (
        (given, given * output_share)
        if rate.counts == "processed"
        else (given / output_share, given)
    )
    return Rates(rate.name, rate.tokens.source, processed, output, rate.users)


@dataclass(frozen=True)
class Comparison:
    """GPUs that do what one group of hardwired systems does, at one rate a GPU.

    `gpus_as_published` sets the hardwired processed rate against the GPUs' output, as the HNLPU paper
    does; `gpus` sets output against output.  Ratios are GPUs to hardwired: dollars of `tco_musd`,
    electricity, carbon.  `usd_per_mtoken` counts output tokens.
    """

    rate: Rates
    gpus_as_published: float
    gpus: float
    tco_musd: float
    tco_ratio: float
    tco_ratio_as_published: float
    usd_per_mtoken: float
    joule_per_token: float
    energy_ratio: float
    tco2e: float
    carbon_ratio: float


def own_bought(system: System, units: float, which: End = "value") -> Owned:
    """Owning `units` systems that are bought (GPUs); raises InvalidInput without a price."""
    if system.price is None:
        raise InvalidInput(f"system {system.name} has no price in its file")
    pick = end(which)
    hardware = np.asarray(pick("price", system.price)) * units / 1e6
    megawatts = system.power.system.value * units / 1e6
    return own(owning_of(system, pick), hardware, system.chips * units, megawatts)


def compare(
    hardwired: Estimate,
    tokens_per_second: float,
    gpu: System,
    output_share: float = 0.5,
    model: str = "gpt-oss-120b",
    utilisation: float = 1.0,
) -> list[Comparison]:
    """One row for each rate of `gpu` on `model`.

    `tokens_per_second` is what one hardwired system processes; both work for the same share
    `utilisation` of the time.  Raises InvalidInput for a share of
    output outside of 0 to 1, and for a system without price.
    """
    if not 0 < output_share <= 1:
        raise InvalidInput(f"output share {output_share:g}: give a number above 0, at most 1")
    all_processed = tokens_per_second * float(hardwired.systems)
    all_output = all_processed * output_share
    watts = float(hardwired.owned.facility_mw) * 1e6
    rows = []
    for rate in gpu.rate:
        if rate.model != model:
            continue
        reading = rates_of(rate, output_share)
        units = all_output / reading.output
        owned = own_bought(gpu, units)
        published = own_bought(gpu, all_processed / rate.tokens.value)
        joule = float(owned.facility_mw) * 1e6 / all_output
        rows.append(
            Comparison(
                rate=reading,
                gpus_as_published=all_processed / rate.tokens.value * gpu.chips,
                gpus=units * gpu.chips,
                tco_musd=float(owned.tco_musd),
                tco_ratio=float(owned.tco_musd / hardwired.tco_musd),
                tco_ratio_as_published=float(published.tco_musd / hardwired.tco_musd),
                usd_per_mtoken=float(
                    cost_per_mtoken(owned.tco_musd, all_output, hardwired.years, utilisation)
                ),
                joule_per_token=joule,
                energy_ratio=joule / (watts / all_output),
                tco2e=float(owned.tco2e),
                carbon_ratio=float(owned.tco2e / hardwired.tco2e),
            )
        )
    return rows
