"""A machine and lists of values -> a row for each combination: chips, die, rate, money.

context = 1024, 8192         of the plan: context, users, output_share, utilisation, systems, respins
machine.link.bandwidth = 64  of the system's file, by its dotted key, in the unit of the file's field
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from hnlpu.errors import HnlpuError, InvalidInput
from hnlpu.system.catalog import System, find_quantity
from hnlpu.system.cost import OwnershipPlan, cost
from hnlpu.system.design._design import NamedMachine, open_machine

WHOLE = ("context", "users", "systems", "respins")
SHARES = ("output_share", "utilisation")
MOST = 100_000
TRIALS = 20
"""Of the bands, which a sweep does not show."""

Row = dict[str, Any]


def sweep(
    what: str, vary: Mapping[str, Sequence[float]], *, model: str | None = None,
    system: str | None = None, plan: OwnershipPlan | None = None,
) -> list[Row]:  # fmt: skip
    """Price every combination of values, the last key fastest; rows are dictionaries, as pandas takes them.

    `what`, `model` and `system` are as for `hnlpu.cost`.  Where a combination makes no machine, its row has
    `problem` in words and nothing else beside its values.  Raises InvalidInput for a key that is none and
    for more than `MOST` combinations, and the errors of reading a model or a system.
    """
    found = open_machine(what, model=model, system=system)
    count = 1
    for key, values in vary.items():
        count *= len(values)
        if key not in (*WHOLE, *SHARES) and find_quantity(found.system, key) is None:
            raise InvalidInput(
                f"{key!r} is no value of {found.system.name}; give {', '.join((*WHOLE, *SHARES))}, or a key "
                "of its file as in machine.link.bandwidth"
            )
        if not values:
            raise InvalidInput(f"{key}: give values, as in {key}=1,2")
    if count > MOST:
        raise InvalidInput(f"{count:,} combinations: give at most {MOST:,}")
    asked = OwnershipPlan() if plan is None else plan
    return [
        _row(found, asked, dict(zip(vary, values, strict=True)))
        for values in itertools.product(*vary.values())
    ]


def _row(found: NamedMachine, plan: OwnershipPlan, values: dict[str, float]) -> Row:
    try:
        changed = _changed(found.system, {k: v for k, v in values.items() if "." in k})
        wanted = {
            key: _whole(key, value) if key in WHOLE else value
            for key, value in values.items() if "." not in key
        }  # fmt: skip
        priced = cost(changed, found.subject, replace(plan, **wanted), TRIALS)  # type: ignore[arg-type]  # by name
    except HnlpuError as error:
        return {**values, "problem": str(error)}
    rate = priced.rate
    return {
        **values,
        "chips": int(priced.value.chips),
        "die_mm2": priced.system.die.area.value,
        "power_w": float(priced.value.power_w),
        "tokens_per_second": rate.tokens_per_second,
        "users": rate.users,
        "limit": rate.computed.resource if rate.computed else "given",
        "nre_musd": float(priced.value.nre_musd),
        "tco_musd": float(priced.value.tco_musd),
        "usd_per_mtoken": priced.usd_per_mtoken(priced.value),
        "tco2e": float(priced.value.tco2e),
        "problem": "",
    }


def _whole(key: str, value: float) -> int:
    if not math.isfinite(value) or value != int(value):
        raise InvalidInput(f"`{key}` {value:g}: give a whole number")
    return int(value)


def _changed(system: System, values: Mapping[str, float]) -> System:
    """The system with values in place of its own; raises InvalidInput where they contradict the others."""
    if not values:
        return system
    given = system.model_dump()
    for key, value in values.items():
        at = given
        *parts, last = key.split(".")
        for part in parts:
            at = at[part]
        kept = {k: v for k, v in at[last].items() if k not in ("low", "high")}
        at[last] = kept | {"value": value, "source": "a sweep's"}
    # bounds of a doubt that do not hold the new value say nothing of it
    given["range"] = [entry for entry in given.get("range", []) if entry["key"] not in values]
    try:
        return System.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(str(error.errors()[0]["msg"]).removeprefix("Value error, ")) from None
