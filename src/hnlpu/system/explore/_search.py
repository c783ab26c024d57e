"""Optuna proposes designs, workers score them: NSGA-II over what an architect may choose.

A generation is proposed at once, scored in parallel (in threads here, or as tasks of a Ray cluster)
and told in order, so that a seed gives the same search wherever and however wide it runs.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hnlpu._workers import open_workers
from hnlpu.errors import InvalidInput, ToolMissing
from hnlpu.system.explore._design import ExploredDesign, canonical, choices, own_choices
from hnlpu.system.explore._evaluate import DesignScore, Point, Problem, evaluate, reference_design
from hnlpu.system.explore._options import Options

OBJECTIVES = ("tokens_per_usd", "tokens_per_joule", "latency")
GENERATION = 50
WORST = 1e-9
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Candidate:
    """A scored design and its gains over the reference: the least over all contexts, one each."""

    score: DesignScore
    gains: tuple[float, ...]


@dataclass(frozen=True)
class Search:
    """All of a search.  `front` are the candidates that no other betters in every objective."""

    problem: Problem
    objectives: tuple[str, ...]
    reference: DesignScore
    candidates: tuple[Candidate, ...]
    front: tuple[Candidate, ...]
    trials: int
    infeasible: int


def parse_objectives(text: str) -> tuple[str, ...]:
    """Objectives of "a,b"; raises InvalidInput."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    wrong = [name for name in names if name not in OBJECTIVES]
    if wrong or not names or len(set(names)) < len(names):
        raise InvalidInput(
            f"`objective` {text!r}: give one or more of {', '.join(OBJECTIVES)}, each once"
        )
    return names


def search(
    problem: Problem,
    objectives: Sequence[str],
    trials: int,
    *,
    kv_bits: tuple[int, ...] = (16, 8, 4),
    seed: int = 0,
    workers: int | None = None,
    ray: str | None = None,
    progress: Progress | None = None,
) -> Search:
    """Search `trials` designs.

    Each objective is a gain over the system as published, simulated in the same way: tokens a
    dollar and a joule as multiples, latency as the reference's over the design's; with several
    contexts the least of them counts.  Raises InvalidInput, or ToolMissing without Optuna or Ray.
    """
    if not 1 <= trials <= 10**6:
        raise InvalidInput(f"`trials` {trials}: give 1 to 1000000")
    optuna = _import("optuna", "'hnlpu[explore]'")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    reference = evaluate(problem, reference_design(problem), force=True)
    space = _space(problem, reference.design, kv_bits)
    sampler = optuna.samplers.NSGAIISampler(population_size=GENERATION, seed=seed)
    study = optuna.create_study(directions=["maximize"] * len(objectives), sampler=sampler)
    for start in _starts(reference.design, problem.options, space):
        study.enqueue_trial(start)
    candidates: dict[ExploredDesign, Candidate] = {}
    done = infeasible = 0
    with _scoring(problem, workers, ray) as score_all:
        while done < trials:
            asked = [study.ask() for _ in range(min(GENERATION, trials - done))]
            designs = [
                canonical(_propose(trial, space), reference.design, problem.options)
                for trial in asked
            ]
            known = {d: candidates[d].score for d in designs if d in candidates}
            fresh = list(dict.fromkeys(d for d in designs if d not in known))
            scores = dict(zip(fresh, score_all(fresh), strict=True)) | known
            for trial, design in zip(asked, designs, strict=True):
                score = scores[design]
                gains = gains_of(score, reference, objectives)
                trial.set_user_attr("violations", [max(0.0, v) for v in score.violations.values()])
                study.tell(trial, list(gains))
                infeasible += not score.feasible
                if score.feasible:
                    candidates[design] = Candidate(score, gains)
            done += len(asked)
            if progress:
                progress("designs", done, trials)
    found = tuple(candidates.values())
    return Search(
        problem, tuple(objectives), reference, found, pareto_front(found), done, infeasible
    )


def _space(
    problem: Problem, reference: ExploredDesign, kv_bits: tuple[int, ...]
) -> dict[str, list[Any]]:
    """What may be chosen for each field, starting from a published machine or from a designed one."""
    if not problem.designed:
        return choices(problem.options, kv_bits)
    machine = problem.system.machine
    assert machine
    return own_choices(
        reference, problem.options, kv_bits, links=machine.link is not None,
        stacks=bool(problem.system.blocks_for("HBM PHY")),
    )  # fmt: skip


def gains_of(
    score: DesignScore, reference: DesignScore, objectives: Sequence[str]
) -> tuple[float, ...]:
    """The gain in each objective, the least over the contexts."""
    if not score.feasible:
        return (WORST,) * len(objectives)
    pairs = list(zip(score.points, reference.points, strict=True))
    return tuple(min(gain(point, other, name) for point, other in pairs) for name in objectives)


def gain(point: Point, reference: Point, objective: str) -> float:
    """How many times better than the reference."""
    if objective == "latency":
        return reference.latency / point.latency
    return float(getattr(point, objective) / getattr(reference, objective))


def pareto_front(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Candidates that no other equals or betters in every objective, best first."""
    front: list[Candidate] = []
    for one in sorted(candidates, key=lambda c: c.gains, reverse=True):
        if not any(_betters(other.gains, one.gains) for other in front):
            front.append(one)
    return tuple(front)


def _betters(a: Sequence[float], b: Sequence[float]) -> bool:
    return all(x >= y for x, y in zip(a, b, strict=True))


def _propose(trial: Any, space: dict[str, list[Any]]) -> ExploredDesign:
    return ExploredDesign(**{name: trial.suggest_categorical(name, allowed)
                     for name, allowed in space.items()})  # fmt: skip


def _starts(
    reference: ExploredDesign, options: Options, space: dict[str, list[Any]]
) -> Iterator[dict[str, Any]]:
    """Points to begin with: the reference, then it changed by each start, at every allowed precision."""
    own = reference.values() | {"experts_per_bank": max(space["experts_per_bank"])}
    for change in ({}, *(start.changes() for start in options.start)):
        for bits in space["kv_bits"] if change else space["kv_bits"][:1]:
            start = own | change | {"kv_bits": bits}
            if all(value in space[name] for name, value in start.items()):
                yield start


ScoreAll = Callable[[Sequence[ExploredDesign]], list[DesignScore]]


@contextmanager
def _scoring(problem: Problem, workers: int | None, address: str | None) -> Iterator[ScoreAll]:
    """A function that scores designs in parallel, here or on a Ray cluster."""
    if address is None:
        count = workers or min(8, os.cpu_count() or 1)
        # the event simulation lets go of Python's lock
        with ThreadPoolExecutor(count) as pool:
            yield lambda designs: list(pool.map(lambda d: evaluate(problem, d), designs))
        return
    with open_workers(workers, address) as cluster:
        score = functools.partial(evaluate, problem)
        yield lambda designs: list(cluster.map(score, designs))


def check_installed() -> None:
    """Raise ToolMissing where there is no Optuna, for who searches late in a long job."""
    _import("optuna", "'hnlpu[explore]'")


def _import(name: str, install: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise ToolMissing(f"{name} is not installed; pip install {install}") from None
