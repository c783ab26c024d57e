"""The emulator: a build (or a checkpoint, in float32) that generates and scores."""

from hnlpu.emulate._language_model import (
    LanguageModel,
    Score,
    Token,
    float_model,
    hardwired,
    open_language_model,
)
from hnlpu.emulate._projection import (
    integer_sums,
    project,
    quantize_activations,
    ways_to_sum,
)
from hnlpu.emulate._threads import one_blas_thread
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
    "Token",
    "Tokenizer",
    "Transformer",
    "Weights",
    "float_model",
    "hardwired",
    "integer_sums",
    "one_blas_thread",
    "open_language_model",
    "project",
    "quantize_activations",
    "ways_to_sum",
]
