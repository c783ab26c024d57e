"""Logits into log-probabilities and tokens: float64, one row at a time or many, the same bits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

SORTED_FIRST = 1024  # of a large vocabulary; seldom does `top_p` need more


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


def kept_weights(
    logits: Float32, temperature: float, top_k: int, top_p: float, min_p: float
) -> Float64:
    """Weights [vocabulary] with all but the `min_p`, `top_k` and `top_p` set to 0.

    In this order: what is below `min_p` times the best is dropped, of the rest the `top_k` best are
    kept (0: all), of those the fewest whose sum reaches `top_p` of it.
    """
    weights = softmax_weights(logits, temperature)
    if min_p > 0:
        weights[weights < min_p] = 0  # the best has weight 1
    order = ranked(logits, top_k or SORTED_FIRST)[: top_k or None]
    if top_p < 1:
        enough = top_p * float(weights[order].sum() if top_k else weights.sum())
        cumulative = np.cumsum(weights[order])
        if cumulative[-1] < enough and not top_k:
            order = ranked(logits, len(logits))
            cumulative = np.cumsum(weights[order])
        order = order[: int(np.searchsorted(cumulative, enough)) + 1]
    elif not top_k:
        return weights
    kept = np.zeros_like(weights)
    kept[order] = weights[order]
    return kept


def draw(weights: Float64, random: np.random.Generator) -> int:
    """The first id whose cumulative weight exceeds u times their sum, u drawn from `random`."""
    cumulative = np.cumsum(weights)
    index = int(np.searchsorted(cumulative, random.random() * cumulative[-1], side="right"))
    # u times the sum may round up to the sum: then it is the last id that has a weight
    return index if index < len(weights) else int(np.flatnonzero(weights)[-1])


def sample(logits: Float32, temperature: float, random: np.random.Generator) -> int:
    """One token of logits [vocabulary]: the best at temperature 0, else drawn."""
    if temperature == 0:
        return int(logits.argmax())
    return draw(softmax_weights(logits, temperature), random)
