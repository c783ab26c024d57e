"""The gpt-oss transformer as a chip computes it: token ids in, logits out, integers throughout.

Every result is what the chip's RTL gives for the same build, bit for bit, and depends on no other
token than those before it (docs/vector-unit.md).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.fixed_point import FRACTION, Random, chip_sample, inverse_temperature
from hnlpu.model.checkpoint import FINAL_NORM, UNEMBEDDING, Architecture
from hnlpu.run.emulate._cache import ChipCache
from hnlpu.run.emulate._chip_unit import ChipUnit
from hnlpu.run.emulate._chip_weights import ChipWeights
from hnlpu.run.emulate._layers import PlainLayers
from hnlpu.run.emulate._network import Network, Sampler, Tokens
from hnlpu.run.emulate._sampling import log_softmax
from hnlpu.silicon.hardwire import Build

Int64 = npt.NDArray[np.int64]


class ChipTransformer(Network[ChipCache, np.int64]):
    """The model of a build in `chip` numerics; hidden states and logits are values (2^-16).

    Raises NotFinite for a parameter that is NaN or infinite, and InvalidInput for a model that
    the vector unit cannot compute.
    """

    architecture: Architecture

    def __init__(self, build: Build):
        self.weights = ChipWeights(build)
        self.architecture = self.weights.architecture
        self._unit = ChipUnit(self.weights)
        self._layers = PlainLayers(self.weights, self._unit)

    def new_cache(self) -> ChipCache:
        """An empty cache for one sequence."""
        a = self.architecture
        return ChipCache(a.num_hidden_layers, a.num_key_value_heads, a.head_dim)

    def logits(self, hidden: Int64) -> Int64:
        """Logits [n, vocabulary] of hidden states [n, hidden]."""
        return self.weights.project(UNEMBEDDING, self.weights.prepare(hidden))

    def log_probabilities(self, logits: Int64) -> npt.NDArray[np.float64]:
        """Natural log-probabilities [n, vocabulary] of logits [n, vocabulary], in float64."""
        return log_softmax(logits / 2.0**FRACTION)

    def sampler(self, temperature: float, seed: int) -> Sampler:
        """The chip's own: at temperature 0 the first of the largest, else by xorshift64."""
        inverse, random = inverse_temperature(temperature), Random(seed)
        return lambda logits: chip_sample(logits, inverse, random)

    def _chunk(self, tokens: Tokens, cache: ChipCache) -> Int64:
        x = self.weights.embed(tokens)
        self._layers.forward(x, self._unit.turns(cache.length, len(tokens)), cache)
        cache.length += len(tokens)
        return self._unit.norm(x, FINAL_NORM)
