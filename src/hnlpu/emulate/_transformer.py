"""The gpt-oss transformer over any `Weights`: token ids in, logits out.

tokens ─► embed ─► [ norm ─► q k v ─► rope ─► attend ─► o ─► +
                     norm ─► router ─► experts ─► mix ─► + ] x layers ─► norm ─► unembed
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.checkpoint import FINAL_NORM, UNEMBEDDING
from hnlpu.emulate import _vector_unit as vector_unit
from hnlpu.emulate._layers import PlainLayers, compiled_layers
from hnlpu.emulate._weights import Weights
from hnlpu.errors import InvalidInput, NotFinite
from hnlpu.kernels import Pages

Float32 = npt.NDArray[np.float32]
Tokens = npt.NDArray[np.int64]

PREFILL_CHUNK = 512  # tokens that run through the layers together
LOGITS_AT_ONCE = 2**22  # logits of a long prompt are made in pieces of this many values


def _overflow_is_no_news() -> AbstractContextManager[None]:
    """NumPy keeps quiet about infinity and NaN: `NotFinite` tells of them, in one line."""
    return np.errstate(over="ignore", invalid="ignore")


class KeyValueCache:
    """Keys and values of one sequence, all layers; grows as needed."""

    def __init__(self, layers: int, heads: int, size: int):
        self.length = 0
        self._shape = (layers, heads, size)
        self.keys = np.zeros((layers, heads, size, 0), np.float32)
        self.values = np.zeros((layers, heads, 0, size), np.float32)

    def reserve(self, positions: int) -> None:
        """Make room for `positions` in all."""
        capacity = self.values.shape[2]
        if positions <= capacity:
            return
        layers, heads, size = self._shape
        larger = max(positions, 2 * capacity, 64)
        keys = np.zeros((layers, heads, size, larger), np.float32)
        values = np.zeros((layers, heads, larger, size), np.float32)
        keys[..., : self.length] = self.keys[..., : self.length]
        values[:, :, : self.length] = self.values[:, :, : self.length]
        self.keys, self.values = keys, values

    def pages(self) -> Pages:
        """The cache as one long page."""
        one = np.zeros((1, 1), np.int64)
        return Pages(self.keys[:, None], self.values[:, None], one)


class Transformer:
    """The model over `weights`; holds no state of any sequence."""

    def __init__(self, weights: Weights):
        self.weights = weights
        self.architecture = a = weights.architecture
        self._frequencies, self._rope_factor = a.rope.frequencies(a.head_dim)
        self.compiled = compiled_layers(weights)
        self.plain = PlainLayers(weights)
        self._final_norm = weights.vector(FINAL_NORM)

    def new_cache(self) -> KeyValueCache:
        """An empty cache for one sequence."""
        a = self.architecture
        return KeyValueCache(a.num_hidden_layers, a.num_key_value_heads, a.head_dim)

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

    def forward(self, tokens: Tokens, cache: KeyValueCache, *, last: bool = False) -> Float32:
        """Normalised hidden states [n, hidden] after `tokens` [n], which `cache` takes in.

        With `last` only the final one, [1, hidden].
        """
        cache.reserve(cache.length + len(tokens))
        pieces = []
        with _overflow_is_no_news():
            for i in range(0, len(tokens), PREFILL_CHUNK):
                hidden = self._chunk(tokens[i : i + PREFILL_CHUNK], cache)
                if last:
                    pieces = [hidden[-1:]]
                else:
                    pieces.append(hidden)
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def logits(self, hidden: Float32) -> Float32:
        """Logits [n, vocabulary] of hidden states [n, hidden]; raises NotFinite."""
        with _overflow_is_no_news():
            logits = self.weights.project(UNEMBEDDING, self.weights.prepare(hidden))
        if not np.isfinite(logits).all():
            raise NotFinite(
                "a logit is NaN or infinite; the checkpoint's values leave float32's range"
            )
        return logits

    def logits_in_pieces(self, hidden: Float32) -> Iterator[tuple[int, Float32]]:
        """Logits of many positions as (first position, logits) pieces of bounded size."""
        step = max(1, LOGITS_AT_ONCE // self.architecture.vocab_size)
        for start in range(0, len(hidden), step):
            yield start, self.logits(hidden[start : start + step])

    def _chunk(self, tokens: Tokens, cache: KeyValueCache) -> Float32:
        a = self.architecture
        start, n = cache.length, len(tokens)
        positions = np.arange(start, start + n, dtype=np.float32)
        angles = (positions[:, None] * self._frequencies).astype(np.float64)
        cos = (np.cos(angles) * self._rope_factor).astype(np.float32)
        sin = (np.sin(angles) * self._rope_factor).astype(np.float32)
        x = self.weights.embed(tokens)
        if self.compiled is None:
            self.plain.forward(x, cos, sin, cache.keys, cache.values, start)
        else:
            self.compiled.forward(
                x, cos, sin, cache.pages(), np.zeros(n, np.int64), np.arange(start, start + n)
            )
        cache.length += n
        return vector_unit.rms_norm(x, self._final_norm, a.rms_norm_eps)
