"""The emulator: a build (or a checkpoint, in float32) that generates and scores."""

from hnlpu.run.emulate import _vector_unit as vector_unit
from hnlpu.run.emulate._cache import ChipCache, KeyValueCache
from hnlpu.run.emulate._chip_constants import ChipConstants
from hnlpu.run.emulate._chip_model import ChipModel
from hnlpu.run.emulate._chip_network import chip_interpreter
from hnlpu.run.emulate._chip_transformer import ChipTransformer
from hnlpu.run.emulate._chip_weights import ChipWeights
from hnlpu.run.emulate._constants import FloatConstants
from hnlpu.run.emulate._experts import mixture_of_experts
from hnlpu.run.emulate._fused import FUSED
from hnlpu.run.emulate._generation import (
    GENERATION,
    TOKENIZER,
    Defaults,
    read_defaults,
    read_json,
    token_name,
)
from hnlpu.run.emulate._interpreted import InterpretedModel, StatesCache
from hnlpu.run.emulate._interpreter import Interpreter
from hnlpu.run.emulate._language_model import (
    LanguageModel,
    MachineOf,
    Numerics,
    Score,
    Token,
    chip_tokens,
    float_model,
    hardwired,
    open_language_model,
    score_windows,
)
from hnlpu.run.emulate._layers import CompiledLayers, PlainLayers, compiled_layers
from hnlpu.run.emulate._network import Network
from hnlpu.run.emulate._network_constants import HardwiredConstants, ModelConstants
from hnlpu.run.emulate._projection import (
    integer_sums,
    project,
    quantize_activations,
    ways_to_sum,
)
from hnlpu.run.emulate._sampling import (
    best_tokens,
    draw,
    kept_weights,
    log_softmax,
    ranked,
    sample,
    softmax_weights,
)
from hnlpu.run.emulate._spelling import Step
from hnlpu.run.emulate._states import States
from hnlpu.run.emulate._taped import TapedNetwork
from hnlpu.run.emulate._threads import one_blas_thread
from hnlpu.run.emulate._tokenizer import Tokenizer
from hnlpu.run.emulate._transformer import Transformer
from hnlpu.run.emulate._weights import Activations, FloatWeights, HardwiredWeights, Weights
from hnlpu.run.emulate.machine import MachineModel

__all__ = [
    "FUSED",
    "GENERATION",
    "TOKENIZER",
    "Activations",
    "ChipCache",
    "ChipConstants",
    "ChipModel",
    "ChipTransformer",
    "ChipWeights",
    "CompiledLayers",
    "Defaults",
    "FloatConstants",
    "FloatWeights",
    "HardwiredConstants",
    "HardwiredWeights",
    "InterpretedModel",
    "Interpreter",
    "KeyValueCache",
    "LanguageModel",
    "MachineModel",
    "MachineOf",
    "ModelConstants",
    "Network",
    "Numerics",
    "PlainLayers",
    "Score",
    "States",
    "StatesCache",
    "Step",
    "TapedNetwork",
    "Token",
    "Tokenizer",
    "Transformer",
    "Weights",
    "best_tokens",
    "chip_interpreter",
    "chip_tokens",
    "compiled_layers",
    "draw",
    "float_model",
    "hardwired",
    "integer_sums",
    "kept_weights",
    "log_softmax",
    "mixture_of_experts",
    "one_blas_thread",
    "open_language_model",
    "project",
    "quantize_activations",
    "ranked",
    "read_defaults",
    "read_json",
    "sample",
    "score_windows",
    "softmax_weights",
    "token_name",
    "vector_unit",
    "ways_to_sum",
]
