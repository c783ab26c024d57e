"""gpt-oss over the metal of a build, its layers in C: token ids in, logits out.

tokens ─► embed ─► layers as a tape (`CompiledLayers`) ─► norm ─► unembed

What else runs a network, gpt-oss too where there is no tape, is `InterpretedModel`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial

import numpy as np
import numpy.typing as npt

from hnlpu.errors import NotFinite
from hnlpu.model.checkpoint import EMBEDDING, FINAL_NORM, UNEMBEDDING, Architecture
from hnlpu.run.emulate._cache import KeyValueCache
from hnlpu.run.emulate._layers import CompiledLayers
from hnlpu.run.emulate._network import Sampler, TokenModel, Tokens
from hnlpu.run.emulate._network_constants import HardwiredConstants
from hnlpu.run.emulate._sampling import log_softmax, sample
from hnlpu.silicon.hardwire import Build

Float32 = npt.NDArray[np.float32]


def _overflow_is_no_news() -> AbstractContextManager[None]:
    """NumPy keeps quiet about infinity and NaN: `NotFinite` tells of them, in one line."""
    return np.errstate(over="ignore", invalid="ignore")


class Transformer(TokenModel[KeyValueCache, np.float32]):
    """The model of a build; holds no state of any sequence."""

    architecture: Architecture

    def __init__(self, build: Build, constants: HardwiredConstants, compiled: CompiledLayers):
        self.build, self.constants, self.compiled = build, constants, compiled
        self.architecture = a = build.architecture
        self._frequencies, self._rope_factor = a.rope.frequencies(a.head_dim)
        self._final_norm = constants.parameter(FINAL_NORM)

    def new_cache(self) -> KeyValueCache:
        """An empty cache for one sequence."""
        a = self.architecture
        return KeyValueCache(a.num_hidden_layers, a.num_key_value_heads, a.head_dim)

    def embed(self, tokens: Tokens) -> Float32:
        """Rows of the embedding table: [tokens, hidden]."""
        return self.constants.rows(EMBEDDING, tokens)

    def logits(self, hidden: Float32) -> Float32:
        """Logits [n, vocabulary] of hidden states [n, hidden]; raises NotFinite."""
        with _overflow_is_no_news():
            logits = self.constants.project(UNEMBEDDING, self.constants.prepare(hidden))
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

    def turns(self, positions: Tokens) -> tuple[Float32, Float32]:
        """Cosines and sines of RoPE at positions [rows]: [rows, head_dim / 2] each."""
        angles = (positions.astype(np.float32)[:, None] * self._frequencies).astype(np.float64)
        cos = (np.cos(angles) * self._rope_factor).astype(np.float32)
        sin = (np.sin(angles) * self._rope_factor).astype(np.float32)
        return cos, sin

    def norm(self, x: Float32) -> Float32:
        """The last RMSNorm, of x [rows, hidden]."""
        return self.compiled.norm(x, self._final_norm)

    def _chunk(self, tokens: Tokens, cache: KeyValueCache) -> Float32:
        n = len(tokens)
        positions = np.arange(cache.length, cache.length + n)
        x = self.embed(tokens)
        with _overflow_is_no_news():
            self.compiled.forward_normed(
                x, *self.turns(positions), cache.pages(), np.zeros(n, np.int64), positions
            )
        cache.length += n
        return x
