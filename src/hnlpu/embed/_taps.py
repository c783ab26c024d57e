"""The taps scheme: every input offers its products once, and a weight is one via.

One cell, a weight: `cell` wide and `pitch` high.  Upright are trunks, of the lower metal (PWR, 0,
+1, +2, +3, +4, +6, +8, +12 half units) and of the upper one (the negatives); across lies the
neuron's stub, which a fixed via P ties to the port in the silicon.

    PWR  0   +1  +2  +3  P  +4  +6  +8 +12        lower metal
       -1   -2    -3   -4    -6   -8   -12        upper metal
        ====O=============P==============         stub: O the weight's via (here +1)

Behind every 32 cells stands a scale cell.  The silicon counts the 32 ports of a row in six bits,
c0 to c5; q0, q1, ... are the columns of the next adder tree where they may enter.  Column j has a
stub over pads of the count bits that it may take, and one via chooses: the lower one at c(j-s)
for a shift of s, or the upper one at a ground trunk over the port.

        c(j-2) c(j-1) c(j)  q
        ==O====P======P=====P                     shift 2: column j takes c(j-2)
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.embed._digits import BLOCK, TileDigits
from hnlpu.embed._kind import ArrayKind
from hnlpu.embed._layout import Grid, Label, Layout, Rectangles, Shapes
from hnlpu.embed._scheme import Fault, Scheme, TileShape
from hnlpu.embed._silicon import COUNT_BITS, taps_transistors
from hnlpu.embed._vias import GROUNDED, NOTHING, UNSET, fan_out, place_vias, spell
from hnlpu.quantize import TWICE_E2M1, unpack
from hnlpu.technology import FIXED, PIN, PROGRAMMABLE, Cut, Metal, Technology

LOWER_CODES = (0, 1, 2, 3, 4, 5, 6, 7)
UPPER_CODES = (9, 10, 11, 12, 13, 14, 15)
Bytes = npt.NDArray[np.int16]


@dataclass(frozen=True)
class ScaleStub:
    """Column `j` of the next tree: x of its port and of the count bits that it may take, by shift."""

    port: int
    candidates: dict[int, int]


class Taps(Scheme):
    """Geometry of the taps scheme in one process for one kind of array; lengths in nm."""

    name = "taps"

    def __init__(self, technology: Technology, kind: ArrayKind):
        super().__init__(technology, kind)
        t = technology
        self.grid = round(t.grid.value)
        self.programmable = (t.lower_cut.name, t.upper_cut.name)
        low, high = t.lower_cut, t.upper_cut
        self.lower_width = self._even(
            t.lower.width.value, _across(t.port_cut, above=True), _across(low, above=False)
        )
        self.stub_width = self._even(
            t.stub.width.value, _across(low, above=True), _across(high, above=False)
        )
        self.upper_width = self._even(t.upper.width.value, _across(high, above=True))
        self.stub_end = max(
            _along(low, above=True), _along(high, above=False), t.stub.length.value / 2
        )
        self.pad_length = self._even(
            t.lower.length.value,
            2 * _along(t.port_cut, above=True),
            2 * _along(low, above=False),
        )
        lower_pitch = self.lower_width + t.lower.space.value
        self.lower_pitch = self._up(max(lower_pitch, low.size.value + low.space.value))
        upper_pitch = self.upper_width + t.upper.space.value
        self.upper_pitch = self._up(max(upper_pitch, high.size.value + high.space.value))
        self.cell = self._cell_width()
        self.metal_pitch = self._even(
            self.stub_width + t.stub.space.value,
            self.pad_length + t.lower.space.value,
            *(c.size.value + c.space.value for c in (low, high, t.port_cut)),
        )

    # -- tracks ------------------------------------------------------------------------------

    def _even(self, *lengths: float) -> int:
        """The largest length, up to a multiple of two grid steps, so that centres are on grid."""
        step = 2 * self.grid
        return math.ceil(max(lengths) / step - 1e-9) * step

    def _up(self, length: float) -> int:
        return math.ceil(length / self.grid - 1e-9) * self.grid

    def _cell_width(self) -> int:
        lower, upper = len(LOWER_CODES) + 2, len(UPPER_CODES)
        width = max(lower * self.lower_pitch, upper * self.upper_pitch)
        step = 2 * self.grid
        width = math.ceil(width / step) * step
        while True:  # a stub's end must keep its distance to the next cell's stub
            first, last = self._tracks(width, lower)[1], self._tracks(width, lower)[-1]
            ends = self._tracks(width, upper)
            span = max(last, ends[-1]) - min(first, ends[0]) + 2 * self.stub_end
            if width - span >= self.technology.stub.space.value:
                return width
            width += step

    def _tracks(self, width: int, count: int) -> list[int]:
        """Centres of `count` equal tracks over `width`, on grid."""
        pitch = width // count // self.grid * self.grid
        start = (width - count * pitch) // 2 + pitch // 2
        start = start // self.grid * self.grid
        return [start + k * pitch for k in range(count)]

    @functools.cached_property
    def _lower_tracks(self) -> list[int]:
        return self._tracks(self.cell, len(LOWER_CODES) + 2)

    @property
    def power_x(self) -> int:
        """Centre of the PWR trunk in a cell."""
        return self._lower_tracks[0]

    @property
    def port_x(self) -> int:
        """Centre of the pad that ties the stub to the port."""
        return self._lower_tracks[5]

    @functools.cached_property
    def site_x(self) -> dict[int, int]:
        """Centre of the via of each code in a cell; codes 0 to 7 lie on lower trunks."""
        tracks = self._lower_tracks
        lower = dict(zip(LOWER_CODES, [*tracks[1:5], *tracks[6:]], strict=True))
        upper = self._tracks(self.cell, len(UPPER_CODES))
        return lower | dict(zip(UPPER_CODES, upper, strict=True))

    @functools.cached_property
    def stub_span(self) -> tuple[int, int]:
        """From where to where a cell's stub reaches."""
        x = [*self.site_x.values(), self.port_x]
        return min(x) - self._up(self.stub_end), max(x) + self._up(self.stub_end)

    # -- scale cell --------------------------------------------------------------------------

    @functools.cached_property
    def scale_stubs(self) -> tuple[ScaleStub, ...]:
        """The stubs of a scale cell, one a column of the next tree; x from the scale cell's edge."""
        if not self.kind.scale_range:
            return ()
        t, stubs = self.technology, []
        end = self._up(self.stub_end)
        apart = self._up(max(self.lower_pitch, 2 * end + t.stub.space.value))
        x = self._up(t.stub.space.value / 2) + end
        last_port = -(10**9)
        for j in range(COUNT_BITS + self.kind.scale_range):
            shifts = [s for s in range(self.kind.scale_range, -1, -1) if 0 <= j - s < COUNT_BITS]
            # ground trunks stand over the ports and keep the upper metal's pitch
            x = max(x, last_port + self.upper_pitch - len(shifts) * self.lower_pitch)
            candidates = {s: x + n * self.lower_pitch for n, s in enumerate(shifts)}
            last_port = x + len(shifts) * self.lower_pitch
            stubs.append(ScaleStub(last_port, candidates))
            x = last_port + apart
        return tuple(stubs)

    @functools.cached_property
    def scale_cells(self) -> int:
        """Width of a scale cell in cells, so that all vias of weights lie on one grid."""
        if not self.scale_stubs:
            return 0
        edge = self.scale_stubs[-1].port + self._up(self.stub_end)
        return math.ceil((edge + self.technology.stub.space.value / 2) / self.cell)

    @property
    def block_cells(self) -> int:
        """Width of a block in cells: 32 weights and their scale cell."""
        return BLOCK + self.scale_cells

    def pattern(self, shift: int) -> tuple[list[int], list[int]]:
        """x in a scale cell of the lower and of the upper vias that write `shift`."""
        lower, upper = [], []
        for stub in self.scale_stubs:
            if shift in stub.candidates:
                lower.append(stub.candidates[shift])
            else:
                upper.append(stub.port)
        return lower, upper

    # -- sizes -------------------------------------------------------------------------------

    def row_pitch_nm(
        self, columns: int = 1024, neurons: int = 1024, activation_bits: int = 8
    ) -> int:
        """Height of a row: what the metal rules ask for, or the silicon below if that is more."""
        silicon = self.transistors(columns, neurons, activation_bits)
        area_nm2 = silicon / self.technology.silicon.density.value * 1e12
        width = self.block_cells * self.cell / BLOCK
        return max(self.metal_pitch, self._even(area_nm2 / width))

    @functools.cached_property
    def pitch(self) -> int:
        """Height of a row of metal as drawn."""
        return self.row_pitch_nm()

    def size_nm(self, shape: TileShape) -> tuple[int, int]:
        """Width and height of a tile."""
        return shape.blocks * self.block_cells * self.cell, shape.rows * self.pitch

    def transistors(self, columns: int, neurons: int, activation_bits: int = 8) -> float:
        """Transistors a digit of a neuron with `columns` inputs in an array of `neurons`."""
        weight = taps_transistors(
            self.technology.silicon, self.kind, columns, neurons, activation_bits
        )
        return weight / self.kind.digits

    # -- drawing -----------------------------------------------------------------------------

    def base(self, shape: TileShape) -> Layout:
        """Trunks, stubs, pads, fixed vias and pin labels."""
        layout = Layout()
        self._draw_cells(layout, shape)
        if self.scale_stubs:
            self._draw_scale_cells(layout, shape)
        return layout

    def _draw_cells(self, layout: Layout, shape: TileShape) -> None:
        t = self.technology
        height, half = shape.rows * self.pitch, self.pitch // 2
        first, last = self.stub_span
        for block in range(shape.blocks):
            x0 = block * self.block_cells * self.cell

            def row_of(layer: Metal | Cut, x: int, width: int, y: int, high: int, rows: int = 1,
                       x0: int = x0) -> None:  # fmt: skip
                layout.grids.append(
                    _grid(layer, x0 + x - width // 2, y, width, high, BLOCK, self.cell, rows,
                          self.pitch)
                )  # fmt: skip

            row_of(t.lower, self.power_x, self.lower_width, 0, height)
            for code, x in self.site_x.items():
                metal, width = (
                    (t.lower, self.lower_width) if code < 8 else (t.upper, self.upper_width)
                )
                row_of(metal, x, width, 0, height)
            row_of(t.stub, (first + last) // 2, last - first, half - self.stub_width // 2,
                   self.stub_width, shape.rows)  # fmt: skip
            row_of(t.lower, self.port_x, self.lower_width, half - self.pad_length // 2,
                   self.pad_length, shape.rows)  # fmt: skip
            for cut in (t.port_cut, t.lower_cut):
                size = round(cut.size.value)
                row_of(cut, self.port_x, size, half - size // 2, size, shape.rows)
            for i in range(BLOCK):
                self._label_trunks(layout, block * BLOCK + i, x0 + i * self.cell)
                for row in range(shape.rows):
                    layout.labels.append(
                        Label((t.lower.gds_layer, PIN), f"p{row}.{block * BLOCK + i}",
                              x0 + i * self.cell + self.port_x, row * self.pitch + half)
                    )  # fmt: skip

    def _label_trunks(self, layout: Layout, column: int, x0: int) -> None:
        lower, upper = self.technology.lower.gds_layer, self.technology.upper.gds_layer
        layout.labels.append(Label((lower, PIN), "PWR", x0 + self.power_x, 0))
        for code, x in self.site_x.items():
            twice = int(TWICE_E2M1[code])
            text = "GND" if twice == 0 else f"x{column}.{twice:+d}"
            layout.labels.append(Label((lower if code < 8 else upper, PIN), text, x0 + x, 0))

    def _draw_scale_cells(self, layout: Layout, shape: TileShape) -> None:
        t = self.technology
        height, half = shape.rows * self.pitch, self.pitch // 2
        across = self.block_cells * self.cell
        start = BLOCK * self.cell
        end = self._up(self.stub_end)

        def repeated(
            layer: Metal | Cut, x: int, width: int, y: int, high: int, rows: int = 1
        ) -> None:
            layout.grids.append(
                _grid(layer, start + x - width // 2, y, width, high, shape.blocks, across, rows,
                      self.pitch)
            )  # fmt: skip

        for j, stub in enumerate(self.scale_stubs):
            pads = [*stub.candidates.values(), stub.port]
            repeated(t.stub, (pads[0] + pads[-1]) // 2, pads[-1] - pads[0] + 2 * end,
                     half - self.stub_width // 2, self.stub_width, shape.rows)  # fmt: skip
            repeated(t.upper, stub.port, self.upper_width, 0, height)
            for x in pads:
                repeated(t.lower, x, self.lower_width, half - self.pad_length // 2,
                         self.pad_length, shape.rows)  # fmt: skip
                size = round(t.port_cut.size.value)
                repeated(t.port_cut, x, size, half - size // 2, size, shape.rows)
            size = round(t.lower_cut.size.value)
            repeated(t.lower_cut, stub.port, size, half - size // 2, size, shape.rows)
            for block in range(shape.blocks):
                self._label_scale_stub(layout, shape, block, j, block * across + start)

    def _label_scale_stub(
        self, layout: Layout, shape: TileShape, block: int, j: int, x0: int
    ) -> None:
        t, stub = self.technology, self.scale_stubs[j]
        pin = (t.lower.gds_layer, PIN)
        layout.labels.append(Label((t.upper.gds_layer, PIN), "GND", x0 + stub.port, 0))
        for row in range(shape.rows):
            y = row * self.pitch + self.pitch // 2
            layout.labels.append(Label(pin, f"q{row}.{block}.{j}", x0 + stub.port, y))
            for shift, x in stub.candidates.items():
                layout.labels.append(Label(pin, f"c{row}.{block}.{j - shift}", x0 + x, y))

    def draw(self, digits: TileDigits) -> Layout:
        """The vias of `digits` as explicit rectangles (the file writer has a faster way)."""
        codes = unpack(digits.codes)
        column = np.arange(codes.shape[1])
        x0 = (column // BLOCK * self.block_cells + column % BLOCK) * self.cell
        y = np.arange(digits.rows) * self.pitch + self.pitch // 2
        site = np.zeros(16, np.int64)
        for code, x in self.site_x.items():
            site[code] = x
        centre_x, centre_y = x0[None, :] + site[codes], np.broadcast_to(y[:, None], codes.shape)
        upper = codes >= 8
        lower_parts = [_squares(self.technology.lower_cut, centre_x[~upper], centre_y[~upper])]
        upper_parts = [_squares(self.technology.upper_cut, centre_x[upper], centre_y[upper])]
        if self.scale_stubs:
            starts = (np.arange(digits.blocks) * self.block_cells + BLOCK) * self.cell
            for shift in range(self.kind.scale_range + 1):
                row, block = np.nonzero(digits.shifts == shift)
                for cut, parts, offsets in zip(
                    (self.technology.lower_cut, self.technology.upper_cut),
                    (lower_parts, upper_parts),
                    self.pattern(shift),
                    strict=True,
                ):
                    for offset in offsets:
                        parts.append(_squares(cut, starts[block] + offset, y[row]))
        return Layout(
            rectangles={
                (self.technology.lower_cut.gds_layer, PROGRAMMABLE): np.concatenate(lower_parts),
                (self.technology.upper_cut.gds_layer, PROGRAMMABLE): np.concatenate(upper_parts),
            }
        )

    # -- reading -----------------------------------------------------------------------------

    @functools.cached_property
    def _site_tables(self) -> tuple[Bytes, Bytes]:
        """What a via centred at x in a cell (row 0 lower, 1 upper) or in a scale cell means.

        In cells: the code, or NOTHING.  In scale cells, int16: column * 32 + shift, or
        column * 32 + GROUNDED for the via that grounds a column, or -1.
        """
        cells = np.full((2, self.cell), NOTHING, np.int16)
        for code, x in self.site_x.items():
            cells[int(code >= 8), x] = code
        scale = np.full((2, max(1, self.scale_cells * self.cell)), NOTHING, np.int16)
        for j, stub in enumerate(self.scale_stubs):
            for shift, x in stub.candidates.items():
                scale[0, x] = 32 * j + shift
            scale[1, stub.port] = 32 * j + GROUNDED
        return cells, scale

    @functools.cached_property
    def _patterns(self) -> Bytes:
        """int16 [shifts, columns]: what every column of a scale cell must hold for a shift."""
        return np.array(
            [
                [shift if shift in stub.candidates else GROUNDED for stub in self.scale_stubs]
                for shift in range(self.kind.scale_range + 1)
            ],
            np.int16,
        ).reshape(self.kind.scale_range + 1, -1)

    def read(self, shape: TileShape, shapes: Shapes) -> tuple[npt.NDArray[np.int32], list[Fault]]:
        """Integer digits [rows, inputs] that the vias spell, and what is wrong with them."""
        cells, scale = self._site_tables
        codes = np.full((shape.rows, shape.blocks * BLOCK), UNSET, np.uint8)
        columns = len(self.scale_stubs)
        entries = np.full((shape.rows, shape.blocks, columns), NOTHING, np.int16)
        faults: list[Fault] = []
        for level, cut in enumerate((self.technology.lower_cut, self.technology.upper_cut)):
            for vias in shapes.get((cut.gds_layer, PROGRAMMABLE), []):
                wrong = np.zeros(len(vias), np.uint8)
                found = place_vias(
                    vias, round(cut.size.value), cells[level], scale[level], self._cell_columns,
                    self.cell, self.block_cells, self.pitch, codes, entries, wrong,
                )  # fmt: skip
                if found:
                    places = np.nonzero(wrong)[0]
                    faults += [self._via_fault(cut, vias[n], int(wrong[n])) for n in places]
        integers = np.empty(codes.shape, np.int32)
        if spell(codes, entries, self._patterns, TWICE_E2M1.astype(np.int32), integers):
            faults += self._unset(codes, entries)
        return integers, faults

    @functools.cached_property
    def _cell_columns(self) -> npt.NDArray[np.int32]:
        """For every cell of a block: 0 to 31, or -1 in a scale cell."""
        cells = np.full(self.block_cells, -1, np.int32)
        cells[:BLOCK] = np.arange(BLOCK)
        return cells

    def _via_fault(self, cut: Cut, via: npt.NDArray[np.int32], kind: int) -> Fault:
        x, y = (int(via[0]) + int(via[2])) // 2, (int(via[1]) + int(via[3])) // 2
        cell, row = x // self.cell, y // self.pitch
        block, within = divmod(cell, self.block_cells)
        column = block * BLOCK + within if within < BLOCK else None
        at = f"{cut.name} at ({x}, {y}) nm"
        return Fault(
            row, column, f"{at} {'is a second via of its stub' if kind == 2 else 'is on no site'}"
        )

    def _unset(self, codes: npt.NDArray[np.uint8], entries: Bytes) -> list[Fault]:
        faults = [
            Fault(int(row), int(column), "has no via: its port floats")
            for row, column in np.argwhere(codes == UNSET)
        ]
        fitting = (entries[:, :, None, :] == self._patterns).all(-1).any(-1)
        faults += [
            Fault(int(row), int(block) * BLOCK, f"the scale of block {block} spells no shift")
            for row, block in np.argwhere(~fitting)
        ]
        return faults

    # -- needs -------------------------------------------------------------------------------

    def needs(self, digits: TileDigits) -> dict[str, Any]:
        """Tracks and use of each layer, wire a weight, fan-out and load of trunks, ports."""
        t = self.technology
        height_um = digits.rows * self.pitch * 1e-3
        counts = fan_out(digits.codes)
        load = t.electrical.port_capacitance.value
        per_um = np.array([(t.lower if c < 8 else t.upper).capacitance.value for c in range(16)])
        stub_um = (self.stub_span[1] - self.stub_span[0]) * 1e-3
        drive = counts * (load + stub_um * t.stub.capacitance.value) + height_um * per_um
        signals = [code for code in self.site_x if code != 0]
        largest = t.electrical.largest_load.value
        repeaters = np.ceil(drive[:, signals] / largest) - 1
        return {
            "tracks": self.track_use(),
            "wire_um_per_weight": {"mean": stub_um, "worst": stub_um},
            "fan_out": _spread(counts[:, signals]),
            "fan_out_ground": _spread(counts[:, 0]),
            "load_ff": _spread(drive[:, signals]),
            "trunks": int(counts[:, signals].size),
            "trunks_over_load": int((drive[:, signals] > largest).sum()),
            "repeaters": int(repeaters.sum()),
            "ports": digits.weights,
            "ports_per_weight": 1.0,
            "ports_grounded": int(counts[:, 0].sum()),
        }

    def track_use(self) -> dict[str, dict[str, float]]:
        """Wire tracks in a block and the share of them in use, by layer.

        A track is a strip of the layer's own pitch; upright ones over the block's width, those
        across over the row's height.
        """
        t, width = self.technology, self.block_cells * self.cell
        pads = sum(len(stub.candidates) + 1 for stub in self.scale_stubs)
        lower_used = BLOCK * (len(LOWER_CODES) + 1)
        across = BLOCK * (self.stub_span[1] - self.stub_span[0])
        for stub in self.scale_stubs:
            across += stub.port - min(stub.candidates.values()) + 2 * self._up(self.stub_end)
        port_share = self.pad_length / self.pitch
        layers = {
            t.lower.name: (width / self.lower_pitch, lower_used + (BLOCK + pads) * port_share),
            t.stub.name: (
                self.pitch / (self.stub_width + t.stub.space.value),
                across / width,
            ),
            t.upper.name: (
                width / self.upper_pitch,
                BLOCK * len(UPPER_CODES) + len(self.scale_stubs),
            ),
        }
        return {
            name: {"tracks": tracks, "used": used, "use": used / tracks}
            for name, (tracks, used) in layers.items()
        }


def _spread(values: npt.NDArray[Any]) -> dict[str, float]:
    return {"mean": float(values.mean()), "worst": float(values.max())}


def _across(cut: Cut, *, above: bool) -> float:
    """Width that a wire needs at a via."""
    return cut.size.value + 2 * (cut.enclosure_above if above else cut.enclosure_below).value


def _along(cut: Cut, *, above: bool) -> float:
    """Distance from a via's centre to the end of its wire."""
    end = cut.end_enclosure_above if above else cut.end_enclosure_below
    return cut.size.value / 2 + end.value


def _grid(
    layer: Metal | Cut, x: int, y: int, width: int, height: int,
    columns: int, dx: int, rows: int, dy: int,
) -> Grid:  # fmt: skip
    return Grid((layer.gds_layer, FIXED), x, y, x + width, y + height, columns, dx, rows, dy)


def _squares(cut: Cut, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> Rectangles:
    size = round(cut.size.value)
    low_x, low_y = x - size // 2, y - size // 2
    return np.stack([low_x, low_y, low_x + size, low_y + size], -1).astype(np.int32)
