"""The emulator: a build (or a checkpoint, in float32) that generates and scores."""

from hnlpu.run.emulate import _vector_unit as vector_unit
from hnlpu.run.emulate._activations import Activations, Meeting
from hnlpu.run.emulate._chip_constants import ChipConstants
from hnlpu.run.emulate._chip_model import ChipModel
from hnlpu.run.emulate._chip_network import chip_interpreter
from hnlpu.run.emulate._constants import FloatConstants
from hnlpu.run.emulate._early import EarlySteps, EarlyValues, early_steps
from hnlpu.run.emulate._fused import FUSED
from hnlpu.run.emulate._generation import (
    GENERATION,
    TOKENIZER,
    Defaults,
    read_defaults,
    read_json,
    token_name,
    tokenizer_settings,
)
from hnlpu.run.emulate._interpreted import InterpretedModel, StatesCache, split_off_logits
from hnlpu.run.emulate._interpreter import Interpreter, Watch
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
from hnlpu.run.emulate._measures import ClassScore, ErrorScore, score_classes, score_numbers
from hnlpu.run.emulate._network import TokenModel
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
from hnlpu.run.emulate._signal_model import (
    SignalModel,
    expect_signals,
    hardwired_signals,
    open_signal_model,
)
from hnlpu.run.emulate._spelling import Step
from hnlpu.run.emulate._states import States
from hnlpu.run.emulate._taped import TapedNetwork
from hnlpu.run.emulate._threads import one_blas_thread
from hnlpu.run.emulate._tokenizer import Tokenizer
from hnlpu.run.emulate.machine import MachineModel

__all__ = [
    "FUSED",
    "GENERATION",
    "TOKENIZER",
    "Activations",
    "ChipConstants",
    "ChipModel",
    "ClassScore",
    "Defaults",
    "EarlySteps",
    "EarlyValues",
    "ErrorScore",
    "FloatConstants",
    "HardwiredConstants",
    "InterpretedModel",
    "Interpreter",
    "LanguageModel",
    "MachineModel",
    "MachineOf",
    "Meeting",
    "ModelConstants",
    "Numerics",
    "Score",
    "SignalModel",
    "States",
    "StatesCache",
    "Step",
    "TapedNetwork",
    "Token",
    "TokenModel",
    "Tokenizer",
    "Watch",
    "best_tokens",
    "chip_interpreter",
    "chip_tokens",
    "draw",
    "early_steps",
    "expect_signals",
    "float_model",
    "hardwired",
    "hardwired_signals",
    "integer_sums",
    "kept_weights",
    "log_softmax",
    "one_blas_thread",
    "open_language_model",
    "open_signal_model",
    "project",
    "quantize_activations",
    "ranked",
    "read_defaults",
    "read_json",
    "sample",
    "score_classes",
    "score_numbers",
    "score_windows",
    "softmax_weights",
    "split_off_logits",
    "token_name",
    "tokenizer_settings",
    "vector_unit",
    "ways_to_sum",
]
