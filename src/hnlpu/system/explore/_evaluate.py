"""A design -> `DesignScore`: rates at each context under full contention, joules, dollars, latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hnlpu.errors import DoesNotFit, InvalidInput
from hnlpu.system.catalog import Model, System
from hnlpu.system.cost import SECONDS_PER_YEAR
from hnlpu.system.explore._chip import Chip, make_chip
from hnlpu.system.explore._design import ExploredDesign
from hnlpu.system.explore._options import Options
from hnlpu.system.explore._price import Bill, price
from hnlpu.system.explore._start import check_explorable, own_options, published_design
from hnlpu.system.machine import (
    Contention,
    Load,
    Simulation,
    Specification,
    kv_state,
    machine_target,
    simulate,
    specification,
    token_work,
)

TOKENS_PER_SLOT = 12
FEWEST_TOKENS = 1500


@dataclass(frozen=True)
class Problem:
    """What all designs of a search have in common; `users` at once (None: one in every slot)."""

    system: System
    model: Model
    options: Options
    base: Specification
    contexts: tuple[int, ...]
    sliding: bool
    contention: Contention = "full"
    systems: int = 1
    respins: int = 0
    users: int | None = None

    @property
    def designed(self) -> bool:
        """Whether the system was designed for the model: a search starts from its own chips."""
        return self.system.target is not None


@dataclass(frozen=True)
class Point:
    """A design at one context."""

    context: int
    simulation: Simulation
    power_w: float
    bill: Bill

    @property
    def tokens_per_second(self) -> float:
        """Of one machine."""
        return self.simulation.tokens_per_second

    @property
    def tokens_per_usd(self) -> float:
        """Tokens of the years of owning for a dollar of it, always busy."""
        seconds = self.bill.years * SECONDS_PER_YEAR
        tokens = self.bill.systems * self.tokens_per_second * seconds
        return tokens / (self.bill.tco_musd * 1e6)

    @property
    def tokens_per_joule(self) -> float:
        """Tokens for a joule of the machine, before cooling."""
        return self.tokens_per_second / self.power_w

    @property
    def latency(self) -> float:
        """Seconds from one token of a user to the next."""
        return self.simulation.interval


@dataclass(frozen=True)
class DesignScore:
    """A design that was simulated, or why it was not."""

    design: ExploredDesign
    chip: Chip
    points: tuple[Point, ...]
    violations: Mapping[str, float]

    @property
    def feasible(self) -> bool:
        """Whether it can be built and holds its sequences."""
        return bool(self.points)


def make_problem(
    system: System, model: Model, options: Options, contexts: Sequence[int], *,
    sliding: bool, contention: Contention = "full", systems: int = 1, respins: int = 0,
    bits: float | None = None,
) -> Problem:  # fmt: skip
    """Check and gather what the designs of a search share.

    `bits` are those of the model's weights, as they are counted (default: as stored); a system that was
    designed for its model is for as many users as its target says.
    Raises InvalidInput, also for a system whose file lacks what designs are scaled from.
    """
    if not contexts or not all(1 <= context <= 2**24 for context in contexts):
        raise InvalidInput(f"`context` {list(contexts)}: give 1 to {2**24} positions")
    if not 1 <= systems <= 10**6:
        raise InvalidInput(f"`systems` {systems}: give 1 to 1000000")
    if not 0 <= respins <= 100:
        raise InvalidInput(f"`respins` {respins}: give 0 to 100")
    base = specification(system) if system.target is None else None
    check_explorable(system, options)
    if system.target is not None and system.model != model.name:
        raise InvalidInput(
            f"system {system.name} is designed for {system.model}; leave `model` out, or explore the chips of "
            f"{model.name}"
        )
    if base is None:
        held = model.hardwired_bits() if bits is None else bits
        base = machine_target(system, model, held).specification
    return Problem(
        system, model, own_options(system, options), base, tuple(contexts), sliding,
        contention, systems, respins, system.target.users if system.target else None,
    )  # fmt: skip


def reference_design(problem: Problem) -> ExploredDesign:
    """The machine that a search starts from and is to beat."""
    return published_design(problem.system, problem.model, problem.options, problem.base)


def evaluate(
    problem: Problem, design: ExploredDesign, *, force: bool = False, seed: int = 0
) -> DesignScore:
    """Build, simulate and price a design; with `force`, even one that cannot be built."""
    chip = make_chip(problem.system, problem.model, problem.options, design, problem.base)
    if problem.designed and design == reference_design(problem):
        chip = replace(chip, own=problem.system)
    violations = dict(chip.violations)
    if not force and max(violations.values()) > 0:
        return DesignScore(design, chip, (), violations)
    spec = chip.specification
    try:
        work = token_work(problem.model, spec.rows, spec.columns, problem.sliding)
    except (DoesNotFit, InvalidInput):
        if force:
            raise
        return DesignScore(design, chip, (), violations | {"grid": 1.0})
    embedding = problem.model.embedding_weights
    points = []
    for context in problem.contexts:
        kv = kv_state(spec, work, embedding, problem.users or spec.slots, context)
        violations[f"KV at {context}"] = kv.bytes / kv.capacity_bytes - 1
        if kv.fits or force:
            points.append(_point(problem, chip, context, seed))
    if points:
        hottest = max(chip.power_w(p.tokens_per_second) for p in points) / chip.area_mm2
        violations["cooling"] = hottest / problem.options.cooling.density.value - 1
    if not force and max(violations.values()) > 0:
        points = []
    return DesignScore(design, chip, tuple(points), violations)


def _point(problem: Problem, chip: Chip, context: int, seed: int) -> Point:
    spec = chip.specification
    # of a design as many as `hnlpu simulate` takes, so that both say the same
    tokens = None if problem.designed else max(FEWEST_TOKENS, TOKENS_PER_SLOT * spec.slots)
    result = simulate(
        spec, problem.model, Load(context, problem.users or spec.slots),
        contention=problem.contention, sliding=problem.sliding, seed=seed,
        tokens=tokens,
    )  # fmt: skip
    watts = chip.power_w(result.tokens_per_second) * spec.chips * chip.overhead
    bill = price(problem.system, chip, watts, problem.systems, problem.respins)
    return Point(context, result, watts, bill)
