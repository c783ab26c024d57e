"""Digits -> the nets that programmable metal makes, from the digits alone and not from shapes.

taps      a trunk with the ports that its vias tie, a count bit with the column that takes it,
          and GND with the ports and columns of zeros
regions   an input's trunk with the ports that its wires reach; GND and PWR with unused ports
          and with the ties that say a group's value

Names of pins are the labels in the layout.
"""

from __future__ import annotations

from collections.abc import Iterator

from hnlpu.silicon.embed import Scheme, TileDigits
from hnlpu.silicon.masks._net import Net
from hnlpu.silicon.masks._schemes import MASK_SCHEMES


def wire_width(scheme: Scheme) -> int:
    """Width in nm of the wires of the stub layer."""
    return MASK_SCHEMES[scheme.name].wire_width(scheme)


def nets(scheme: Scheme, digits: TileDigits) -> Iterator[Net]:
    """Every net that reaches a sink: by input and value, then by row, GND and PWR last.

    Raises DoesNotFit where the weights do not fit the array.
    """
    return MASK_SCHEMES[scheme.name].nets(scheme, digits)
