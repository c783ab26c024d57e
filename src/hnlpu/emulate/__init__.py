"""The emulator: a build (or a checkpoint, in float32) that generates and scores."""

from hnlpu.emulate import _vector_unit as vector_unit
from hnlpu.emulate._cache import ChipCache, KeyValueCache
from hnlpu.emulate._chip_transformer import ChipTransformer
from hnlpu.emulate._chip_weights import ChipWeights
from hnlpu.emulate._constants import FloatConstants
from hnlpu.emulate._experts import mixture_of_experts
from hnlpu.emulate._fused import FUSED
from hnlpu.emulate._interpreter import Interpreter
from hnlpu.emulate._language_model import (
    LanguageModel,
    Numerics,
    Score,
    Token,
    chip_tokens,
    float_model,
    hardwired,
    open_language_model,
    score_windows,
)
from hnlpu.emulate._layers import CompiledLayers, PlainLayers, compiled_layers
from hnlpu.emulate._network import Network
from hnlpu.emulate._projection import (
    integer_sums,
    project,
    quantize_activations,
    ways_to_sum,
)
from hnlpu.emulate._sampling import best_tokens, draw, log_softmax, ranked, sample, softmax_weights
from hnlpu.emulate._states import States
from hnlpu.emulate._threads import one_blas_thread
from hnlpu.emulate._tokenizer import Tokenizer
from hnlpu.emulate._transformer import Transformer
from hnlpu.emulate._weights import Activations, FloatWeights, HardwiredWeights, Weights

__all__ = [
    "FUSED",
    "Activations",
    "ChipCache",
    "ChipTransformer",
    "ChipWeights",
    "CompiledLayers",
    "FloatConstants",
    "FloatWeights",
    "HardwiredWeights",
    "Interpreter",
    "KeyValueCache",
    "LanguageModel",
    "Network",
    "Numerics",
    "PlainLayers",
    "Score",
    "States",
    "Token",
    "Tokenizer",
    "Transformer",
    "Weights",
    "best_tokens",
    "chip_tokens",
    "compiled_layers",
    "draw",
    "float_model",
    "hardwired",
    "integer_sums",
    "log_softmax",
    "mixture_of_experts",
    "one_blas_thread",
    "open_language_model",
    "project",
    "quantize_activations",
    "ranked",
    "sample",
    "score_windows",
    "softmax_weights",
    "vector_unit",
    "ways_to_sum",
]
