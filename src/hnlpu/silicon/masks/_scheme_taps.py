"""What of mask files is of the taps scheme."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.silicon.embed import Fault, Layout, Taps, TileDigits, TileShape
from hnlpu.silicon.masks._decode import decode_taps
from hnlpu.silicon.masks._extract import Netlist
from hnlpu.silicon.masks._layers import LayerMap
from hnlpu.silicon.masks._net import Net
from hnlpu.silicon.masks._nets_taps import taps_nets
from hnlpu.silicon.masks._oasis_taps import (
    pattern_cells,
    pattern_layout,
    pattern_name,
    taps_box,
    taps_payload,
)
from hnlpu.silicon.masks._oasis_write import Box
from hnlpu.silicon.masks._proof_taps import taps_proof
from hnlpu.silicon.masks._scheme import MaskScheme, Tracks
from hnlpu.silicon.masks._via_map import via_sites


class TapsMasks(MaskScheme[Taps]):
    """A weight is a via; a shift is a cell of vias that many tiles share."""

    bytes_a_digit = {"oasis": 1.1, "gds": 30, "via-map": 1.1, "def": 80, "tcl": 20}  # noqa: RUF012

    def payload(self, scheme: Taps, digits: TileDigits) -> bytes:
        scheme.check_values(digits)
        return taps_payload(scheme, digits)

    def cell(
        self, scheme: Taps, digits: TileDigits, layers: LayerMap, numbers: Mapping[str, int]
    ) -> tuple[bytes, Box | None]:
        scheme.check_values(digits)
        return taps_payload(scheme, digits, layers, numbers), taps_box(scheme, digits)

    def used_names(self, scheme: Taps, digits: TileDigits) -> set[str]:
        if not scheme.scale_stubs:
            return set()
        shifts = np.flatnonzero(np.bincount(digits.shifts.reshape(-1)))
        return {pattern_name(scheme, shift) for shift in shifts.tolist()}

    def shared_layouts(self, scheme: Taps) -> dict[str, Layout]:
        if not scheme.scale_stubs:
            return {}
        shifts = range(scheme.kind.scale_range + 1)
        return {pattern_name(scheme, shift): pattern_layout(scheme, shift) for shift in shifts}

    def shared_payloads(self, scheme: Taps) -> dict[str, bytes]:
        return pattern_cells(scheme)

    def via_map(self, scheme: Taps, digits: TileDigits) -> dict[str, npt.NDArray[Any]]:
        scheme.check_values(digits)
        return {"site": via_sites(scheme, digits), "shift": digits.shifts}

    def nets(self, scheme: Taps, digits: TileDigits) -> Iterator[Net]:
        scheme.check_values(digits)
        return taps_nets(scheme, digits)

    def wire_width(self, scheme: Taps) -> int:
        return scheme.stub_width

    def tracks(self, scheme: Taps, shape: TileShape) -> Iterator[Tracks]:
        yield Tracks(scheme.pitch // 2, shape.rows, scheme.pitch)

    def decode(
        self, netlist: Netlist, rows: int, blocks: int
    ) -> tuple[npt.NDArray[np.int32], list[Fault]]:
        return decode_taps(netlist, rows, blocks)

    def proof_tile(self, scheme: Taps) -> tuple[Taps, TileDigits]:
        return scheme, taps_proof(scheme)
