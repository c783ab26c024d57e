"""A build on its chips: each has its slices, and what crosses links is rounded as its format says.

values ─► chip 0: part ─┐
─► chip 1: part ─┴─► link ─► values on all chips                docs/exchange.md
"""

from hnlpu.run.emulate.machine._constants import MachineConstants
from hnlpu.run.emulate.machine._model import MachineModel
from hnlpu.run.emulate.machine._numerics import MachineNumerics

__all__ = ["MachineConstants", "MachineModel", "MachineNumerics"]
