"""What joins several chips in SystemVerilog: links of serial lanes, and the exchange of parts of sums."""

from hnlpu.silicon.rtl.links._link import FAULTS, LINK_FILES, LinkShape, link_for

__all__ = ["FAULTS", "LINK_FILES", "LinkShape", "link_for"]
