"""`MaskScheme`: what of mask files depends on the scheme; there is one subclass a scheme.

`masks._schemes` has the table of them, `masks._scheme_taps` and `masks._scheme_regions` are the two.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from hnlpu.silicon.embed import Fault, Layout, Scheme, TileDigits, TileShape
from hnlpu.silicon.masks._extract import Netlist
from hnlpu.silicon.masks._klayout import Violation
from hnlpu.silicon.masks._layers import LayerMap
from hnlpu.silicon.masks._net import Net
from hnlpu.silicon.masks._oasis_write import Box
from hnlpu.silicon.masks._record import Format

Of = TypeVar("Of", bound=Scheme)


@dataclass(frozen=True)
class Tracks:
    """Lines where wires lie: `count` of them, the first at `start`, every `step` nm."""

    start: int
    count: int
    step: int


class MaskScheme(ABC, Generic[Of]):
    """Metal of one scheme in files: drawn, read, described to tools, and proved."""

    bytes_a_digit: Mapping[Format, float]
    """About what a digit takes at most, to refuse before the disk is full."""

    # -- cells -------------------------------------------------------------------------------

    @abstractmethod
    def payload(self, scheme: Of, digits: TileDigits) -> bytes:
        """OASIS records of a tile's programmable metal, on the scheme's own layers."""

    @abstractmethod
    def cell(
        self, scheme: Of, digits: TileDigits, layers: LayerMap, numbers: Mapping[str, int]
    ) -> tuple[bytes, Box | None]:
        """The same for a file of these layers and numbers of cells, and the box around it."""

    def used_names(self, scheme: Of, digits: TileDigits) -> set[str]:
        """Names of the shared cells that a tile places."""
        return set()

    def shared_layouts(self, scheme: Of) -> dict[str, Layout]:
        """The cells that tiles of a kind may place, by name."""
        return {}

    def shared_payloads(self, scheme: Of) -> dict[str, bytes]:
        """OASIS records of them."""
        return {}

    # -- for other tools ---------------------------------------------------------------------

    @abstractmethod
    def via_map(self, scheme: Of, digits: TileDigits) -> dict[str, npt.NDArray[Any]]:
        """The arrays of a tile by name; see `masks._via_map`."""

    @abstractmethod
    def nets(self, scheme: Of, digits: TileDigits) -> Iterator[Net]:
        """Every net that reaches a sink; raises DoesNotFit where the weights do not fit."""

    @abstractmethod
    def wire_width(self, scheme: Of) -> int:
        """Width in nm of the wires of the stub layer."""

    @abstractmethod
    def tracks(self, scheme: Of, shape: TileShape) -> Iterator[Tracks]:
        """Tracks by y of the wires of the stub layer."""

    # -- judged ------------------------------------------------------------------------------

    @abstractmethod
    def decode(
        self, netlist: Netlist, rows: int, blocks: int
    ) -> tuple[npt.NDArray[np.int32], list[Fault]]:
        """Digits int32 [rows, inputs] that a tile's nets say, and sinks that say none."""

    def require_reach(self, scheme: Of, shape: TileShape) -> None:
        """Raise DoesNotFit unless the rules hold for any weights that reading accepts."""
        return

    def broken_rules(self, scheme: Of, metal: Callable[[], Layout]) -> list[Violation]:
        """Rules that a tile's metal, fixed and programmable, breaks and that reading does not look at."""
        return []

    @abstractmethod
    def proof_tile(self, scheme: Of) -> tuple[Of, TileDigits]:
        """The proof tile of an array kind; see `masks._proof`."""
