"""A checkpoint and a text -> `Sensitivity`: what each matrix loses in a coarser format, and saves.

    1. each matrix alone, each role, all of the model coarser      ──► loss, area, masks, dollars
    2. matrices in the order of loss per mm2 saved                    ──► mixtures, measured
    3. the cheapest mixture within the budget                         ──► policy

Losses are measured on the integers of the builds, never summed up from others.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from hnlpu._version import __version__
from hnlpu.errors import HnlpuError, InvalidInput
from hnlpu.insight.sensitivity._found import BudgetStep, Option, Sensitivity
from hnlpu.insight.sensitivity._gate import readable
from hnlpu.insight.sensitivity._mixtures import Scores, areas_mm2, digest_of
from hnlpu.insight.sensitivity._prices import AreaPrices, masks_per_chip, prices
from hnlpu.model.checkpoint import locate, read_model
from hnlpu.model.families import Family
from hnlpu.model.network import dump
from hnlpu.model.policy import Format, Policy
from hnlpu.silicon.hardwire import (
    Build,
    build,
    canonical_json,
    file_sha256,
    open_build,
    role_errors,
    source_digest,
)
from hnlpu.silicon.place import Target

Progress = Callable[[str, int, int], None]
"""Called with (what was measured, measurements done, measurements in all)."""
COARSER = ("mxfp4", "int4", "nf4", "fitted", "int8", "int3", "ternary", "ternary2")
"""Formats that matrices may be measured in, beside the finest."""
POINTS = 9
"""Mixtures that are measured from all coarse to all fine, before the budget's own."""
LARGEST_BUDGET = 10.0
LEAST_MM2 = 1e-12
ABOUT = "about.json"
"""What the builds of an unfinished run are of."""


@dataclass(frozen=True)
class SensitivitySubject:
    """What is measured: a checkpoint (folder or Hub id), how it is built, and on which text or ids."""

    checkpoint: str | Path
    text: str | Sequence[int]
    target: Target
    policy: Policy
    system: str | None = None
    revision: str | None = None
    family: Family[Any] | None = None
    coarser: Format = "mxfp4"


def measure(
    subject: SensitivitySubject, work: Path, budget: float, *,
    workers: int | None = None, progress: Progress | None = None,
) -> Sensitivity:  # fmt: skip
    """Measure in the folder `work`, where what an earlier run finished is taken up.

    `budget` is the largest share by which the perplexity may rise over the float model's.  Raises any
    HnlpuError.
    """
    if not 0 <= budget <= LARGEST_BUDGET:
        raise InvalidInput(f"budget {budget:g}: give a share from 0 to {LARGEST_BUDGET:g}")
    if subject.coarser not in COARSER:
        raise InvalidInput(f"`coarser` {subject.coarser}: choose from {', '.join(COARSER)}")
    priced = prices(subject.system, subject.target.technology.name)
    reader = readable(
        subject.checkpoint, subject.revision, subject.family, ids=not isinstance(subject.text, str)
    )
    scored = reader.score(subject.text)
    finest, coarser = _builds(subject, work, workers)
    scores = Scores.at(work / "scores.jsonl", finest, coarser, subject.text)
    of = _Measurement(finest, coarser, scores, priced, scored.perplexity, progress)
    options = of.options()
    order = of.order(options)
    steps = of.steps(order)
    chosen = of.choose(order, steps, budget)
    policy = None
    if chosen is not None:
        coarse = [n for n in finest.shapes() if n in set(order[chosen.finer :])]
        named = tuple((name, subject.coarser) for name in coarse)
        policy = finest.manifest.policy.model_copy(update={"matrices": named})
    return Sensitivity(
        checkpoint=str(reader.directory),
        coarser=subject.coarser,
        text_sha256=digest_of(subject.text),
        tokens=len(scored.logprobs),
        activation_bits=subject.policy.activation_bits,
        technology=subject.target.technology.name,
        scheme=subject.target.scheme,
        chips=finest.manifest.placement.chips,
        masks_per_chip=masks_per_chip(finest),
        system=None if priced is None else priced.system,
        usd_per_mm2=of.usd_per_mm2,
        float_perplexity=scored.perplexity,
        finest_perplexity=scores.perplexity(()),
        exact=tuple(name for name in finest.shapes() if name not in set(order)),
        options=tuple(options),
        order=tuple(order),
        steps=tuple(sorted({s.finer: s for s in steps}.values(), key=lambda s: s.finer)),
        budget=budget,
        chosen=chosen,
        policy=policy,
    )


def _builds(subject: SensitivitySubject, work: Path, workers: int | None) -> tuple[Build, Build]:
    """The checkpoint with every matrix in its finest format, and in its coarsest, on equal chips.

    Builds that an earlier run left are taken where they are of the same checkpoint and target.
    """
    about, wanted = work / ABOUT, canonical_json(_about(subject))
    if not about.exists() or about.read_bytes() != wanted:
        for name in ("finest", "coarser"):
            shutil.rmtree(work / name, ignore_errors=True)
        about.write_bytes(wanted)

    def made(name: str, policy: Policy, target: Target) -> Build:
        folder = work / name
        try:
            found = open_build(folder)
            if (found.manifest.policy, found.manifest.technology) == (policy, target.technology):
                return found
        except HnlpuError:
            pass  # not there yet, or not whole: made now
        return open_build(
            build(
                subject.checkpoint, folder, policy, target, revision=subject.revision,
                family=subject.family, workers=workers,
            )
        )  # fmt: skip

    roles = ("attention", "router", "experts", "unembedding")
    shared = {"dense": None, "matrices": ()}
    finest = made(
        "finest", subject.policy.model_copy(update=dict.fromkeys(roles, "auto") | shared),
        subject.target,
    )  # fmt: skip
    coarse = subject.policy.model_copy(update=dict.fromkeys(roles, subject.coarser) | shared)
    target = replace(subject.target, chips=finest.manifest.placement.chips)
    return finest, made("coarser", coarse, target)


