"""Several chips and the links between them, in SystemVerilog."""

from hnlpu.silicon.rtl.machine._link import FAULTS, LINK_FILES, LinkShape, link_for

__all__ = ["FAULTS", "LINK_FILES", "LinkShape", "link_for"]
