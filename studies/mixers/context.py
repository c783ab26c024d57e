"""Perplexity of the bundled model on held-out text, by how far it may look back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import hnlpu
from training import corpus

MODEL = Path(__file__).parents[2] / "checkpoints" / "stdlib-8m"


def losses(
    seeds: Sequence[int], stretches: int, length: int, contexts: Sequence[int]
) -> dict[int, list[float]]:
    """Mean loss (nats per token) of each seed's stretches of held-out text, by context.

    No stretch belongs to two seeds.  All contexts score the same tokens: those of each stretch behind
    the longest context.  With a context of c every token sees at least c / 2 tokens before it, and at
    most c.
    """
    model = hnlpu.open(MODEL)
    pieces = _stretches(model, length)
    order = np.random.default_rng(51).permutation(len(pieces))
    found: dict[int, list[float]] = {context: [] for context in contexts}
    for seed in seeds:
        whole = [pieces[n] for n in order[seed * stretches : (seed + 1) * stretches]]
        assert len(whole) == stretches, "the held-out text is too short"
        for context in contexts:
            # what stands further back than the context is of no use to it
            mine = [piece[max(contexts) - context :] for piece in whole]
            scored = [model.score(piece, context=context).logprobs[context - 1 :] for piece in mine]
            values = [value for one in scored for value in one]
            found[context].append(-math.fsum(values) / len(values))
    return found


def _stretches(model: hnlpu.LanguageModel, length: int) -> list[list[int]]:
    """Runs of `length` tokens of the held-out modules, each within one module."""
    runs = []
    for document in corpus.held_out_documents():
        tokens = [0, *model.encode(document.text).tolist()]
        runs += [tokens[n : n + length] for n in range(0, len(tokens) - length + 1, length)]
    return runs


def figures(found: dict[int, list[float]], short: int, long: int) -> dict[str, object]:
    """The comparison of two contexts over seeds, and the perplexity of each context."""
    gains = np.array(found[short]) - np.array(found[long])
    error = gains.std(ddof=1) / math.sqrt(len(gains)) if len(gains) > 1 else math.inf
    return {
        "longer_context_better": int((gains > 0).sum()),
        "longer_context_gain": float(gains.mean() / error),
        "gain_nats": gains.tolist(),
        "perplexity_by_context": {
            str(context): math.exp(sum(values) / len(values)) for context, values in found.items()
        },
    }
