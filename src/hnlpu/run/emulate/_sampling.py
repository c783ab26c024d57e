"""Logits into log-probabilities and tokens: float64, one row at a time or many, the same bits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


def log_softmax(logits: Float32 | Float64) -> Float64:
    """Natural log-probabilities [n, vocabulary] of logits [n, vocabulary]."""
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    wide -= np.log(np.exp(wide).sum(axis=1, keepdims=True))
    return wide


def best_tokens(log_p: Float64, top: int) -> list[list[tuple[int, float]]]:
    """The `top` likeliest (token, log-probability) of each row; of equals the lower id first."""
    return [[(int(i), float(row[i])) for i in ranked(row, top)[:top]] for row in log_p]


def ranked(values: Float32 | Float64, least: int) -> npt.NDArray[np.int64]:
    """Ids of the `least` largest of values [n] and of those that equal the last of them.

    Falling order; of equals the lower id first, as a stable sort of all has it.
    """
    if least >= len(values):
        return np.argsort(-values, kind="stable")
    last = np.partition(values, len(values) - least)[len(values) - least]
    ids = np.flatnonzero(values >= last)
    found: npt.NDArray[np.int64] = ids[np.argsort(-values[ids], kind="stable")]
    return found


def softmax_weights(logits: Float32, temperature: float) -> Float64:
    """exp((logits - their maximum) / temperature): probabilities [vocabulary] but for their sum."""
    with np.errstate(over="ignore"):  # minus infinity: a temperature next to 0
        wide = (logits.astype(np.float64) - float(logits.max())) / temperature
    return np.exp(wide)


def draw(weights: Float64, random: np.random.Generator) -> int:
    """The first id whose cumulative weight exceeds u times their sum, u drawn from `random`."""
    cumulative = np.cumsum(weights)
    index = int(np.searchsorted(cumulative, random.random() * cumulative[-1], side="right"))
    # u times the sum may round up to the sum: then it is the last id that has a weight
    return index if index < len(weights) else int(np.flatnonzero(weights)[-1])


def sample(logits: Float32, temperature: float, random: np.random.Generator) -> int:
    """One token of logits [vocabulary]: the best at temperature 0, else drawn."""
    if temperature == 0:
        return int(np.argmax(logits))
    return draw(softmax_weights(logits, temperature), random)
