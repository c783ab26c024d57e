"""The fixed metal of a taps tile and its pin labels; the same for any weights.

lower   PWR 0 +1 +2 +3 P +4 +6 +8 +12    trunks over all rows; pads of ports in each row
stub    ============================     one in each row, over all trunks of a cell
upper     -1 -2 -3 -4 -6 -8 -12          trunks over all rows

and in scale cells stubs over the pads of the count bits and the port of each column.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.silicon.embed._labels import Label, LabelTable, join_labels, label_table, pin_labels
from hnlpu.silicon.embed._layout import Grid, Layout
from hnlpu.silicon.embed._scheme import TileShape
from hnlpu.silicon.embed._taps_plan import TapsPlan
from hnlpu.silicon.technology import FIXED, PIN, Metal, Technology, ViaLayer


def draw_base(
    technology: Technology, plan: TapsPlan, shape: TileShape, pitch: int, *, labels: bool = True
) -> Layout:
    """Trunks, stubs, pads, fixed vias, and a label for every pin; rows are `pitch` apart."""
    base = _Base(technology, plan, shape, pitch)
    base.draw_cells()
    for j in range(len(plan.scale_stubs)):
        base.draw_scale_stub(j)
    if labels:
        base.label_cells()
        for j in range(len(plan.scale_stubs)):
            base.label_scale_stub(j)
    return base.layout()


class _Base:
    """Collects grids and labels."""

    def __init__(self, technology: Technology, plan: TapsPlan, shape: TileShape, pitch: int):
        self._technology, self._plan, self._shape, self._pitch = technology, plan, shape, pitch
        self._grids: list[Grid] = []
        self._labels: list[LabelTable] = []

    def layout(self) -> Layout:
        """All of it."""
        return Layout(grids=self._grids, labels=join_labels(self._labels))

    def draw_cells(self) -> None:
        """All but the scale cells."""
        t, p, rows = self._technology, self._plan, self._shape.rows
        first, last = p.stub_span
        for block in range(self._shape.blocks):
            x0 = block * p.block_cells * p.cell

            def cells(layer: Metal | ViaLayer, x: int, width: int, high: int, rows: int,
                      x0: int = x0) -> None:  # fmt: skip
                self._repeat(layer, x0 + x, width, high, BLOCK, p.cell, rows)

            cells(t.lower, p.power_x, p.lower_width, self._height, 1)
            for code, x in p.site_x.items():
                metal, width = (t.lower, p.lower_width) if code < 8 else (t.upper, p.upper_width)
                cells(metal, x, width, self._height, 1)
            cells(t.stub, (first + last) // 2, last - first, p.stub_width, rows)
            cells(t.lower, p.port_x, p.lower_width, p.pad_length, rows)
            for cut in (t.port_cut, t.lower_cut):
                cells(cut, p.port_x, *cut.size_nm, rows)

    def draw_scale_stub(self, j: int) -> None:
        """Column `j` of all scale cells."""
        t, p, rows = self._technology, self._plan, self._shape.rows
        across, start, stub = p.block_cells * p.cell, BLOCK * p.cell, p.scale_stubs[j]

        def repeated(layer: Metal | ViaLayer, x: int, width: int, high: int, rows: int) -> None:
            self._repeat(layer, start + x, width, high, self._shape.blocks, across, rows)

        first, last = stub.span(p.scale_end)
        repeated(t.stub, (first + last) // 2, last - first, p.stub_width, rows)
        repeated(t.upper, stub.ground, p.upper_width, self._height, 1)
        for x in stub.pads:
            repeated(t.lower, x, p.lower_width, p.pad_length, rows)
            repeated(t.port_cut, x, *t.port_cut.size_nm, rows)
        repeated(t.lower_cut, stub.port, *t.lower_cut.size_nm, rows)

    @property
    def _height(self) -> int:
        return self._shape.rows * self._pitch

    def _repeat(
        self,
        layer: Metal | ViaLayer,
        x: int,
        width: int,
        high: int,
        columns: int,
        dx: int,
        rows: int,
    ) -> None:
        """Pieces centred on x, in the middle of each row or, if `rows` is 1, over all rows."""
        x0, y0 = x - width // 2, self._pitch // 2 - high // 2 if high < self._height else 0
        key = layer.gds_layer, FIXED
        self._grids.append(Grid(key, x0, y0, x0 + width, y0 + high, columns, dx, rows, self._pitch))

    def label_cells(self) -> None:
        """Trunks and ports of all but the scale cells."""
        t, p = self._technology, self._plan
        lower, upper = (t.lower.gds_layer, PIN), (t.upper.gds_layer, PIN)
        inputs = np.arange(self._shape.blocks * BLOCK)
        x0 = (inputs // BLOCK * p.block_cells + inputs % BLOCK) * p.cell
        twice = {code: p.table[code] for code in p.site_x}
        trunks = []
        for column, x in enumerate(x0.tolist()):
            trunks.append(Label(lower, "PWR", x + p.power_x, 0))
            for code, site in p.site_x.items():
                text = f"x{column}.{twice[code]:+d}" if twice[code] else "GND"
                trunks.append(Label(lower if code < 8 else upper, text, x + site, 0))
        self._labels.append(label_table(trunks))
        row, y = self._rows
        self._labels.append(pin_labels(lower, "p", (row, inputs), x0 + p.port_x, y))

    def label_scale_stub(self, j: int) -> None:
        """Ground trunk, port and count bits of column `j` of all scale cells."""
        t, p = self._technology, self._plan
        lower, upper, stub = (t.lower.gds_layer, PIN), (t.upper.gds_layer, PIN), p.scale_stubs[j]
        block = np.arange(self._shape.blocks)
        x0 = (block * p.block_cells + BLOCK) * p.cell
        ground = [Label(upper, "GND", x, 0) for x in (x0 + stub.ground).tolist()]
        self._labels.append(label_table(ground))
        row, y = self._rows
        pins = [("q", j, stub.port), *(("c", j - s, x) for s, x in stub.candidates.items())]
        for letter, number, x in pins:
            numbers = (row, block, np.array(number))
            self._labels.append(pin_labels(lower, letter, numbers, x0 + x, y))

    @property
    def _rows(self) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]:
        """Numbers of all rows, and y of their middles, as columns."""
        row = np.arange(self._shape.rows)[:, None]
        return row, row * self._pitch + self._pitch // 2
