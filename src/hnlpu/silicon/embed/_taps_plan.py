"""Where the metal of the taps scheme stands: rules of the process -> widths, pitches, places.

All centres lie on the grid, or on the tracks of a metal that has them.  Vias of one row that may
stand side by side keep their distance: the port's to its neighbours in the cell, a cell's last to
the next cell's first, those of a scale cell.  Rows keep theirs for any choice of vias, so a tile
is legal for any weights.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.silicon.embed._kind import ArrayKind
from hnlpu.silicon.embed._silicon import COUNT_BITS
from hnlpu.silicon.technology import Metal, Technology, ViaLayer


@dataclass(frozen=True)
class ScaleStub:
    """Column `j` of the next tree: x of its port, of the ground trunk by it, and of the count bits.

    `candidates` has the bit's pad for every shift at which one enters this column.
    """

    port: int
    ground: int
    candidates: dict[int, int]

    @property
    def pads(self) -> list[int]:
        """All pads from the left, the port's last."""
        return [*self.candidates.values(), self.port]

    def span(self, end: int) -> tuple[int, int]:
        """From where to where the stub reaches, `end` beyond its outermost vias."""
        x = [*self.pads, self.ground]
        return min(x) - end, max(x) + end


class TapsPlan:
    """Geometry of a cell and a scale cell in one process for one kind of array; lengths in nm."""

    def __init__(self, technology: Technology, kind: ArrayKind):
        self._rules, self._range = technology, kind.scale_range
        codes, self.table = kind.values.codes, kind.values.table
        self.lower_codes = tuple(code for code in codes if code < 8)
        self.upper_codes = tuple(code for code in codes if code >= 8)
        self._left = len(self.lower_codes) // 2
        t, low, high, port = (
            technology,
            technology.lower_cut,
            technology.upper_cut,
            technology.port_cut,
        )
        self.grid = round(t.grid.value)
        self.lower_width = self._even(
            t.lower.width.value,
            _across(port, above=True, upright=True),
            _across(low, above=False, upright=True),
        )
        self.stub_width = self._even(
            t.stub.width.value,
            _across(low, above=True, upright=False),
            _across(high, above=False, upright=False),
        )
        self.upper_width = self._even(t.upper.width.value, _across(high, above=True, upright=True))
        self.stub_end = self._up(
            max(_along(low, above=True, upright=False), _along(high, above=False, upright=False))
        )
        self.pad_length = self._even(
            t.lower.length.value,
            2 * _along(port, above=True, upright=True),
            2 * _along(low, above=False, upright=True),
        )
        self.lower_pitch = self._pitch(t.lower, self.lower_width + t.lower.space.value)
        self.upper_pitch = self._pitch(t.upper, self.upper_width + t.upper.space.value)
        self.via_pitch = self._pitch(t.lower, _cut_pitch(low))
        self.pad_pitch = max(
            self.lower_pitch, self.via_pitch, self._pitch(t.lower, _cut_pitch(port))
        )
        self.ground_pitch = max(self.upper_pitch, self._pitch(t.upper, _cut_pitch(high)))
        self.port_gap = -(-self.via_pitch // self.lower_pitch)
        self.cell, self._spread = self._choose_cell()
        self.metal_pitch = self.row_height(
            self.stub_width + t.stub.space.value,
            self.pad_length + t.lower.end_space_nm,
            *(cut.size_nm[1] + cut.space.value for cut in (low, high, port)),
        )

    # -- steps -------------------------------------------------------------------------------

    def _even(self, *lengths: float) -> int:
        """The largest length, up to a multiple of two grid steps, so that centres are on grid."""
        return self._up(max(lengths), 2 * self.grid)

    def _up(self, length: float, step: int = 0) -> int:
        step = step or self.grid
        return math.ceil(length / step - 1e-9) * step

    def _pitch(self, metal: Metal, length: float) -> int:
        """`length`, up to what the metal's grid or tracks allow from wire to wire."""
        return self._up(length, _step(metal) or self.grid)

    def row_height(self, *lengths: float) -> int:
        """The largest length, up to what a row's height may be."""
        return self._pitch(self._rules.stub, self._even(*lengths))

    def _on_track(self, metal: Metal, x: float) -> int:
        """The first place at or after x for a wire's centre."""
        step = _step(metal)
        first = round(metal.width.value) // 2 if step else 0
        return self._up(x - first, step) + first

    # -- cell --------------------------------------------------------------------------------

    def _choose_cell(self) -> tuple[int, bool]:
        """The least width that cells may have, and whether tracks are spread over it or packed."""
        t = self._rules
        step = math.lcm(2 * self.grid, _step(t.lower) or 1, _step(t.upper) or 1)
        tracks = self._lower_count * self.lower_pitch, len(self.upper_codes) * self.upper_pitch
        width = self._up(max(tracks), step)
        while True:
            for spread in (True, False):
                if self._fits(width, spread):
                    return width, spread
            width += step

    def _fits(self, width: int, spread: bool) -> bool:
        """Whether a cell's stub and vias keep their distance to the next cell's."""
        lower, upper = self._lower_places(width, spread)[1:], self._upper_places(width, spread)
        stub = max(lower[-1], upper[-1]) - min(lower[0], upper[0]) + 2 * self.stub_end
        return (
            width - stub >= self._rules.stub.end_space_nm
            and width - (lower[-1] - lower[0]) >= self.via_pitch
            and width - (upper[-1] - upper[0]) >= self.ground_pitch
        )

    @property
    def _lower_count(self) -> int:
        """Lower tracks of a cell: PWR, codes, port, and what stays free beside the port."""
        return len(self.lower_codes) + 2 + 2 * (self.port_gap - 1)

    def _lower_places(self, width: int, spread: bool) -> list[int]:
        return self._places(width, self._lower_count, self.lower_pitch, self._rules.lower, spread)

    def _upper_places(self, width: int, spread: bool) -> list[int]:
        return self._places(
            width, len(self.upper_codes), self.upper_pitch, self._rules.upper, spread
        )

    def _places(self, width: int, count: int, pitch: int, metal: Metal, spread: bool) -> list[int]:
        """Centres of `count` equal tracks in the middle of `width`."""
        if step := _step(metal):
            free = width - (count - 1) * pitch - step
            start = free // 2 // step * step + round(metal.width.value) // 2
        else:
            if spread:
                pitch = width // count // self.grid * self.grid
            start = ((width - count * pitch) // 2 + pitch // 2) // self.grid * self.grid
        return [start + k * pitch for k in range(count)]

    @functools.cached_property
    def _lower_tracks(self) -> list[int]:
        return self._lower_places(self.cell, self._spread)

    @property
    def power_x(self) -> int:
        """Centre of the PWR trunk in a cell."""
        return self._lower_tracks[0]

    @property
    def port_x(self) -> int:
        """Centre of the pad that ties the stub to the port."""
        return self._lower_tracks[self._left + self.port_gap]

    @functools.cached_property
    def site_x(self) -> dict[int, int]:
        """Centre of the via of each code in a cell; codes 0 to 7 lie on lower trunks, others on upper."""
        tracks, left = self._lower_tracks, self._left
        right = len(self.lower_codes) - left
        lower = dict(zip(self.lower_codes, [*tracks[1 : 1 + left], *tracks[-right:]], strict=True))
        return lower | dict(
            zip(self.upper_codes, self._upper_places(self.cell, self._spread), strict=True)
        )

    @functools.cached_property
    def stub_span(self) -> tuple[int, int]:
        """From where to where a cell's stub reaches."""
        x = [*self.site_x.values(), self.port_x]
        return min(x) - self.stub_end, max(x) + self.stub_end

    # -- scale cell --------------------------------------------------------------------------

    @functools.cached_property
    def scale_end(self) -> int:
        """From the outermost via of a scale cell's stub to its end: the shortest one is legal."""
        least = self._rules.stub.length.value
        return max(self.stub_end, self._up((least - self.pad_pitch) / 2))

    @functools.cached_property
    def scale_stubs(self) -> tuple[ScaleStub, ...]:
        """The stubs of a scale cell, one a column of the next tree; x from the scale cell's edge."""
        if not self._range:
            return ()
        t, stubs = self._rules, []
        stub_end = self.stub_span[1] - self.cell
        pad, ground = (
            self._lower_tracks[-1] - self.cell,
            self.site_x[self.upper_codes[-1]] - self.cell,
        )
        for j in range(COUNT_BITS + self._range):
            shifts = [s for s in range(self._range, -1, -1) if 0 <= j - s < COUNT_BITS]
            x = float(max(stub_end + t.stub.end_space_nm + self.scale_end, pad + self.pad_pitch))
            while True:
                stub = self._scale_stub(self._on_track(t.lower, x), shifts)
                if (
                    stub.span(self.scale_end)[0] - stub_end >= t.stub.end_space_nm
                    and stub.ground - ground >= self.ground_pitch
                    and min(stub.ground, *stub.pads)
                    >= 0  # vias are read by the cell that they lie in
                ):
                    break
                x += self.grid
            stubs.append(stub)
            stub_end, pad, ground = stub.span(self.scale_end)[1], stub.port, stub.ground
        return tuple(stubs)

    def _scale_stub(self, x: int, shifts: list[int]) -> ScaleStub:
        """The stub whose first pad stands at x; its ground trunk as near to the port as it may."""
        port = x + len(shifts) * self.pad_pitch
        upper = self._rules.upper
        ground = self._on_track(upper, port - _step(upper) // 2)
        return ScaleStub(port, ground, {s: x + n * self.pad_pitch for n, s in enumerate(shifts)})

    @functools.cached_property
    def scale_cells(self) -> int:
        """Width of a scale cell in cells, so that all vias of weights lie on one grid."""
        if not self.scale_stubs:
            return 0
        last = self.scale_stubs[-1]
        edge = max(
            last.span(self.scale_end)[1] + self._rules.stub.end_space_nm - self.stub_span[0],
            last.port + self.pad_pitch - self.power_x,
            last.ground + self.ground_pitch - self.site_x[self.upper_codes[0]],
        )
        return math.ceil(edge / self.cell)

    @property
    def block_cells(self) -> int:
        """Width of a block in cells: 32 weights and their scale cell."""
        return BLOCK + self.scale_cells

    def pattern(self, shift: int) -> tuple[list[int], list[int]]:
        """Places in a scale cell of the lower and of the upper vias that write `shift`."""
        lower, upper = [], []
        for stub in self.scale_stubs:
            if shift in stub.candidates:
                lower.append(stub.candidates[shift])
            else:
                upper.append(stub.ground)
        return lower, upper


def _step(metal: Metal) -> int:
    """Pitch of the metal's tracks, 0 where it has none."""
    return round(metal.track.value) if metal.track else 0


def _cut_pitch(cut: ViaLayer) -> float:
    """From one via to the next across."""
    return cut.size_nm[0] + cut.space.value


def _across(cut: ViaLayer, *, above: bool, upright: bool) -> float:
    """Width that a wire, upright or not, needs at a via."""
    size = cut.size_nm[0 if upright else 1]
    return size + 2 * (cut.enclosure_above if above else cut.enclosure_below).value


def _along(cut: ViaLayer, *, above: bool, upright: bool) -> float:
    """Distance from a via's centre to the end of its wire, upright or not."""
    sides = cut.enclosure_above if above else cut.enclosure_below
    ends = cut.end_enclosure_above if above else cut.end_enclosure_below
    return cut.size_nm[1 if upright else 0] / 2 + max(sides.value, ends.value)
