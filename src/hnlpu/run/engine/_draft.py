"""A second, smaller model that proposes tokens, which the engine's own then checks (arXiv 2211.17192).

    tokens so far ─► draft model: best token, best token, ... ─► proposals ─► rows of the next step

What it proposes changes nothing but the number of steps, so it may be of any family and any quality;
the vocabulary must be the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.errors import InvalidInput, NotFinite
from hnlpu.run.emulate import LanguageModel, one_blas_thread
from hnlpu.run.engine._lookup import NO_DRAFT

Int64 = npt.NDArray[np.int64]

DRAFTED = 4
"""Tokens that are proposed at once: each costs the second model a step."""


class DraftModel:
    """Proposals of `model` for the sequences of one engine, whose states it keeps by their number.

    Raises InvalidInput for another vocabulary than that of `target`.
    """

    def __init__(self, model: LanguageModel, target: LanguageModel):
        if model.vocab_size != target.vocab_size:
            raise InvalidInput(
                f"`draft` {model.directory}: has a vocabulary of {model.vocab_size} tokens, the model "
                f"one of {target.vocab_size}; give a build of the same"
            )
        self._run = model.transformer
        self._longest = self._run.architecture.max_position_embeddings
        self._states: dict[int, tuple[Any, int]] = {}
        self._overflowed: set[int] = set()  # sequences that it would read from the beginning again

    def propose(self, ident: int, tokens: Int64, most: int) -> Int64:
        """Up to `most` tokens that may follow `tokens` [n] of a sequence, which only grow.

        None where the model has no positions left, and none any more once its numbers overflow.
        """
        most = min(most, DRAFTED)
        if most < 1 or len(tokens) + most > self._longest or ident in self._overflowed:
            return NO_DRAFT
        if ident not in self._states:
            self._states[ident] = self._run.new_cache(), 0
        cache, done = self._states.pop(ident)
        try:
            with one_blas_thread():
                best = self._best(tokens[done:], cache)
                mark = cache.mark()
                found = [best]
                while len(found) < most:
                    found.append(self._best(np.array(found[-1:], np.int64), cache))
                cache.rewind(mark)
        except NotFinite:
            self._overflowed.add(ident)
            return NO_DRAFT
        self._states[ident] = cache, len(tokens)
        return np.array(found, np.int64)

    def forget(self, ident: int) -> None:
        """Drop the states of a sequence that has ended."""
        self._states.pop(ident, None)
        self._overflowed.discard(ident)

    def _best(self, tokens: Int64, cache: Any) -> int:
        hidden = self._run.forward(tokens, cache, last=True)
        return int(np.argmax(self._run.logits(hidden)[0]))
