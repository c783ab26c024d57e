"""Why a machine wins: from the published one to it, a group of changes at a time.

Each step is simulated and priced like any other machine, so that a reader can take any line, repeat
it with `hnlpu simulate`, and check its arithmetic: what the busiest resource is held for by one
token is 1 / rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hnlpu.system.explore._design import ExploredDesign
from hnlpu.system.explore._evaluate import DesignScore, Problem, evaluate
from hnlpu.system.explore._search import Candidate, Search, gain
from hnlpu.system.machine import kv_state, token_demand, token_work

GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("exchanges and sampling", ("collective", "sampling")),
    ("package and links", ("package", "modules")),
    ("vector unit", ("vector_units",)),
    ("memory for keys and values", ("buffer_mb", "memory", "stacks", "kv_bits")),
    ("arrays and their masks", ("arrays", "experts_per_bank", "fold")),
    ("grid", ("rows", "columns")),
    ("tokens in flight", ("stages",)),
)


@dataclass(frozen=True)
class Reason:
    """One step of the way: what changed, the machine that results, and a sentence a context."""

    title: str
    changed: dict[str, tuple[object, object]]
    score: DesignScore
    sentences: tuple[str, ...]


def explain(search: Search, winner: Candidate) -> tuple[Reason, ...]:
    """The steps from the reference to `winner`; groups that change nothing are left out."""
    problem, design = search.problem, search.reference.design
    before = search.reference
    reasons = []
    for title, names in GROUPS:
        changed = {
            name: (getattr(design, name), getattr(winner.score.design, name))
            for name in names
            if getattr(design, name) != getattr(winner.score.design, name)
        }
        if not changed:
            continue
        design = replace(design, **{name: new for name, (_, new) in changed.items()})
        score = evaluate(problem, design, force=True)
        sentences = tuple(_sentence(problem, before, score, i) for i in range(len(score.points)))
        reasons.append(Reason(title, changed, score, sentences))
        before = score
    return tuple(reasons)


def best_per_precision(search: Search) -> dict[int, Candidate]:
    """For each number of bits of a cached value, the candidate with most tokens a dollar.

    Among those that lose in no context against the reference in tokens a joule.
    """
    best: dict[int, Candidate] = {}
    for candidate in search.candidates:
        if least_gain(search, candidate, "tokens_per_joule") < 1:
            continue
        bits = candidate.score.design.kv_bits
        if bits not in best or _dollars(search, candidate) > _dollars(search, best[bits]):
            best[bits] = candidate
    return dict(sorted(best.items(), reverse=True))


def best(search: Search) -> Candidate | None:
    """Most tokens a dollar among those that lose nothing in tokens a joule."""
    found = list(best_per_precision(search).values())
    return max(found, key=lambda c: _dollars(search, c), default=None)


def least_gain(search: Search, candidate: Candidate, objective: str) -> float:
    """The gain over the reference, the least over the contexts."""
    pairs = zip(candidate.score.points, search.reference.points, strict=True)
    return min(gain(point, other, objective) for point, other in pairs)


def demands(problem: Problem, score: DesignScore, index: int) -> dict[str, float]:
    """Seconds for which one token holds each resource of a machine, at one context."""
    spec, context = score.chip.specification, problem.contexts[index]
    work = token_work(problem.model, spec.rows, spec.columns, problem.sliding)
    admitted = score.points[index].simulation.admitted
    kv = kv_state(spec, work, problem.model.embedding_weights, admitted, context)
    return token_demand(spec, work, context, kv)


def _dollars(search: Search, candidate: Candidate) -> float:
    return least_gain(search, candidate, "tokens_per_usd")


def _sentence(problem: Problem, before: DesignScore, after: DesignScore, index: int) -> str:
    """What one step did at one context, in numbers that can be checked."""
    old, new = before.points[index], after.points[index]
    limit = old.simulation.bottleneck
    held_before, held_after = (demands(problem, s, index) for s in (before, after))
    text = f"at {problem.contexts[index]:,}: {_rate(old.tokens_per_second)} to "
    text += f"{_rate(new.tokens_per_second)} tokens/s"
    if limit in held_before:
        text += (
            f"; a token held the {limit} for {held_before[limit] * 1e6:.3g} us, "
            f"now {held_after[limit] * 1e6:.3g} us"
        )
    elif limit == "tokens in flight":
        text += (
            f"; {old.simulation.in_flight} tokens in flight took "
            f"{old.simulation.latency * 1e6:.4g} us each, nothing was full"
        )
    now = new.simulation.bottleneck
    if now in held_after:
        text += f"; the limit is now the {now} ({held_after[now] * 1e6:.3g} us a token)"
    else:
        text += f"; the limit is now the {now}"
    money = new.bill.tco_musd - old.bill.tco_musd
    if abs(money) > 0.05:
        text += f"; TCO {'+' if money > 0 else '-'}${abs(money):.1f}M"
    return text


def _rate(rate: float) -> str:
    return f"{rate / 1e3:,.1f}K" if rate < 1e6 else f"{rate / 1e6:,.2f}M"


def changed_fields(
    reference: ExploredDesign, design: ExploredDesign
) -> Sequence[tuple[str, object, object]]:
    """(field, reference's value, design's value) of all fields that differ."""
    old, new = reference.values(), design.values()
    return [(name, old[name], new[name]) for name in old if old[name] != new[name]]
