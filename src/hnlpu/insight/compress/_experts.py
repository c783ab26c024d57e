"""Experts by what the router lets them add: the mean length of share times output, where they are chosen.

REAP (arXiv 2510.13999): router-weighted expert activation pruning.  The router's rows of the others stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from hnlpu.errors import InvalidInput
from hnlpu.insight.compress._options import Decision, StepOptions
from hnlpu.insight.compress._subject import Float64, Subject
from hnlpu.model.edit import Edit, keep_all
from hnlpu.model.network import Network, ops
from hnlpu.run.emulate import Interpreter


class ExpertPruning(StepOptions):
    """Keep so many experts in each layer, or remove this `share` of them (default: a quarter)."""

    name: Literal["experts"] = "experts"
    keep: int | None = Field(None, ge=1)
    share: float | None = Field(None, gt=0, lt=1)
    by: Literal["activation", "count"] = "activation"
    """Count: how often each is chosen, as a comparison."""

    @model_validator(mode="after")
    def _one_of_both(self) -> ExpertPruning:
        if self.keep is not None and self.share is not None:
            raise ValueError("give keep or share, not both")
        return self

    def check(self, subject: Subject) -> None:
        """Needs experts, of which more are kept than a token chooses."""
        super().check(subject)
        for mixture in _some_mixtures(subject):
            self._count(mixture)

    def decide(self, subject: Subject) -> Decision:
        """Keep those that add most."""
        mixtures = _some_mixtures(subject)
        met = _met(subject, mixtures)
        layers = list(keep_all(subject.layers))
        lines = []
        for mixture in mixtures:
            count = self._count(mixture)
            if count == mixture.experts:
                continue
            lengths, chosen = met[mixture.layer]
            worth = chosen if self.by == "count" else lengths / np.maximum(chosen, 1)
            kept = np.sort(np.argsort(-worth, kind="stable")[:count])
            layers[mixture.layer] = replace(layers[mixture.layer], experts=tuple(kept.tolist()))
            gone = sorted(set(range(mixture.experts)) - set(kept.tolist()))
            share = float(chosen[gone].sum() / chosen.sum())
            lines.append(
                f"layer {mixture.layer}: without experts {gone}, which had {100 * share:.3g} % of the choices"
            )
        return Decision(Edit(tuple(layers)), lines)

    def _count(self, mixture: Mixture) -> int:
        share = 0.25 if self.share is None else self.share
        count = round(mixture.experts * (1 - share)) if self.keep is None else self.keep
        if not mixture.chosen <= count <= mixture.experts:
            raise InvalidInput(
                f"experts: layer {mixture.layer} chooses {mixture.chosen} of {mixture.experts}; "
                f"{count} cannot be kept"
            )
        return count


@dataclass(frozen=True)
class Mixture:
    """A mixture of a network: values that hold shares [k], numbers [k] and outputs [k, n]."""

    layer: int
    experts: int
    chosen: int
    shares: str
    numbers: str
    outputs: str


def find_mixtures(network: Network) -> list[Mixture]:
    """Every `moe` span: its last step adds shares times outputs."""
    banks = {m.name: m for m in network.matrices if m.members is not None}
    found = []
    for span in network.spans:
        if span.composite != "moe":
            continue
        steps = network.steps[span.start : span.stop]
        shares, outputs = map(str, steps[-1].args)
        bank, numbers = next(
            (banks[step.op.matrix], str(step.args[1]))
            for step in steps
            if isinstance(step.op, ops.Project) and step.op.members == "chosen"
        )
        assert bank.block is not None
        k = int(span.option("k"))
        found.append(Mixture(bank.block, bank.count, k, shares, numbers, outputs))
    return found


def _some_mixtures(subject: Subject) -> list[Mixture]:
    if not (mixtures := find_mixtures(subject.model.network)):
        raise InvalidInput("experts: the model has none")
    return mixtures


def _met(subject: Subject, mixtures: list[Mixture]) -> Mapping[int, tuple[Float64, Float64]]:
    """By layer: sums of share times the length of the output, and how often each expert was chosen."""
    lengths = {m.layer: np.zeros(m.experts) for m in mixtures}
    counts = {m.layer: np.zeros(m.experts) for m in mixtures}
    wanted = {name for m in mixtures for name in (m.shares, m.numbers, m.outputs)}
    now: dict[str, Any] = {}
    done = {m.outputs: m for m in mixtures}

    def watch(step: ops.Step, position: int, results: tuple[Any, ...]) -> None:
        for name, value in zip(step.outs, results, strict=True):
            if name in wanted:
                now[f"{name} {position}"] = value
            if name in done:
                m = done[name]
                shares, numbers, outputs = (
                    np.asarray(now.pop(f"{each} {position}"), np.float64)
                    for each in (m.shares, m.numbers, m.outputs)
                )
                chosen = numbers.astype(np.int64)
                added = shares * np.linalg.norm(outputs, axis=-1)
                np.add.at(lengths[m.layer], chosen, added)
                np.add.at(counts[m.layer], chosen, 1)

    # nothing at once: a mixture's shares and outputs are told only where its steps are done one by one
    running = Interpreter(subject.model.network, subject.constants)
    parts = list(subject.windows())
    for number, part in enumerate(parts):
        subject.progress("experts: observing", number, len(parts))
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            running.run(part.tolist(), running.start(), watch)
    return {m.layer: (lengths[m.layer], counts[m.layer]) for m in mixtures}
