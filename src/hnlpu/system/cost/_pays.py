"""What chips are compared with, and the volume from which they pay: published rates, or what a user states.

Rival    a bought system, with the rates of its file and one that is given, or a price of tokens
Pays     the buyers' map at the source's low, value and high prices, against the best of these
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from hnlpu.errors import InvalidInput
from hnlpu.quantities import Quantity
from hnlpu.system.catalog import Rate, System
from hnlpu.system.cost._buyers import BuyersMap, Demand, buyers_map

if TYPE_CHECKING:
    from hnlpu.system.cost._summary import Costing

GIVEN = "as given"
MOST = 1e9
VOLUMES, LIVES = np.geomspace(1e9, 1e14, 101), np.arange(3.0, 37.0)
"""Output tokens a day and months of a model's life that break-even is looked for in."""


@dataclass(frozen=True)
class Rival:
    """What would be taken instead of chips: `system` bought or rented, or tokens at a price.

    `rate` is what a user states that one `system` makes of the model (output tokens/s), `rent` what an hour of it
    costs ($), `usd_per_mtoken` the price of a million output tokens from whoever sells them.  Each may be None:
    then the system's file says it, or nobody.
    """

    system: System
    rate: float | None = None
    rent: float | None = None
    usd_per_mtoken: float | None = None

    def check(self, model: str) -> None:
        """Raise InvalidInput for numbers that make no sense, say the same thing twice or move nothing of `model`."""
        for name, value in (
            ("against_rate", self.rate), ("rent", self.rent),
            ("against_usd_per_mtoken", self.usd_per_mtoken),
        ):  # fmt: skip
            if value is not None and not 0 < value < MOST:
                raise InvalidInput(f"`{name}` {value:g}: give a number above 0, below {MOST:g}")
        if self.rent is not None and self.usd_per_mtoken is not None:
            raise InvalidInput(
                "`rent` and `against_usd_per_mtoken` both say what is paid instead of chips; leave one out"
            )
        if self.rent is not None and self.best_rate(model) is None:
            raise InvalidInput(
                f"`rent` {self.rent:g}: no rate of {self.system.name} is known for {model}, so that rent says "
                "nothing of a token's price; give `against_rate`, the output tokens/s of one, too"
            )

    def rated(self, model: str) -> System:
        """The system with what is given of `model` among its rates, in front."""
        if self.rate is None:
            return self.system
        source = "stated by who asks"
        tokens = Quantity(self.rate, self.rate, self.rate, "token/s", source)
        given = Rate.model_construct(name=GIVEN, model=model, counts="output", tokens=tokens)
        return self.system.model_copy(update={"rate": [given, *self.system.rate]})

    def best_rate(self, model: str) -> Rate | None:
        """The rate to compare with: the given one, else the highest of the file that counts output."""
        rates = [r for r in self.rated(model).rate if r.model == model and r.counts == "output"]
        if self.rate is not None:
            return rates[0]
        return max(rates, key=lambda rate: rate.tokens.value, default=None)

    @property
    def usd_per_hour(self) -> float | None:
        """Rent of an hour of one system; None where nobody says it."""
        if self.rent is not None:
            return self.rent
        return self.system.rent.value if self.system.rent else None


@dataclass(frozen=True)
class Pays:
    """Where hardwiring pays, at the ends of the source's prices.

    `kind` says where the other side's figures come from, `words` what it is.  Rates and rent are None where
    tokens are bought at a price.
    """

    against: str
    words: str
    kind: Literal["given", "published"]
    output_tokens_per_second: float | None
    usd_per_hour: float | None
    usd_per_mtoken: float
    maps: Mapping[str, BuyersMap]

    def break_even(self) -> list[dict[str, float]]:
        """For each life in months the least volume that pays, output tokens a day; infinity for none."""
        ends = {name: found.break_even() for name, found in self.maps.items()}
        return [
            {"life_months": float(life), **{name: float(at[i]) for name, at in ends.items()}}
            for i, life in enumerate(LIVES)
        ]


def pays(c: Costing, rival: Rival) -> Pays | None:
    """From which volume the chips of a costing pay; None where nobody says what the other side costs.

    Both sides work for the plan's share of the time; tokens that are bought are paid when they are made.
    Raises InvalidInput for numbers that make no sense.
    """
    rival.check(c.subject.shape.name)
    model, busy = c.subject.shape.name, c.plan.utilisation
    made = c.rate.tokens_per_second * c.plan.output_share
    rate, dollars = rival.best_rate(model), rival.usd_per_hour
    if rival.usd_per_mtoken is not None:
        price = rival.usd_per_mtoken
        demand = Demand.at_price(made, price, busy)
        words = f"tokens bought at ${price:g} a million"
        return Pays("a price of tokens", words, "given", None, None, price, _maps(c, demand))
    if rate is None or dollars is None:
        return None
    demand = Demand(made, rate.tokens.value, dollars, hardwired_busy=busy, gpu_busy=busy)
    words = (
        f"{rival.system.title} rented at ${dollars:g} an hour, {rate.tokens.value:,.0f} output tokens/s "
        f"({rate.name})"
    )
    return Pays(
        rival.system.name, words, "published" if rival.rate is None else "given",
        rate.tokens.value, dollars, demand.usd_per_token * 1e6, _maps(c, demand),
    )  # fmt: skip


def _maps(c: Costing, demand: Demand) -> dict[str, BuyersMap]:
    chips = int(c.value.chips)
    return {
        "low": buyers_map(c.system, chips, demand, VOLUMES, LIVES, "low"),
        "value": buyers_map(c.system, chips, demand, VOLUMES, LIVES, "value"),
        "high": buyers_map(c.system, chips, demand, VOLUMES, LIVES, "high"),
    }
