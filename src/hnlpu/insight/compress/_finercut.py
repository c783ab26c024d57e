"""Whole halves of layers, one by one: the half without which the model says most nearly the same.

FinerCut (arXiv 2405.18218): sublayers are candidates of their own, and each choice is made on what the pruned model
says.  Here the distance is the mean Kullback-Leibler divergence of next tokens from the whole model's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from hnlpu._whole import append_line
from hnlpu.errors import InvalidInput
from hnlpu.insight.compress._options import Decision, StepOptions
from hnlpu.insight.compress._subject import Float64, Subject
from hnlpu.model.edit import Edit, LayerSelection, keep_all
from hnlpu.model.families import HALVES, Half
from hnlpu.run.emulate import InterpretedModel

Removed = tuple[tuple[int, Half], ...]


class FinerCut(StepOptions):
    """`remove` halves of layers, or this `share` of them (default: a quarter)."""

    name: Literal["finercut"] = "finercut"
    remove: int | None = Field(None, ge=1)
    share: float | None = Field(None, gt=0, lt=1)

    @model_validator(mode="after")
    def _one_of_both(self) -> FinerCut:
        if self.remove is not None and self.share is not None:
            raise ValueError("give remove or share, not both")
        return self

    def check(self, subject: Subject) -> None:
        """Needs more halves than are to be removed."""
        super().check(subject)
        self._count(len(_halves(subject)))

    def decide(self, subject: Subject) -> Decision:
        """Remove halves until there are as few as asked for."""
        there = _halves(subject)
        count = self._count(len(there))
        told = _Distances(subject)
        removed: Removed = ()
        trials = sum(len(there) - n for n in range(count))
        tried = 0
        lines = []
        for _ in range(count):
            found: list[tuple[float, tuple[int, Half]]] = []
            for half in there:
                if half not in removed:
                    subject.progress("finercut", tried, trials)
                    found.append((told.of((*removed, half)), half))
                    tried += 1
            distance, best = min(found)
            removed = (*removed, best)
            lines.append(f"layer {best[0]} {best[1]}: divergence {distance:.4g} nats")
        return Decision(Edit(without(subject.layers, removed)), lines)

    def _count(self, there: int) -> int:
        share = 0.25 if self.share is None else self.share
        count = round(share * there) if self.remove is None else self.remove
        if not count:
            raise InvalidInput(
                f"finercut: a share of {share:g} of {there} halves of layers is less than one; give remove=1"
            )
        if count >= there:
            raise InvalidInput(
                f"finercut: {count} of {there} halves of layers cannot be removed; leave at least one"
            )
        return count


def without(layers: int, removed: Removed) -> tuple[LayerSelection, ...]:
    """All of so many layers but these halves."""
    kept = list(keep_all(layers))
    for layer, half in removed:
        if half == "attention":
            kept[layer] = replace(kept[layer], attention=False)
        else:
            kept[layer] = replace(kept[layer], feed_forward=False)
    return tuple(kept)


def _halves(subject: Subject) -> list[tuple[int, Half]]:
    config = subject.config
    return [(n, half) for n in range(subject.layers) for half in HALVES if config.has(n, half)]


class _Distances:
    """Divergences of pruned models from the whole one, kept in the subject's notes."""

    def __init__(self, subject: Subject):
        self._subject = subject
        self._known = dict(_lines(subject))
        self._said: list[Float64] | None = None

    def of(self, removed: Removed) -> float:
        """Mean divergence over the text, in nats per token."""
        key = " ".join(sorted(f"{layer}.{half}" for layer, half in removed))
        if key not in self._known:
            self._known[key] = self._measured(removed)
            line = json.dumps({"without": key, "divergence": self._known[key]})
            append_line(self._subject.notes, line)
        return self._known[key]

    def _measured(self, removed: Removed) -> float:
        s = self._subject
        if self._said is None:
            self._said = list(_said(s, s.whole()))
        total, count = 0.0, 0
        pruned = _said(s, s.without(without(s.layers, removed)))
        for whole, other in zip(self._said, pruned, strict=True):
            total += float(np.sum(np.exp(whole) * (whole - other)))
            count += len(whole)
        return total / count


def _said(subject: Subject, model: InterpretedModel) -> Iterator[Float64]:
    """Log-probabilities [n, vocabulary] after each token, window by window."""
    for part in subject.windows():
        hidden = model.forward(part, model.new_cache())
        yield model.log_probabilities(model.logits(hidden))


def _lines(subject: Subject) -> Iterator[tuple[str, float]]:
    """What an earlier run measured; a line that a kill cut off is measured again."""
    lines: Sequence[str] = ()
    if subject.notes.exists():
        lines = subject.notes.read_text().splitlines()
    for line in lines:
        try:
            entry = json.loads(line)
            yield str(entry["without"]), float(entry["divergence"])
        except (ValueError, KeyError, TypeError):
            continue
