"""Logits of one sequence into its next token, with every control that a request may set."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from hnlpu.errors import InvalidInput
from hnlpu.run.emulate import draw, kept_weights, sample
from hnlpu.run.engine._request import Constraint, Sampling

Float32 = npt.NDArray[np.float32]


class Sampler:
    """Takes the tokens of one sequence, one after the other.

    Without penalties, bias, constraint, `top_k`, `top_p` and `min_p` it takes what
    `LanguageModel.generate` takes for the same seed.  `prompt` counts for the repetition penalty.
    """

    def __init__(
        self, sampling: Sampling, constraint: Constraint | None, prompt: Sequence[int] = ()
    ):
        self._sampling = sampling
        self._constraint = constraint
        self._random = np.random.Generator(np.random.Philox(sampling.seed))
        self._counts: dict[int, int] = {}
        self._seen = set(prompt) if sampling.repetition_penalty != 1 else set()

    def take(self, logits: Float32, barred: Collection[int] = ()) -> int:
        """The next token for logits [vocabulary], which stay as they are.

        A `barred` token is not taken unless nothing else may come.
        """
        s = self._sampling
        logits = self._changed(logits)
        if barred:
            without = logits.copy()
            without[list(barred)] = -np.inf
            logits = without if np.isfinite(without.max()) else logits
        if s.temperature == 0 or (s.top_k <= 0 and s.top_p == 1 and s.min_p == 0):
            token = sample(logits, s.temperature, self._random)
        else:
            kept = kept_weights(logits, s.temperature, max(s.top_k, 0), s.top_p, s.min_p)
            token = draw(kept, self._random)
        self._counts[token] = self._counts.get(token, 0) + 1
        if s.repetition_penalty != 1:
            self._seen.add(token)
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
        others = s.logit_bias or s.allowed_tokens or s.repetition_penalty != 1
        if not penalties and not others and self._constraint is None:
            return logits
        logits = logits.copy()
        if s.repetition_penalty != 1:
            seen, factor = sorted(self._seen), np.float32(s.repetition_penalty)
            had = logits[seen]
            logits[seen] = np.where(had > 0, had / factor, had * factor)
        if penalties:
            for token, count in self._counts.items():
                logits[token] -= np.float32(s.presence_penalty + s.frequency_penalty * count)
        for token, bias in s.logit_bias.items():
            logits[token] += np.float32(bias)
        if s.allowed_tokens:
            kept = np.full_like(logits, -np.inf)
            kept[list(s.allowed_tokens)] = logits[list(s.allowed_tokens)]
            logits = kept
        if self._constraint is not None:
            logits[~self._constraint.allowed()] = -np.inf
            if not np.isfinite(logits.max()):
                raise InvalidInput(
                    "allowed_token_ids: none of them fits the schema or regex; allow more"
                    if s.allowed_tokens
                    else "the schema or regex: no token goes on from here; allow another text"
                )
        return logits
