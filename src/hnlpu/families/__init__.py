"""Families of models: a config becomes a `Network`.

One file per family; `model_type` of the config finds it, and nothing else names a family.
"""

from hnlpu.families._config import SIZE_LIMIT, Config
from hnlpu.families._family import Family, families, find_family, network_of
from hnlpu.families._rope import Llama3Rope, Rope

__all__ = [
    "SIZE_LIMIT",
    "Config",
    "Family",
    "Llama3Rope",
    "Rope",
    "families",
    "find_family",
    "network_of",
]
