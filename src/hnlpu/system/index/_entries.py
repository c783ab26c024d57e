"""A model and a process -> `Entry`: area, chips, masks, dollars, break-even, and the best machine found.

Each entry is what `hnlpu design`, `cost` and `explore` say; where one of them refuses, the entry has its words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hnlpu.errors import HnlpuError, ToolMissing
from hnlpu.silicon.technology import load_technology, technology_names
from hnlpu.system.catalog import System, load_system, model_names
from hnlpu.system.cost import Costing, OwnershipPlan, Rival, cost, mask_count, pays
from hnlpu.system.design import design, open_machine, open_named
from hnlpu.system.explore import (
    best,
    check_installed,
    load_options,
    make_problem,
    parse_objectives,
    search,
)
from hnlpu.system.index._prices import token_price
from hnlpu.system.machine import default_context, uses_windows

PUBLISHED = "hnlpu-asplos26"
"""The machine that is published, whose chips any model can be put on; searches start from it."""
BANDS = 20  # trials: bands are not shown
OBJECTIVE = "tokens_per_usd"
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Entry:
    """One line of the index.  What is None is unknown, and `problem` or the columns' kinds say why.

    Areas are mm2, money million dollars but for `usd_per_mtoken` (dollars of a million tokens that pass, prompts
    and answers), `pays_above` output tokens a day from which a model that lives 12 months pays: infinity for
    none.
    """

    model: str
    machine: str
    technology: str
    problem: str = ""
    weights: int | None = None
    chips: int | None = None
    die_mm2: float | None = None
    silicon_mm2: float | None = None
    chip_masks: int | None = None
    all_masks: int | None = None
    context: int | None = None
    users: int | None = None
    tokens_per_second: float | None = None
    limit: str = ""
    nre_musd: float | None = None
    respin_musd: float | None = None
    tco_musd: float | None = None
    usd_per_mtoken_low: float | None = None
    usd_per_mtoken: float | None = None
    usd_per_mtoken_high: float | None = None
    against: str = ""
    against_usd_per_mtoken: float | None = None
    pays_above: float | None = None
    best_times_tokens_per_usd: float | None = None
    best_machine: str = ""

    def facts(self) -> dict[str, Any]:
        """Its values by name."""
        return asdict(self)


COLUMNS = {
    "model": ("model", "name"), "machine": ("machine", "name"), "technology": ("process", "name"),
    "problem": ("why not", "computed"), "weights": ("weights", "computed"), "chips": ("chips", "computed"),
    "die_mm2": ("die, mm2", "computed"), "silicon_mm2": ("all dies, mm2", "computed"),
    "chip_masks": ("masks of each chip", "computed"), "all_masks": ("masks of a system", "computed"),
    "context": ("positions", "computed"), "users": ("users", "computed"),
    "tokens_per_second": ("tokens/s at most", "computed"), "limit": ("limit", "computed"),
    "nre_musd": ("masks and design, M$", "computed from estimates"),
    "respin_musd": ("re-spin, M$", "computed from estimates"),
    "tco_musd": ("3 years, M$", "computed from estimates"),
    "usd_per_mtoken_low": ("$ a million tokens, low", "computed from estimates"),
    "usd_per_mtoken": ("$ a million tokens", "computed from estimates"),
    "usd_per_mtoken_high": ("$ a million tokens, high", "computed from estimates"),
    "against": ("against", "published"),
    "against_usd_per_mtoken": ("its $ a million output tokens", "published"),
    "pays_above": ("pays above, output tokens a day", "computed from estimates"),
    "best_times_tokens_per_usd": ("tokens a dollar, best found over published", "simulated"),
    "best_machine": ("best machine found", "simulated"),
}  # fmt: skip
"""Of each value of an entry: its heading, and the kind of figure that it is."""


def hardwiring_index(
    models: Sequence[str] | None = None, technologies: Sequence[str] | None = None, *,
    trials: int = 0, progress: Progress | None = None,
) -> list[Entry]:  # fmt: skip
    """Entries of models (default: the catalog's) on chips of their own in each process, and on published ones.

    `trials` designs are searched for each model from the published machine (0: none, which needs no Optuna).
    Raises InvalidInput for a process or model that is unknown, ToolMissing for a search without Optuna.
    """
    if trials:
        try:
            check_installed()
        except ToolMissing as error:
            raise ToolMissing(f"{error}, or give `trials` 0, which searches nothing") from None
    names = list(models) if models else model_names()
    processes = list(technologies) if technologies else technology_names()
    for process in processes:
        load_technology(process)
    for name in names:
        open_named(name)
    jobs: list[tuple[str, str | None]] = []
    home = load_system(PUBLISHED).technology
    for name in names:
        jobs += [(name, process) for process in processes]
        if home in processes:
            jobs.append((name, None))
    entries = []
    for n, (name, own) in enumerate(jobs):
        if progress:
            progress(f"{name} {own or PUBLISHED}", n, len(jobs))
        entries.append(_own(name, own) if own else _published(name, trials))
    return entries


def _own(model: str, technology: str) -> Entry:
    """A model on chips designed for it."""
    try:
        made = design(model, technology=technology)
        found = cost(made.system, made.subject, OwnershipPlan(), BANDS)
        return _entry(model, "own chips", technology, found)
    except HnlpuError as error:
        return Entry(model, "own chips", technology, str(error).replace("`", ""))


def _published(model: str, trials: int) -> Entry:
    """A model on as many of the published chips as hold it, and what a search finds from there."""
    system = load_system(PUBLISHED)
    technology = str(system.technology)
    try:
        machine = open_machine(PUBLISHED, model=model)
        found = cost(machine.system, machine.subject, OwnershipPlan(), BANDS)
        better = _search(system, found, trials) if trials else {}
        return _entry(model, PUBLISHED, technology, found, **better)
    except HnlpuError as error:
        return Entry(model, PUBLISHED, technology, str(error).replace("`", ""))


def _entry(model: str, machine: str, technology: str, found: Costing, **better: Any) -> Entry:
    value, rate = found.value, found.rate.computed
    assert rate
    assert found.system.prices
    masks = found.system.prices.masks
    own = mask_count(masks, programmable=True)
    chips = int(value.chips)
    other = pays(found, _rival(model))
    above = None
    if other is not None:
        year = next(row for row in other.break_even() if row["life_months"] == 12)
        above = year["value"]
    return Entry(
        model, machine, technology,
        weights=found.subject.shape.hardwired_weights, chips=chips,
        die_mm2=found.system.die.area.value, silicon_mm2=float(value.area_mm2),
        chip_masks=own, all_masks=mask_count(masks, programmable=False) + own * chips,
        context=rate.context, users=rate.users,
        tokens_per_second=rate.tokens_per_second, limit=rate.resource,
        nre_musd=float(value.nre_musd), respin_musd=float(value.respin_musd),
        tco_musd=float(value.tco_musd),
        usd_per_mtoken_low=found.usd_per_mtoken(found.low),
        usd_per_mtoken=found.usd_per_mtoken(value),
        usd_per_mtoken_high=found.usd_per_mtoken(found.high),
        against="" if other is None else other.words,
        against_usd_per_mtoken=None if other is None else other.usd_per_mtoken,
        pays_above=above, **better,
    )  # fmt: skip


def _rival(model: str) -> Rival:
    """The published rate of a GPU where there is one, else the price of tokens where somebody sells them."""
    gpu = load_system("h100")
    price = token_price(model)
    if any(rate.model == model for rate in gpu.rate) or price is None:
        return Rival(gpu)
    return Rival(gpu, usd_per_mtoken=price.value)


def _search(system: System, found: Costing, trials: int) -> dict[str, Any]:
    """The machine with the most tokens a dollar that a search finds, over the published one."""
    shape = found.subject.shape
    problem = make_problem(
        system, shape, load_options(None), (default_context(shape),),
        sliding=uses_windows(system, shape),
    )  # fmt: skip
    winner = best(search(problem, parse_objectives(OBJECTIVE), trials))
    if winner is None:
        return {"best_machine": f"none of {trials} is better"}
    d = winner.score.design
    gain = winner.gains[0]
    assert np.isfinite(gain)
    return {
        "best_times_tokens_per_usd": float(gain),
        "best_machine": (
            f"{d.rows} x {d.columns} chips of {winner.score.chip.area_mm2:.0f} mm2, {d.arrays} arrays, "
            f"{d.vector_units} vector units, {d.buffer_mb} MB, {d.stacks} x {d.memory}, {d.kv_bits}-bit keys "
            "and values"
        ),
    }
