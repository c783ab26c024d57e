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
for a shift of s, or the upper one at a ground trunk over the port (or beside it, where the metals
lie on tracks of their own).

        c(j-2) c(j-1) c(j)  q
        ==O====P======P=====P                     shift 2: column j takes c(j-2)
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.codebooks import E2M1, open_codebook
from hnlpu.arithmetic.mx import BLOCK, unpack
from hnlpu.errors import InvalidInput
from hnlpu.silicon.embed._digits import TileDigits
from hnlpu.silicon.embed._kind import ArrayKind
from hnlpu.silicon.embed._layout import Layout, Rectangles, RowsByLayer, Shapes
from hnlpu.silicon.embed._scheme import Fault, Scheme, TileShape
from hnlpu.silicon.embed._silicon import taps_transistors
from hnlpu.silicon.embed._taps_base import draw_base
from hnlpu.silicon.embed._taps_plan import TapsPlan
from hnlpu.silicon.embed._vias import (
    GROUNDED,
    NOTHING,
    UNSET,
    fan_out,
    place_rows,
    place_vias,
    read_shifts,
    spell,
)
from hnlpu.silicon.technology import PROGRAMMABLE, Technology, ViaLayer

Bytes = npt.NDArray[np.int16]


class Taps(TapsPlan, Scheme):
    """The taps scheme in one process for one kind of array; lengths in nm."""

    name = "taps"

    def __init__(self, technology: Technology, kind: ArrayKind):
        Scheme.__init__(self, technology, kind)
        TapsPlan.__init__(self, technology, kind)
        self.programmable = (technology.lower_cut.name, technology.upper_cut.name)

    # -- sizes -------------------------------------------------------------------------------

    def row_pitch_nm(
        self, columns: int = 1024, neurons: int = 1024, activation_bits: int = 8
    ) -> int:
        """Height of a row: what the metal rules ask for, or the silicon below if that is more."""
        silicon = self.transistors(columns, neurons, activation_bits)
        silicon *= self.kind.inputs_per_port  # below a port
        area_nm2 = silicon / self.technology.silicon.density.value * 1e12
        width = self.block_cells * self.cell / BLOCK
        return self.row_height(self.metal_pitch, area_nm2 / width)

    @functools.cached_property
    def pitch(self) -> int:
        """Height of a row of metal as drawn."""
        return self.row_pitch_nm()

    def size_nm(self, shape: TileShape) -> tuple[int, int]:
        """Width and height of a tile."""
        return shape.blocks * self.block_cells * self.cell, shape.rows * self.pitch

    def origin_y_nm(self, y: float) -> int:
        """The first height at or above `y` at which a tile may begin: its stubs lie on tracks."""
        track = self.technology.stub.track
        step = round(track.value) if track else self.grid
        first_stub = self.pitch // 2 - self.stub_width // 2
        return math.ceil((y + first_stub) / step - 1e-9) * step - first_stub

    def transistors(self, columns: int, neurons: int, activation_bits: int = 8) -> float:
        """Transistors a digit of a neuron with `columns` inputs in an array of `neurons`."""
        weight = taps_transistors(
            self.technology.silicon, self.kind, columns, neurons, activation_bits
        )
        return weight / self.kind.digits

    # -- drawing -----------------------------------------------------------------------------

    def base(self, shape: TileShape) -> Layout:
        """Trunks, stubs, pads, fixed vias and pin labels."""
        return draw_base(self.technology, self, shape, self.pitch)

    def metal(self, shape: TileShape) -> Layout:
        """Trunks, stubs, pads and fixed vias."""
        return draw_base(self.technology, self, shape, self.pitch, labels=False)

    def draw(self, digits: TileDigits) -> Layout:
        """The vias of `digits` as explicit rectangles (the file writer has a faster way)."""
        self.check_values(digits)
        codes = unpack(digits.codes)
        column = np.arange(codes.shape[1])
        x0 = (column // BLOCK * self.block_cells + column % BLOCK) * self.cell
        y = np.arange(digits.rows) * self.pitch + self.pitch // 2
        site = np.zeros(16, np.int64)
        for code, x in self.site_x.items():
            site[code] = x
        centre_x, centre_y = x0[None, :] + site[codes], np.broadcast_to(y[:, None], codes.shape)
        upper = codes >= 8
        lower_parts = [_vias_at(self.technology.lower_cut, centre_x[~upper], centre_y[~upper])]
        upper_parts = [_vias_at(self.technology.upper_cut, centre_x[upper], centre_y[upper])]
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
                        parts.append(_vias_at(cut, starts[block] + offset, y[row]))
        return Layout(
            rectangles={
                (self.technology.lower_cut.gds_layer, PROGRAMMABLE): np.concatenate(lower_parts),
                (self.technology.upper_cut.gds_layer, PROGRAMMABLE): np.concatenate(upper_parts),
            }
        )

    def check_values(self, digits: TileDigits) -> None:
        """Raise InvalidInput for a digit whose value has no trunk in this kind of array."""
        if self.kind.codebook == digits.codebook == E2M1:
            return
        held = open_codebook(digits.codebook)
        counts = np.bincount(digits.codes.reshape(-1), minlength=256).reshape(16, 16)
        used = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
        values = [held.table[code] for code in used.tolist()]
        lacking = [value for value in values if value not in self.kind.values.values]
        alike = held.of_e2m1 and held.inputs == self.kind.inputs_per_port
        if lacking or not (alike or held == self.kind.values):
            raise InvalidInput(
                f"a digit is {(lacking or values)[0]:+d} half units of {held.name}, for which arrays of "
                f"kind {self.kind.name} have no trunk; build it again with a format that has this value"
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
            scale[1, stub.ground] = 32 * j + GROUNDED
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
        codes, entries = self._unread(shape)
        faults: list[Fault] = []
        for level, cut in enumerate((self.technology.lower_cut, self.technology.upper_cut)):
            for vias in shapes.get((cut.gds_layer, PROGRAMMABLE), []):
                wrong = np.zeros(len(vias), np.uint8)
                if self._place_vias(level, cut, vias, codes, entries, wrong):
                    places = np.nonzero(wrong)[0]
                    faults += [self._via_fault(cut, vias[n], int(wrong[n])) for n in places]
        integers, missing = self._spell(codes, entries)
        return integers, faults + self._unset(codes, entries) if missing else faults

    def read_rows(
        self, shape: TileShape, shapes: Shapes, rows: RowsByLayer
    ) -> tuple[npt.NDArray[np.int32], list[Fault]]:
        """The same where most vias stand in rows, which are not taken apart unless one is wrong."""
        cells, scale = self._site_tables
        codes, entries = self._unread(shape)
        entered = 0
        for level, cut in enumerate((self.technology.lower_cut, self.technology.upper_cut)):
            key = cut.gds_layer, PROGRAMMABLE
            for table in rows.get(key, []):
                count = place_rows(
                    table.heads, table.columns, *cut.size_nm, cells[level], scale[level],
                    self.cell, self.block_cells, self.pitch, codes, entries,
                )  # fmt: skip
                if count < 0:
                    return super().read_rows(shape, shapes, rows)
                entered += count
            for vias in shapes.get(key, []):
                wrong = np.zeros(len(vias), np.uint8)
                if self._place_vias(level, cut, vias, codes, entries, wrong):
                    return super().read_rows(shape, shapes, rows)
                entered += len(vias)
        integers, missing = self._spell(codes, entries)
        # as many vias as stubs, and none without: then none has two
        if missing or entered != codes.size + entries.size:
            return super().read_rows(shape, shapes, rows)
        return integers, []

    def _unread(self, shape: TileShape) -> tuple[npt.NDArray[np.uint8], Bytes]:
        """Codes [rows, inputs] and entries of scale cells [blocks, columns, rows], none known."""
        codes = np.full((shape.rows, shape.blocks * BLOCK), UNSET, np.uint8)
        columns = len(self.scale_stubs)
        return codes, np.full((shape.blocks, columns, shape.rows), NOTHING, np.int16)

    def _spell(
        self, codes: npt.NDArray[np.uint8], entries: Bytes
    ) -> tuple[npt.NDArray[np.int32], int]:
        """Integers [rows, inputs], and whether a stub or a scale says nothing (not 0)."""
        integers = np.empty(codes.shape, np.int32)
        shifts = np.empty((len(entries), len(codes)), np.uint8)
        missing = read_shifts(entries, self._patterns, shifts)
        return integers, missing + spell(codes, shifts, np.array(self.table, np.int32), integers)

    def _place_vias(
        self, level: int, cut: ViaLayer, vias: Rectangles, codes: npt.NDArray[np.uint8],
        entries: Bytes, wrong: npt.NDArray[np.uint8],
    ) -> int:  # fmt: skip
        """Enter vias of layer `level`; returns how many are wrong."""
        cells, scale = self._site_tables
        return place_vias(
            vias, *cut.size_nm, cells[level], scale[level], self._cell_columns, self.cell,
            self.block_cells, self.pitch, codes, entries, wrong,
        )  # fmt: skip

    @functools.cached_property
    def _cell_columns(self) -> npt.NDArray[np.int32]:
        """For every cell of a block: 0 to 31, or -1 in a scale cell."""
        cells = np.full(self.block_cells, -1, np.int32)
        cells[:BLOCK] = np.arange(BLOCK)
        return cells

    def _via_fault(self, cut: ViaLayer, via: npt.NDArray[np.int32], kind: int) -> Fault:
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
        entries = entries.transpose(2, 0, 1)
        fitting = (entries[:, :, None, :] == self._patterns).all(-1).any(-1)
        faults += [
            Fault(int(row), int(block) * BLOCK, f"the scale of block {block} spells no shift")
            for row, block in np.argwhere(~fitting)
        ]
        return faults

    # -- needs -------------------------------------------------------------------------------

    def needs(self, digits: TileDigits) -> dict[str, Any]:
        """Tracks and use of each layer, wire a weight, fan-out and load of trunks, ports."""
        t, of_a_port = self.technology, self.kind.inputs_per_port
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
            "wire_um_per_weight": {"mean": stub_um / of_a_port, "worst": stub_um / of_a_port},
            "fan_out": _spread(counts[:, signals]),
            "fan_out_ground": _spread(counts[:, 0]),
            "load_ff": _spread(drive[:, signals]),
            "trunks": int(counts[:, signals].size),
            "trunks_over_load": int((drive[:, signals] > largest).sum()),
            "repeaters": int(repeaters.sum()),
            "ports": digits.weights,
            "ports_per_weight": 1.0 / of_a_port,
            "ports_grounded": int(counts[:, 0].sum()),
        }

    def track_use(self) -> dict[str, dict[str, float]]:
        """Wire tracks in a block and the share of them in use, by layer.

        A track is a strip of the layer's own pitch; upright ones over the block's width, those
        across over the row's height.
        """
        t, width = self.technology, self.block_cells * self.cell
        pads = sum(len(stub.candidates) + 1 for stub in self.scale_stubs)
        lower_used = BLOCK * (len(self.lower_codes) + 1)
        across = BLOCK * (self.stub_span[1] - self.stub_span[0])
        for stub in self.scale_stubs:
            first, last = stub.span(self.scale_end)
            across += last - first
        port_share = self.pad_length / self.pitch
        layers = {
            t.lower.name: (width / self.lower_pitch, lower_used + (BLOCK + pads) * port_share),
            t.stub.name: (
                self.pitch / (self.stub_width + t.stub.space.value),
                across / width,
            ),
            t.upper.name: (
                width / self.upper_pitch,
                BLOCK * len(self.upper_codes) + len(self.scale_stubs),
            ),
        }
        return {
            name: {"tracks": tracks, "used": used, "use": used / tracks}
            for name, (tracks, used) in layers.items()
        }


def _spread(values: npt.NDArray[Any]) -> dict[str, float]:
    return {"mean": float(values.mean()), "worst": float(values.max())}


def _vias_at(cut: ViaLayer, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> Rectangles:
    wide, high = cut.size_nm
    low_x, low_y = x - wide // 2, y - high // 2
    return np.stack([low_x, low_y, low_x + wide, low_y + high], -1).astype(np.int32)
