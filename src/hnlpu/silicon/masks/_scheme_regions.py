"""What of mask files is of the regions scheme."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.silicon.embed import Fault, Layout, Regions, TileDigits, TileShape
from hnlpu.silicon.masks._decode import decode_regions
from hnlpu.silicon.masks._extract import Netlist
from hnlpu.silicon.masks._klayout import Violation
from hnlpu.silicon.masks._layers import LayerMap
from hnlpu.silicon.masks._net import Net
from hnlpu.silicon.masks._nets_regions import regions_nets
from hnlpu.silicon.masks._oasis_regions import regions_cell, regions_payload
from hnlpu.silicon.masks._oasis_write import Box
from hnlpu.silicon.masks._proof_regions import regions_proof, require_reach
from hnlpu.silicon.masks._scheme import MaskScheme, Tracks
from hnlpu.silicon.masks._wires import check_wires


class RegionsMasks(MaskScheme[Regions]):
    """A weight is a wire, which a router draws."""

    bytes_a_digit = {"oasis": 10.5, "gds": 420, "via-map": 7, "def": 330, "tcl": 28}  # noqa: RUF012

    def payload(self, scheme: Regions, digits: TileDigits) -> bytes:
        return regions_payload(scheme, digits)

    def cell(
        self, scheme: Regions, digits: TileDigits, layers: LayerMap, numbers: Mapping[str, int]
    ) -> tuple[bytes, Box | None]:
        return regions_cell(scheme, digits, layers)

    def via_map(self, scheme: Regions, digits: TileDigits) -> dict[str, npt.NDArray[Any]]:
        routes = scheme.fitting_routes(digits)
        return {"port": routes.port, "track": routes.track, "word": routes.word}

    def nets(self, scheme: Regions, digits: TileDigits) -> Iterator[Net]:
        return regions_nets(scheme, digits)

    def wire_width(self, scheme: Regions) -> int:
        return scheme.rules.stub_width

    def tracks(self, scheme: Regions, shape: TileShape) -> Iterator[Tracks]:
        rules, pitch = scheme.rules, scheme.row_pitch_nm(shape)
        for track in range(scheme.kind.tracks):
            yield Tracks(rules.margin + track * rules.track_pitch, shape.rows, pitch)

    def decode(
        self, netlist: Netlist, rows: int, blocks: int
    ) -> tuple[npt.NDArray[np.int32], list[Fault]]:
        return decode_regions(netlist, rows, blocks)

    def require_reach(self, scheme: Regions, shape: TileShape) -> None:
        require_reach(scheme, shape)

    def broken_rules(self, scheme: Regions, metal: Callable[[], Layout]) -> list[Violation]:
        return check_wires(scheme.technology, metal())

    def proof_tile(self, scheme: Regions) -> tuple[Regions, TileDigits]:
        full, digits = regions_proof(scheme)
        require_reach(full, TileShape(digits.rows, digits.blocks))
        return full, digits