def _about(subject: SensitivitySubject) -> dict[str, Any]:
    """What builds depend on beside their policies."""
    model = read_model(locate(subject.checkpoint, subject.revision), subject.family)
    files = {name: file_sha256(path) for name, path in model.source_files().items()}
    target = {f.name: getattr(subject.target, f.name) for f in fields(subject.target)}
    return {
        "generator": __version__,
        "source": source_digest(files),
        "network": hashlib.sha256(dump(model.network).encode()).hexdigest(),
        "target": target | {"technology": subject.target.technology.model_dump(mode="json")},
    }


@dataclass
class _Measurement:
    finest: Build
    coarser: Build
    scores: Scores
    prices: AreaPrices | None
    float_perplexity: float
    progress: Progress | None
    done: int = 0
    total: int = 0

    def __post_init__(self) -> None:
        self._fine, self._coarse = areas_mm2(self.finest), areas_mm2(self.coarser)
        self._masks = masks_per_chip(self.coarser)
        self.usd_per_mm2 = self.prices.usd_per_mm2(self.coarser) if self.prices else None

    def options(self) -> list[Option]:
        """Every choice there is: single matrices, then roles, then all of the model."""
        records = self.coarser.manifest.matrices
        shapes = self.finest.shapes()
        fine = self.finest.manifest.matrices
        open_ = [n for n in shapes if records[n].relative_error > fine[n].relative_error]
        roles = {r: [n for n in open_ if shapes[n].role == r] for r in self._roles(open_)}
        self.total = 1 + len(open_) + len(roles) + 1 + POINTS
        self._perplexity((), "all in the finest format")
        found = [self._option(n, "matrix", shapes[n].role, [n]) for n in open_]
        found += [self._option(r, "role", r, names) for r, names in roles.items()]
        if open_:
            found.append(self._option("all", "model", "", open_))
        return found

    def _roles(self, names: Iterable[str]) -> list[str]:
        return list(dict.fromkeys(self.finest.shapes()[n].role for n in names))

    def _option(self, name: str, kind: Any, role: str, names: Sequence[str]) -> Option:
        perplexity = self._perplexity(names, name)
        errors = {n: self.coarser.manifest.matrices[n] for n in names}
        same = {n: r.model_copy(update={"role": "attention"}) for n, r in errors.items()}
        (error,) = role_errors(same)
        coarse, fine = (sum(area[n] for n in names) for area in (self._coarse, self._fine))
        saved = fine - coarse
        return Option(
            name=name, kind=kind, role=role, format=self.coarser.manifest.matrices[names[0]].format,
            relative_error=error.relative_error or 0.0, perplexity=perplexity,
            loss=perplexity / self._perplexity((), name) - 1,
            area_mm2=coarse, finest_area_mm2=fine,
            masks=saved / self.prices.array_mm2 * self._masks if self.prices else None,
            usd=saved * self.usd_per_mm2 if self.usd_per_mm2 is not None else None,
        )  # fmt: skip

    def order(self, options: Sequence[Option]) -> list[str]:
        """Matrices by what they lose in the coarser format per mm2 that it saves, most first."""
        single = [o for o in options if o.kind == "matrix"]
        return [o.name for o in sorted(single, key=lambda o: -o.loss / max(o.saved_mm2, LEAST_MM2))]

    def steps(self, order: Sequence[str]) -> list[BudgetStep]:
        """Mixtures from all coarse to all fine, at most `POINTS`."""
        n = len(order)
        counts = sorted({round(n * i / (POINTS - 1)) for i in range(POINTS)})
        return [self._step(order, finer) for finer in counts]

    def _step(self, order: Sequence[str], finer: int) -> BudgetStep:
        coarse = set(order[finer:])
        perplexity = self._perplexity(coarse, f"{finer} of {len(order)} in the finest format")
        area = sum((self._coarse if n in coarse else self._fine)[n] for n in self._fine)
        return BudgetStep(
            finer=finer, perplexity=perplexity, loss=perplexity / self.float_perplexity - 1,
            area_mm2=area, usd=area * self.usd_per_mm2 if self.usd_per_mm2 is not None else None,
        )  # fmt: skip

    def choose(
        self, order: Sequence[str], steps: list[BudgetStep], budget: float
    ) -> BudgetStep | None:
        """The mixture of least area within the budget; enters what it measures in `steps`.

        Between the last measured step that loses too much and the next one it halves the distance, and
        takes what was measured: losses of mixtures need not fall evenly.
        """
        within = [s for s in steps if s.loss <= budget]
        if not within:
            return None
        high = min(within, key=lambda s: s.area_mm2)
        low = max((s.finer for s in steps if s.finer < high.finer), default=-1)
        while high.finer - low > 1 and low >= 0:
            middle = self._step(order, (low + high.finer) // 2)
            steps.append(middle)
            if middle.loss <= budget:
                high = middle
            else:
                low = middle.finer
        return high

    def _perplexity(self, names: Iterable[str], what: str) -> float:
        names = list(names)
        new = not self.scores.has(names)
        value = self.scores.perplexity(names)
        self.done += new
        if self.progress:
            self.progress(what, min(self.done, self.total), self.total)
        return value
