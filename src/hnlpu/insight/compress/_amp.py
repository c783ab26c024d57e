"""Heads and feed-forward neurons by what their outputs add, measured on the text.

A neuron's importance is the root mean square of its activation times the length of its column in the
matrix behind it: the root mean square of what it adds to the residual stream.  A head's is that of its part of the output
projection (AMP, arXiv 2504.21174, projects activations onto weights in the same places).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import Field

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.errors import InvalidInput
from hnlpu.insight.compress._options import Decision, StepOptions
from hnlpu.insight.compress._subject import (
    Float32,
    Float64,
    Subject,
    dense_values,
    holds_in_one_digit,
)
from hnlpu.model.edit import Edit, keep_all
from hnlpu.model.network import Matrix

Part = Literal["heads", "neurons"]


class Amp(StepOptions):
    """Remove a `share` of the heads and of the neurons of every layer, or of one of both."""

    name: Literal["amp"] = "amp"
    share: float = Field(0.3, gt=0, lt=1)
    of: tuple[Part, ...] = Field(("heads", "neurons"), min_length=1)
    by: Literal["activation", "magnitude"] = "activation"
    """Magnitude: weights alone, as a comparison."""

    def decide(self, subject: Subject) -> Decision:
        """Keep the most important of each layer."""
        squares = _squares(subject) if self.by == "activation" else {}
        layers = list(keep_all(subject.layers))
        lines = []
        for n in range(subject.layers):
            said = []
            if "heads" in self.of and (heads := _heads(subject, n, self.share, squares)):
                layers[n] = replace(layers[n], heads=heads)
                said.append(f"heads {list(heads)}")
            if "neurons" in self.of:
                for axis, kept in _neurons(subject, n, self.share, squares).items():
                    layers[n] = replace(layers[n], **{axis: kept})
                    count = len(kept) if axis == "inner" else len(kept[0])
                    said.append(
                        f"{count} {'neurons' if axis == 'inner' else 'neurons of each expert'}"
                    )
            lines.append(f"layer {n}: keeps {', '.join(said) or 'all'}")
        return Decision(Edit(tuple(layers)), lines)


Squares = dict[tuple[str, int], Float64]
"""Mean squares of what a matrix's inputs were, by its name and member; of columns."""


def _squares(subject: Subject) -> Squares:
    sums: Squares = {}
    counts: dict[tuple[str, int], int] = {}
    wanted = {
        m.name
        for m in subject.model.network.matrices
        if m.role in ("attention", "feed_forward", "experts") and m.block is not None
    }

    def see(name: str, index: int, x: Float32, _: Float32) -> None:
        if name in wanted:
            key = (name, index)
            sums[key] = sums.get(key, 0.0) + np.sum(np.square(x, dtype=np.float64), axis=0)
            counts[key] = counts.get(key, 0) + len(x)

    subject.progress("amp: observing", 0, 1)
    subject.observe(see)
    return {key: total / counts[key] for key, total in sums.items()}


def _importance(subject: Subject, matrix: Matrix, member: int, squares: Squares) -> Float64:
    """Of each column: mean square of its input times the square of its length."""
    dense = dense_values(subject, matrix, member)[:, : matrix.columns]
    lengths = np.sum(np.square(dense, dtype=np.float64), axis=0)
    if not squares:
        return np.asarray(lengths)
    met = squares.get((matrix.name, member))
    return np.zeros(matrix.columns) if met is None else met * lengths


def _unit(subject: Subject, matrix: Matrix) -> int:
    """Neurons that go together: a block, where one digit holds all of the matrix that they meet.

    Blocks of other columns would have other weights under one scale, and take two digits.
    """
    return BLOCK if holds_in_one_digit(subject, matrix) else 1


def _heads(subject: Subject, n: int, share: float, squares: Squares) -> tuple[int, ...]:
    """Query heads to keep; none named where all stay."""
    if not subject.config.has(n, "attention"):
        return ()
    own = subject.config.at(n)
    heads, kv_heads = own.num_attention_heads, own.num_key_value_heads
    output = _one(
        [m for m in subject.matrices(n, "attention") if m.cut.how == "heads_in"], n, "attention"
    )
    by_column = _importance(subject, output, 0, squares)
    each = by_column.reshape(kv_heads, heads // kv_heads, -1).sum(-1)
    groups, within = _fewer(kv_heads, heads // kv_heads, (1 - share) * heads)
    if groups * within == heads:
        return ()
    best = np.sort(each, axis=1)[:, -within:].sum(1)
    kept = []
    for group in sorted(np.argsort(-best, kind="stable")[:groups]):
        order = np.argsort(-each[group], kind="stable")[:within]
        kept += [int(group) * (heads // kv_heads) + int(h) for h in sorted(order)]
    return tuple(kept)


def _fewer(groups: int, within: int, target: float) -> tuple[int, int]:
    """Groups and heads in each, whose product is nearest to a target; more of them where two are as near."""
    choices = [(g, w) for g in range(1, groups + 1) for w in range(1, within + 1)]
    return min(choices, key=lambda c: (abs(c[0] * c[1] - target), -c[0] * c[1], -c[0]))


def _neurons(subject: Subject, n: int, share: float, squares: Squares) -> dict[str, Any]:
    """Neurons to keep, by the name of a `LayerSelection`'s field; none where the layer has no such block."""
    found: dict[str, Any] = {}
    if not subject.config.has(n, "feed_forward"):
        return found
    own, varying = subject.config.at(n), subject.config.varying
    experts = subject.matrices(n, "experts")
    if experts:
        size = int(getattr(own, varying["expert_inner"]))
        down = _one([m for m in experts if m.columns == size and m is experts[-1]], n, "experts")
        unit = _unit(subject, down)
        found["expert_inner"] = tuple(
            best_neurons(_importance(subject, down, member, squares), share, unit)
            for member in range(down.count)
        )
        return found
    size = int(getattr(own, varying["inner"]))
    down = _one(
        [m for m in subject.matrices(n, "feed_forward") if m.columns == size][-1:],
        n,
        "feed_forward",
    )
    unit = _unit(subject, down)
    found["inner"] = best_neurons(_importance(subject, down, 0, squares), share, unit)
    return found


def best_neurons(importance: Float64, share: float, unit: int) -> tuple[int, ...]:
    """The most important of numbers from 0 without about a `share` of them: whole runs of `unit`, rising.

    Numbers behind the last whole run stay, so that every matrix keeps as many whatever it keeps.
    """
    size = len(importance)
    rest = size % unit
    runs = importance[: size - rest].reshape(-1, unit).sum(1)
    count = max(0 if rest else 1, round((size * (1 - share) - rest) / unit))
    chosen = np.sort(np.argsort(-runs, kind="stable")[:count])
    whole = (chosen[:, None] * unit + np.arange(unit)).reshape(-1)
    return (*whole.tolist(), *range(size - rest, size))


def _one(found: Sequence[Matrix], layer: int, role: str) -> Matrix:
    if len(found) != 1:
        raise InvalidInput(
            f"amp: layer {layer} has {len(found)} matrices behind its {role}, not one; give it heads or neurons alone"
        )
    return found[0]
