"""What a transformer does in any numerics: token ids in, logits out, tokens drawn.

tokens ─► pieces of a prompt ─► hidden states ─► logits ─► log-probabilities, or a token
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from hnlpu.errors import InvalidInput
from hnlpu.model.checkpoint import Architecture, ModelFacts


class SequenceStates(Protocol):
    """What one sequence keeps: keys and values, or the states of a network."""

    @property
    def length(self) -> int:
        """Positions that were taken in."""
        ...

    def reserve(self, positions: int) -> None:
        """Make room for `positions` in all."""
        ...


Cache = TypeVar("Cache", bound=SequenceStates)
Number = TypeVar("Number", np.float32, np.int64)
"""float32 in `float` numerics, int64 (values, see `fixed_point`) in `chip`."""
Tokens = npt.NDArray[np.int64]
Sampler = Callable[[npt.NDArray[Any]], int]
"""Logits [vocabulary] into the next token; holds the state of its generator."""

PREFILL_CHUNK = 512  # tokens that run through the layers together
LOGITS_AT_ONCE = 2**22  # logits of a long prompt are made in pieces of this many values


class TokenModel(ABC, Generic[Cache, Number]):
    """A model that holds no state of any sequence."""

    architecture: Architecture | ModelFacts

    @abstractmethod
    def new_cache(self) -> Cache:
        """An empty cache for one sequence."""

    @abstractmethod
    def logits(self, hidden: npt.NDArray[Number]) -> npt.NDArray[Number]:
        """Logits [n, vocabulary] of hidden states [n, hidden]; raises NotFinite."""

    @abstractmethod
    def log_probabilities(self, logits: npt.NDArray[Number]) -> npt.NDArray[np.float64]:
        """Natural log-probabilities [n, vocabulary] of logits [n, vocabulary]."""

    @abstractmethod
    def sampler(self, temperature: float, seed: int) -> Sampler:
        """What draws the tokens of one answer; raises InvalidInput."""

    @abstractmethod
    def _chunk(self, tokens: Tokens, cache: Cache) -> npt.NDArray[Number]:
        """Normalised hidden states after `tokens`, for which `cache` has room."""

    def check_tokens(self, tokens: Sequence[int] | npt.NDArray[Any]) -> Tokens:
        """`tokens` as int64 [n]; raises InvalidInput for what is no row of ids of the vocabulary."""
        last = self.architecture.vocab_size - 1
        ids = np.asarray(tokens, dtype=object)
        if ids.ndim != 1 or isinstance(tokens, (str, bytes)):
            raise InvalidInput("token ids must be a flat list of whole numbers")
        for token in ids:
            if isinstance(token, bool) or not isinstance(token, (int, np.integer)):
                raise InvalidInput(f"token {token!r} is not a whole number")
            if not 0 <= token <= last:
                raise InvalidInput(f"token {token} is outside of the vocabulary (0 to {last})")
        return ids.astype(np.int64)

    def forward(self, tokens: Tokens, cache: Cache, *, last: bool = False) -> npt.NDArray[Number]:
        """Normalised hidden states [n, hidden] after `tokens` [n], which `cache` takes in.

        With `last` only the final one, [1, hidden].
        """
        cache.reserve(cache.length + len(tokens))
        pieces = []
        for i in range(0, len(tokens), PREFILL_CHUNK):
            hidden = self._chunk(tokens[i : i + PREFILL_CHUNK], cache)
            if last:
                pieces = [hidden[-1:]]
            else:
                pieces.append(hidden)
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def logits_in_pieces(
        self, hidden: npt.NDArray[Number]
    ) -> Iterator[tuple[int, npt.NDArray[Number]]]:
        """Logits of many positions as (first position, logits) pieces of bounded size."""
        step = max(1, LOGITS_AT_ONCE // self.architecture.vocab_size)
        for start in range(0, len(hidden), step):
            yield start, self.logits(hidden[start : start + step])
