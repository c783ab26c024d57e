"""`hnlpu.simulate` and `hnlpu.cost`: what the commands of these names do, for Python."""

from __future__ import annotations

from hnlpu.errors import InvalidInput
from hnlpu.system.cost import Costing, OwnershipPlan
from hnlpu.system.cost import cost as price
from hnlpu.system.design._design import open_machine, open_target
from hnlpu.system.machine import Contention, Load, Requests, Simulation
from hnlpu.system.machine import simulate as run


def simulate(
    what: str, *, model: str | None = None, system: str | None = None, context: int | None = None,
    users: int | None = None, requests: Requests | None = None, grid: tuple[int, int] | None = None,
    kv_bits: int | None = None, sliding: bool | None = None, contention: Contention = "full",
    tokens: int | None = None, seed: int = 0,
) -> Simulation:  # fmt: skip
    """Simulate a system with a model, or a model on the chips designed for it.

    `what` is a system by its name or file with `model` (default: its own), or a model: a build, a checkpoint,
    a config.json, a Hub id, a name of the catalog; `system` is then the library that its design takes parts
    from.  `users` sequences generate with `context` cached positions each (default: what the machine is
    designed for), or `requests` come and go.  `tokens` bounds how many are simulated.

    Returns rates (tokens/s), times (seconds) and shares; `bound` is what no schedule exceeds.  Raises
    InvalidInput, DoesNotFit, and the errors of reading a model or a system.
    """
    target = open_target(what, model, system=system, kv_bits=kv_bits, grid=grid)
    load = Load(
        target.context if context is None else context,
        target.users if users is None else users, requests,
    )  # fmt: skip
    return run(
        target.specification, target.model, load, contention=contention,
        sliding=target.windows if sliding is None else sliding, seed=seed, tokens=tokens,
    )  # fmt: skip


def cost(
    what: str, *, model: str | None = None, system: str | None = None, weights: str | None = None,
    plan: OwnershipPlan | None = None, trials: int = 2000, seed: int = 0,
) -> Costing:  # fmt: skip
    """Price a hardwired system with a model, or a model on the chips designed for it.

    `what`, `model` and `system` are as for `simulate`; `weights` is the way in which bits of weights are
    counted (`stored`, `two-digits`, `one-digit`); `plan` says how often it is built and re-spun, and what it is
    used for.  `trials` of a Monte Carlo make the bands.

    Returns estimates at the source's low, value and high: million dollars, tonnes of CO2e; the rate (tokens/s)
    that prices follow from, and what is published beside it.  Raises InvalidInput, DoesNotFit, and the errors
    of reading a model or a system.
    """
    asked = OwnershipPlan() if plan is None else plan
    found = open_machine(what, model=model, system=system, weights=weights, grid=asked.grid)
    if found.system.prices is None:
        raise InvalidInput(
            f"system {found.system.name} is bought, not built; take `hnlpu.system.cost.bought_facts`"
        )
    return price(found.system, found.subject, asked, trials, seed)
