"""Logits of one sequence into its next token, with every control that a request may set."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hnlpu.run.emulate import draw, ranked, sample, softmax_weights
from hnlpu.run.engine._request import Constraint, Sampling

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

SORTED_FIRST = 1024  # of a large vocabulary; seldom does `top_p` need more


class Sampler:
    """Takes the tokens of one sequence, one after the other.

    Without penalties, bias, constraint, `top_k` and `top_p` it takes what
    `LanguageModel.generate` takes for the same seed.
    """

    def __init__(self, sampling: Sampling, constraint: Constraint | None):
        self._sampling = sampling
        self._constraint = constraint
        self._random = np.random.Generator(np.random.Philox(sampling.seed))
        self._counts: dict[int, int] = {}

    def take(self, logits: Float32) -> int:
        """The next token for logits [vocabulary], which stay as they are."""
        s = self._sampling
        logits = self._changed(logits)
        if s.temperature == 0 or (s.top_k == 0 and s.top_p == 1):
            token = sample(logits, s.temperature, self._random)
        else:
            token = draw(self._kept(logits), self._random)
        self._counts[token] = self._counts.get(token, 0) + 1
        if self._constraint is not None:
            self._constraint.accept(token)
        return token

    @property
    def finished(self) -> bool:
        """Whether the constraint lets nothing follow."""
        return self._constraint is not None and self._constraint.finished()

    def _changed(self, logits: Float32) -> Float32:
        s = self._sampling
        penalties = s.presence_penalty != 0 or s.frequency_penalty != 0
        if not penalties and not s.logit_bias and self._constraint is None:
            return logits
        logits = logits.copy()
        if penalties:
            for token, count in self._counts.items():
                logits[token] -= np.float32(s.presence_penalty + s.frequency_penalty * count)
        for token, bias in s.logit_bias.items():
            logits[token] += np.float32(bias)
        if self._constraint is not None:
            logits[~self._constraint.allowed()] = -np.inf
        return logits

    def _kept(self, logits: Float32) -> Float64:
        """Weights [vocabulary] with all but the `top_k` and `top_p` set to 0."""
        s = self._sampling
        weights = softmax_weights(logits, s.temperature)
        order = ranked(logits, s.top_k or SORTED_FIRST)[: s.top_k or None]
        if s.top_p < 1:
            enough = s.top_p * float(weights[order].sum() if s.top_k else weights.sum())
            cumulative = np.cumsum(weights[order])
            if cumulative[-1] < enough and not s.top_k:
                order = ranked(logits, len(logits))
                cumulative = np.cumsum(weights[order])
            order = order[: int(np.searchsorted(cumulative, enough)) + 1]
        kept = np.zeros_like(weights)
        kept[order] = weights[order]
        return kept
