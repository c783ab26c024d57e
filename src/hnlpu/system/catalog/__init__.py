"""Models and systems as data: what there is to hardwire, and what runs it at what price.

One TOML file each, under `models/` and `systems/`, each value with unit and source.  Add one by
adding a file there, or give the path of one.
"""

from hnlpu.system.catalog._capacity import DIGIT_BITS, ROW_RANGE, chips_needed
from hnlpu.system.catalog._devices import RatedDevice, load_devices, rated_devices
from hnlpu.system.catalog._economy import (
    Assembly,
    DesignPrices,
    MaskLayer,
    Masks,
    Ownership,
    Prices,
    Range,
    Scenario,
    Wafer,
    find_quantity,
)
from hnlpu.system.catalog._load import load_model, load_system, model_names, system_names
from hnlpu.system.catalog._machine import Breakdown, Buffer, Hbm, Link, Machine, VectorUnit
from hnlpu.system.catalog._model import (
    Attention,
    Dense,
    ExpertsShape,
    Group,
    Latent,
    ModelShape,
    ShapedMatrix,
    WeightFormat,
)
from hnlpu.system.catalog._network import NetworkShape, shape_of_folder, shape_of_network
from hnlpu.system.catalog._resize import near_square, regridded, resized, sized
from hnlpu.system.catalog._survey import Surveyed, SurveyedModel, load_survey, surveyed
from hnlpu.system.catalog._system import (
    Block,
    ClaimedRatio,
    Energy,
    Floor,
    Power,
    Published,
    Purpose,
    Rate,
    StatedArray,
    StatedDie,
    StatedTarget,
    System,
)
from hnlpu.system.catalog._techniques import Technique, load_techniques

Model = ModelShape | NetworkShape
"""A model of the catalog, or one by its network."""
__all__ = [
    "DIGIT_BITS",
    "ROW_RANGE",
    "Assembly",
    "Attention",
    "Block",
    "Breakdown",
    "Buffer",
    "ClaimedRatio",
    "Dense",
    "DesignPrices",
    "Energy",
    "ExpertsShape",
    "Floor",
    "Group",
    "Hbm",
    "Latent",
    "Link",
    "Machine",
    "MaskLayer",
    "Masks",
    "Model",
    "ModelShape",
    "NetworkShape",
    "Ownership",
    "Power",
    "Prices",
    "Published",
    "Purpose",
    "Range",
    "Rate",
    "RatedDevice",
    "Scenario",
    "ShapedMatrix",
    "StatedArray",
    "StatedDie",
    "StatedTarget",
    "Surveyed",
    "SurveyedModel",
    "System",
    "Technique",
    "VectorUnit",
    "Wafer",
    "WeightFormat",
    "chips_needed",
    "find_quantity",
    "load_devices",
    "load_model",
    "load_survey",
    "load_system",
    "load_techniques",
    "model_names",
    "near_square",
    "rated_devices",
    "regridded",
    "resized",
    "shape_of_folder",
    "shape_of_network",
    "sized",
    "surveyed",
    "system_names",
]
