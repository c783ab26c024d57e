"""The gpt-oss transformer in `float` numerics over any `Weights`: token ids in, logits out.

tokens ─► embed ─► [ norm ─► q k v ─► rope ─► attend ─► o ─► +
                     norm ─► router ─► experts ─► mix ─► + ] x layers ─► norm ─► unembed
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial

import numpy as np
import numpy.typing as npt

from hnlpu.errors import NotFinite
from hnlpu.model.checkpoint import FINAL_NORM, UNEMBEDDING, Architecture
from hnlpu.run.emulate import _vector_unit as vector_unit
from hnlpu.run.emulate._cache import KeyValueCache
from hnlpu.run.emulate._float_unit import FloatUnit
from hnlpu.run.emulate._layers import PlainLayers, compiled_layers
from hnlpu.run.emulate._network import Network, Sampler, Tokens
from hnlpu.run.emulate._sampling import log_softmax, sample
from hnlpu.run.emulate._weights import Weights

Float32 = npt.NDArray[np.float32]


def _overflow_is_no_news() -> AbstractContextManager[None]:
    """NumPy keeps quiet about infinity and NaN: `NotFinite` tells of them, in one line."""
    return np.errstate(over="ignore", invalid="ignore")


class Transformer(Network[KeyValueCache, np.float32]):
    """The model over `weights`; holds no state of any sequence."""

    architecture: Architecture

    def __init__(self, weights: Weights[np.float32]):
        self.weights = weights
        self.architecture = a = weights.architecture
        self._frequencies, self._rope_factor = a.rope.frequencies(a.head_dim)
        self.compiled = compiled_layers(weights)
        self.plain = PlainLayers(weights, FloatUnit(weights))
        self._final_norm = weights.vector(FINAL_NORM)

    def new_cache(self) -> KeyValueCache:
        """An empty cache for one sequence."""
        a = self.architecture
        return KeyValueCache(a.num_hidden_layers, a.num_key_value_heads, a.head_dim)

    def logits(self, hidden: Float32) -> Float32:
        """Logits [n, vocabulary] of hidden states [n, hidden]; raises NotFinite."""
        with _overflow_is_no_news():
            logits = self.weights.project(UNEMBEDDING, self.weights.prepare(hidden))
        if not np.isfinite(logits).all():
            raise NotFinite(
                "a logit is NaN or infinite; the checkpoint's values leave float32's range"
            )
        return logits

    def log_probabilities(self, logits: Float32) -> npt.NDArray[np.float64]:
        """Natural log-probabilities [n, vocabulary] of logits [n, vocabulary]."""
        return log_softmax(logits)

    def sampler(self, temperature: float, seed: int) -> Sampler:
        """Draws u from Philox(seed) for each token and takes it by the cumulative softmax."""
        random = np.random.Generator(np.random.Philox(seed))
        return partial(sample, temperature=temperature, random=random)

    def _chunk(self, tokens: Tokens, cache: KeyValueCache) -> Float32:
        start, n = cache.length, len(tokens)
        positions = np.arange(start, start + n, dtype=np.float32)
        angles = (positions[:, None] * self._frequencies).astype(np.float64)
        cos = (np.cos(angles) * self._rope_factor).astype(np.float32)
        sin = (np.sin(angles) * self._rope_factor).astype(np.float32)
        x = self.weights.embed(tokens)
        with _overflow_is_no_news():
            if self.compiled is None:
                self.plain.forward(x, (cos, sin), cache)
                x = self.norm(x)
            else:
                rows = np.zeros(n, np.int64), np.arange(start, start + n)
                self.compiled.forward_normed(x, cos, sin, cache.pages(), *rows)
            cache.length += n
            return x

    def norm(self, x: Float32) -> Float32:
        """The last RMSNorm, of x [rows, hidden]."""
        if self.compiled is not None:
            return self.compiled.norm(x, self._final_norm)
        return vector_unit.rms_norm(x, self._final_norm, self.architecture.rms_norm_eps)
