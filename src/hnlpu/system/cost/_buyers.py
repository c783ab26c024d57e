"""Volume and life of a model -> where hardwiring pays against renting GPUs.

    release        chips in the rack                     next release
      |--- respin_time ---|------- hardwired --------------|--- respin_time ---|--- ...
           rented GPUs           (life - respin_time)           rented GPUs

A model that lives shorter than its chips take to make never runs on them.  Each release costs a
re-spin of all systems; the horizon ends with what was bought written off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.errors import InvalidInput
from hnlpu.system.catalog import System
from hnlpu.system.cost._assumptions import Assumptions, End, assume, end
from hnlpu.system.cost._estimate import estimate

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Demand:
    """What the map is drawn for.

    Rates are output tokens/s: of one hardwired system and of one rented GPU.  `busy` are the shares
    of time that each works, `horizon` the years until everything is written off.
    """

    hardwired_rate: float
    gpu_rate: float
    gpu_usd_per_hour: float
    hardwired_busy: float = 0.5
    gpu_busy: float = 0.5
    horizon: float = 3.0

    @property
    def usd_per_token(self) -> float:
        """Dollars of an output token on rented GPUs."""
        return self.gpu_usd_per_hour / 3600 / (self.gpu_rate * self.gpu_busy)

    @classmethod
    def at_price(cls, hardwired_rate: float, usd_per_mtoken: float, busy: float = 0.5) -> Demand:
        """Against output tokens that are bought at a price, whoever makes them: $ a million."""
        # what makes a million tokens an hour and costs the price for each hour
        return cls(hardwired_rate, 1e6 / 3600, usd_per_mtoken, busy, gpu_busy=1.0)


@dataclass(frozen=True)
class BuyersMap:
    """`ratio[i, j]` is renting's cost divided by hardwiring's at `volumes[i]` and `lives[j]`.

    Volumes are output tokens a day, lives months; above 1 hardwiring pays.
    """

    volumes: Floats
    lives: Floats
    systems: Floats
    rent_musd: Floats
    hardwire_musd: Floats

    @property
    def ratio(self) -> Floats:
        """Rent to hardwiring, [volumes, lives]."""
        ratio: Floats = self.rent_musd / self.hardwire_musd
        return ratio

    def break_even(self) -> Floats:
        """The least volume from which hardwiring pays for good, for each life; infinity for none."""
        found = np.full(len(self.lives), np.inf)
        for j in range(len(self.lives)):
            losing = np.flatnonzero(self.ratio[:, j] < 1)
            first = losing[-1] + 1 if losing.size else 0
            if first < len(self.volumes):
                found[j] = self.volumes[first]
        return found


def buyers_map(
    system: System,
    chips: int,
    demand: Demand,
    volumes: Floats,
    lives: Floats,
    which: End = "value",
) -> BuyersMap:
    """Costs over volumes (output tokens a day) and lives of a model (months).

    `which` end of the source's ranges prices the hardware.  Raises InvalidInput for numbers that
    make no sense.
    """
    _check(demand, volumes, lives)
    assert system.ownership is not None
    wait = system.ownership.respin_time
    respin_months = 0.0 if wait is None else float(end(which)("", wait))
    prices: Assumptions = assume(system, end(which))
    rate = demand.hardwired_rate * demand.hardwired_busy * 86_400
    per_day = np.asarray(volumes, float)[:, None]
    life = np.asarray(lives, float)[None, :]
    months = demand.horizon * 12
    releases = np.ceil(months / life - 1e-9)
    last = months - (releases - 1) * life
    # the last release may be cut short by the horizon
    served = (
        np.maximum(life - respin_months, 0) * (releases - 1) + np.maximum(last - respin_months, 0)
    ) / months
    # nobody orders chips for a release that the horizon or the next release overtakes
    made = np.where(life > respin_months, releases - 1, 0) + (last > respin_months)
    systems = np.ceil(per_day / rate - 1e-9)
    built = estimate(prices, chips, systems, np.maximum(made - 1, 0))
    rent = per_day * 365 * demand.horizon * demand.usd_per_token / 1e6 * np.ones_like(life)
    years = demand.horizon / built.years
    first = built.owned.capex_musd + built.owned.maintenance_musd * years
    running = built.owned.electricity_musd * years * served
    hardwired = first + running + np.maximum(made - 1, 0) * built.respin_musd
    total = np.where(made > 0, hardwired, np.inf) + rent * (1 - served)
    return BuyersMap(
        np.asarray(volumes, float),
        np.asarray(lives, float),
        systems[:, 0],
        rent,
        np.broadcast_to(total, rent.shape),
    )


def _check(demand: Demand, volumes: Any, lives: Any) -> None:
    for name in ("hardwired_rate", "gpu_rate", "gpu_usd_per_hour", "horizon"):
        if not getattr(demand, name) > 0:
            raise InvalidInput(f"{name} {getattr(demand, name):g}: give a number above 0")
    for name in ("hardwired_busy", "gpu_busy"):
        if not 0 < getattr(demand, name) <= 1:
            raise InvalidInput(f"{name} {getattr(demand, name):g}: give a share above 0, at most 1")
    for name, values in (("volumes", volumes), ("lives", lives)):
        array = np.asarray(values, float)
        if array.size == 0 or not np.isfinite(array).all() or array.min() <= 0:
            raise InvalidInput(f"{name}: give numbers above 0")
