"""The regions scheme: a weight is one wire from its input's trunk to a port of a group.

Ports stand in groups, and a group belongs to the value that metal gives it by its ties.  Upright are
inputs' trunks (upper metal), ports, ties and supplies (lower metal); across run wires, each on a
track of its row:

       x0      x1      x2                  upper metal
       |       |       |
    ===X===============|=====O=====        track 1: x0 to port 0 of group 4
       |    O==========X     |             track 2: x2 to port 1 of group 3
       |    |  |       |     |
            p3.1             p4.0          lower metal; X upper cut, O lower cut

Every row holds any weights: as many groups as the worst mixture of values needs.  Wires need
tracks, and how many depends on the weights: `tracks_needed` tells, and the number is silicon's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.errors import DoesNotFit, InvalidInput
from hnlpu.silicon.embed._digits import TileDigits
from hnlpu.silicon.embed._kind import ArrayKind
from hnlpu.silicon.embed._layout import Layout, Rectangles, Shapes
from hnlpu.silicon.embed._regions_base import draw_base
from hnlpu.silicon.embed._regions_draw import draw_routes
from hnlpu.silicon.embed._regions_faults import faults_of
from hnlpu.silicon.embed._regions_frame import Frame, rules_of
from hnlpu.silicon.embed._regions_needs import needs_of
from hnlpu.silicon.embed._regions_read import ReadRules, read_shapes
from hnlpu.silicon.embed._regions_route import Routes, route
from hnlpu.silicon.embed._regions_silicon import regions_transistors
from hnlpu.silicon.embed._regions_values import groups_of, tie_count
from hnlpu.silicon.embed._scheme import Fault, Scheme, TileShape
from hnlpu.silicon.technology import PROGRAMMABLE, Technology

TRACK_STEP = 4
"""Tracks of a row are a multiple of it, so that weights trained anew mostly fit the same silicon."""


class Regions(Scheme):
    """The regions scheme in one process for one kind of array; lengths in nm."""

    name = "regions"

    def __init__(self, technology: Technology, kind: ArrayKind):
        """Raises InvalidInput for rules that the scheme does not keep, or a kind without groups."""
        super().__init__(technology, kind)
        t = technology
        for metal in (t.lower, t.stub, t.upper):
            if metal.track:
                raise InvalidInput(
                    f"technology {t.name}: {metal.name} has tracks of its own, which scheme "
                    'regions does not keep; add schemes = ["taps"]'
                )
        for cut in (t.port_cut, t.lower_cut, t.upper_cut):
            if cut.size_nm[0] != cut.size_nm[1]:
                raise InvalidInput(
                    f"technology {t.name}: {cut.name} is no square, which scheme regions needs; "
                    'add schemes = ["taps"]'
                )
        if kind.group < 1:
            raise InvalidInput(f"array kind {kind.name}: a group needs ports; give group")
        self.rules = rules_of(technology)
        self.ties = tie_count(kind.scale_range)
        self.programmable = (t.lower_cut.name, t.stub.name, t.upper_cut.name)

    # -- sizes -------------------------------------------------------------------------------

    def frame(self, shape: TileShape) -> Frame:
        """Where everything upright stands in a tile of this shape."""
        inputs = shape.blocks * BLOCK
        groups = groups_of(inputs, self.kind.group, self.kind.scale_range)
        return Frame(self.rules, inputs, groups, self.kind.group)

    @property
    def wiring_height(self) -> int:
        """Height of a row by its tracks."""
        return self.rules.height(max(self.kind.tracks, self.least_tracks))

    @property
    def least_tracks(self) -> int:
        """Tracks that the ties take where there is no weight at all."""
        return self.rules.tie_step * (self.ties - 1) + 1

    def row_pitch_nm(self, shape: TileShape) -> int:
        """Height of a row: its tracks', or that of the silicon below if it is more."""
        inputs = shape.blocks * BLOCK
        area_nm2 = self.transistors(inputs, 1024) * inputs
        area_nm2 /= self.technology.silicon.density.value * 1e-12
        silicon = math.ceil(area_nm2 / self.frame(shape).width / self.rules.grid)
        return max(self.wiring_height, silicon * self.rules.grid)

    def size_nm(self, shape: TileShape) -> tuple[int, int]:
        """Width and height of a tile."""
        return self.frame(shape).width, shape.rows * self.row_pitch_nm(shape)

    def transistors(self, columns: int, neurons: int, activation_bits: int = 8) -> float:
        """Transistors a digit of a neuron with `columns` inputs in an array of `neurons`."""
        return sum(self.transistor_parts(columns, neurons, activation_bits).values())

    def transistor_parts(
        self, columns: int, neurons: int, activation_bits: int = 8
    ) -> dict[str, float]:
        """The same by part of the neuron."""
        parts = regions_transistors(
            self.technology.silicon, self.kind, columns, neurons, activation_bits
        )
        return {part: count / self.kind.digits for part, count in parts.items()}

    # -- drawing -----------------------------------------------------------------------------

    def base(self, shape: TileShape) -> Layout:
        """Trunks, ports, ties, cuts to the silicon, and pin labels."""
        return self._fixed(shape, labels=True)

    def metal(self, shape: TileShape) -> Layout:
        """Trunks, ports, ties and cuts to the silicon."""
        return self._fixed(shape, labels=False)

    def _fixed(self, shape: TileShape, *, labels: bool) -> Layout:
        return draw_base(
            self.technology, self.frame(shape), shape, self.kind.scale_range,
            max(self.kind.tracks, self.least_tracks), self.row_pitch_nm(shape), labels=labels,
        )  # fmt: skip

    def routes(self, digits: TileDigits) -> Routes:
        """Ports and tracks of a tile's wires, whether they fit the kind's tracks or not."""
        self._require_range(digits)
        frame = self.frame(_shape(digits))
        return route(digits, frame, self.kind.scale_range, self.kind.tracks)

    def draw(self, digits: TileDigits) -> Layout:
        """Lower cuts, wires and upper cuts of `digits`.

        Raises DoesNotFit where a row needs more tracks than the kind has.
        """
        lower, stub, upper = self.draw_routes(self.fitting_routes(digits), _shape(digits))
        t = self.technology
        layers = (t.lower_cut, lower), (t.stub, stub), (t.upper_cut, upper)
        return Layout(
            rectangles={(layer.gds_layer, PROGRAMMABLE): found for layer, found in layers}
        )

    def draw_routes(
        self, routes: Routes, shape: TileShape
    ) -> tuple[Rectangles, Rectangles, Rectangles]:
        """Lower cuts, wires and upper cuts, int32 [n, 4] each, by y and then by x."""
        t, pitch = self.technology, self.row_pitch_nm(shape)
        cuts = t.lower_cut.size_nm[0], t.upper_cut.size_nm[0]
        return draw_routes(routes, self.frame(shape), self.kind.scale_range, pitch, cuts)

    def fitting_routes(self, digits: TileDigits) -> Routes:
        """Ports and tracks of a tile's wires; raises DoesNotFit where a row needs too many tracks."""
        routes = self.routes(digits)
        missing = int(routes.needed.max(initial=0)) - self.kind.tracks
        if missing > 0:
            raise DoesNotFit(
                f"row {int(routes.needed.argmax())} of a tile needs {routes.needed.max()} wiring "
                f"tracks, {missing} more than the {self.kind.tracks} of array kind "
                f"{self.kind.name}; {int((routes.needed > self.kind.tracks).sum())} of "
                f"{digits.rows} rows do not fit: build for an array with more tracks"
            )
        return routes

    def _require_range(self, digits: TileDigits) -> None:
        if digits.shifts.max(initial=0) > self.kind.scale_range:
            raise DoesNotFit(
                f"a block is shifted by {digits.shifts.max()}, array kind {self.kind.name} holds "
                f"at most {self.kind.scale_range}: build for an array with a larger scale range"
            )

    # -- reading -----------------------------------------------------------------------------

    def read(self, shape: TileShape, shapes: Shapes) -> tuple[npt.NDArray[np.int32], list[Fault]]:
        """Integer digits [rows, inputs] that wires and ties spell, and what is wrong with them."""
        t, r = self.technology, self.rules
        layers = (t.lower_cut, t.stub, t.upper_cut)
        known = {(layer.gds_layer, PROGRAMMABLE) for layer in layers}
        lower, stub, upper = (_whole(shapes, layer.gds_layer) for layer in layers)
        frame, pitch = self.frame(shape), self.row_pitch_nm(shape)
        rules = ReadRules(
            pitch, r.margin, r.track_pitch, max(self.kind.tracks, self.least_tracks),
            r.stub_width, r.clear - 2 * r.stub_end,
            t.lower_cut.size_nm[0], r.stub_end - t.lower_cut.size_nm[0] // 2,
            t.upper_cut.size_nm[0], r.stub_end - t.upper_cut.size_nm[0] // 2,
        )  # fmt: skip
        integers, found = read_shapes(
            (lower, stub, upper), shape.rows, frame, self.kind.scale_range, rules
        )
        faults = [
            Fault(None, None, f"layer {layer}/{datatype} has programmable shapes")
            for layer, datatype in shapes
            if datatype == PROGRAMMABLE and (layer, datatype) not in known
        ]
        if found.any:
            faults += faults_of(found, (lower, stub, upper), self.programmable, frame, pitch)
        return integers, faults

    # -- needs -------------------------------------------------------------------------------

    def needs(self, digits: TileDigits) -> dict[str, Any]:
        """Tracks and use of each layer, wire a weight, fan-out and load of trunks, ports and ties.

        Says `fits: False` and how many tracks are missing instead of raising.
        """
        shape = _shape(digits)
        height = shape.rows * self.row_pitch_nm(shape)
        return needs_of(self.technology, self.kind, self.frame(shape), self.routes(digits), height)


def tracks_needed(
    technology: Technology, kind: ArrayKind, digits: TileDigits, at_least: int = 0
) -> int:
    """Wiring tracks that a tile's rows need in arrays of `kind` (whose own `tracks` do not count).

    A multiple of `TRACK_STEP`; `at_least` is what other tiles of the array are known to need.
    """
    scheme = Regions(technology, kind)
    frame = scheme.frame(_shape(digits))
    limit = max(at_least, scheme.least_tracks)
    routes = route(digits, frame, kind.scale_range, limit, growing=True)
    needed = max(limit, int(routes.needed.max(initial=0)))
    return -(-needed // TRACK_STEP) * TRACK_STEP


def _shape(digits: TileDigits) -> TileShape:
    return TileShape(digits.rows, digits.blocks)


def _whole(shapes: Shapes, layer: int) -> Rectangles:
    """The programmable rectangles of a layer in one array."""
    parts = shapes.get((layer, PROGRAMMABLE), [])
    return parts[0] if len(parts) == 1 else np.concatenate([np.zeros((0, 4), np.int32), *parts])
