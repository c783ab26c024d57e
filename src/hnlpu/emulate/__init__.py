"""The emulator: a build (or a checkpoint, in float32) that generates and scores."""

from hnlpu.emulate._language_model import (
    LanguageModel,
    Score,
    float_model,
    hardwired,
    open_language_model,
)
from hnlpu.emulate._projection import integer_sums, project, quantize_activations
from hnlpu.emulate._tokenizer import Tokenizer
from hnlpu.emulate._transformer import KeyValueCache, Transformer
from hnlpu.emulate._weights import Activations, FloatWeights, HardwiredWeights, Weights

__all__ = [
    "Activations",
    "FloatWeights",
    "HardwiredWeights",
    "KeyValueCache",
    "LanguageModel",
    "Score",
    "Tokenizer",
    "Transformer",
    "Weights",
    "float_model",
    "hardwired",
    "integer_sums",
    "open_language_model",
    "project",
    "quantize_activations",
]
