"""Families of models: a config becomes a `Network`.

One file per family; `model_type` of the config finds it, and nothing else names a family.
"""

from hnlpu.model.families._config import SIZE_LIMIT, Config, Settings, SignalConfig, Task
from hnlpu.model.families._decoder import HALVES, DecoderConfig, Form, StandardConfig, decoder
from hnlpu.model.families._family import Family, families, find_family, network_of, open_family
from hnlpu.model.families._parts import embed, gated, linear, unembed, weights
from hnlpu.model.families._per_layer import Axis, Half
from hnlpu.model.families._rope import Llama3Rope, Rope
from hnlpu.model.families._stages import BY_OPERATION, EVERY_FAMILY, OF_SIGNALS, refusal

__all__ = [
    "BY_OPERATION",
    "EVERY_FAMILY",
    "HALVES",
    "OF_SIGNALS",
    "SIZE_LIMIT",
    "Axis",
    "Config",
    "DecoderConfig",
    "Family",
    "Form",
    "Half",
    "Llama3Rope",
    "Rope",
    "Settings",
    "SignalConfig",
    "StandardConfig",
    "Task",
    "decoder",
    "embed",
    "families",
    "find_family",
    "gated",
    "linear",
    "network_of",
    "open_family",
    "refusal",
    "unembed",
    "weights",
]
