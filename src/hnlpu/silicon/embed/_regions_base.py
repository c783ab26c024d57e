"""The fixed metal of a regions tile and its pin labels; the same for any weights.

upper   x0 x1 x2 ...                    inputs' trunks, over all rows
lower   PWR and ground trunks           over all rows, by every pair of groups
        ports, ties                     in each row: upright wires, and pads one above the other
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.silicon.embed._labels import Label, LabelTable, join_labels, label_table, pin_labels
from hnlpu.silicon.embed._layout import Grid, Layout
from hnlpu.silicon.embed._regions_frame import Frame
from hnlpu.silicon.embed._regions_values import tie_count
from hnlpu.silicon.embed._scheme import TileShape
from hnlpu.silicon.technology import FIXED, PIN, Metal, Technology, ViaLayer


def draw_base(
    technology: Technology,
    frame: Frame,
    shape: TileShape,
    scale_range: int,
    tracks: int,
    pitch: int,
    *,
    labels: bool = True,
) -> Layout:
    """Trunks, ports, ties, the cuts below them, and a label for every pin; rows are `pitch` apart."""
    base = _Base(technology, frame, shape, pitch)
    rules = frame.rules
    top = rules.height(tracks) - rules.half_space
    middle = rules.margin + (tracks - 1) // 2 * rules.track_pitch
    base.trunks(technology.upper, rules.upper_width, frame.trunk_x, frame.trunk_pitch)
    for x in (frame.power_x, frame.ground_x[0::2], frame.ground_x[1::2]):
        base.trunks(technology.lower, rules.lower_width, x, frame.pair_width)
    for side in (0, 1):
        for k in range(frame.group):
            base.pieces(frame.port_x[side::2, k], rules.half_space, top, middle)
        for tie in range(tie_count(scale_range)):
            y = rules.margin + tie * rules.tie_step * rules.track_pitch
            half = rules.pad_length // 2
            base.pieces(frame.tie_x[side::2], y - half, y + half, y)
    if labels:
        base.label_trunks()
        base.label_rows(middle, tie_count(scale_range))
    return Layout(grids=base.grids, labels=join_labels(base.labels))


class _Base:
    """Collects grids and labels; everything upright repeats from pair to pair."""

    def __init__(self, technology: Technology, frame: Frame, shape: TileShape, pitch: int):
        self.grids: list[Grid] = []
        self.labels: list[LabelTable] = []
        self._technology, self._frame, self._rows, self._pitch = (
            technology, frame, shape.rows, pitch,
        )  # fmt: skip

    def trunks(self, metal: Metal, width: int, x: npt.NDArray[Any], step: int) -> None:
        """Wires over all rows."""
        height = self._rows * self._pitch
        self._grid(metal, int(x[0]) - width // 2, 0, width, height, len(x), step, 1)

    def pieces(self, x: npt.NDArray[Any], y0: int, y1: int, cut_y: int) -> None:
        """A piece of lower metal from y0 to y1 in every row, and the cut below it."""
        t, width = self._technology, self._frame.rules.lower_width
        step = self._frame.pair_width
        self._grid(t.lower, int(x[0]) - width // 2, y0, width, y1 - y0, len(x), step, self._rows)
        wide, high = t.port_cut.size_nm
        x0, y = int(x[0]) - wide // 2, cut_y - high // 2
        self._grid(t.port_cut, x0, y, wide, high, len(x), step, self._rows)

    def _grid(
        self, layer: Metal | ViaLayer, x: int, y: int, width: int, high: int, columns: int, dx: int,
        rows: int,
    ) -> None:  # fmt: skip
        key = layer.gds_layer, FIXED
        self.grids.append(Grid(key, x, y, x + width, y + high, columns, dx, rows, self._pitch))

    def label_trunks(self) -> None:
        t, f = self._technology, self._frame
        lower, upper = (t.lower.gds_layer, PIN), (t.upper.gds_layer, PIN)
        labels = [Label(upper, f"x{n}", x, 0) for n, x in enumerate(f.trunk_x.tolist())]
        labels += [Label(lower, "PWR", x, 0) for x in f.power_x.tolist()]
        labels += [Label(lower, "GND", x, 0) for x in f.ground_x.tolist()]
        self.labels.append(label_table(labels))

    def label_rows(self, port_y: int, ties: int) -> None:
        """Ports and ties of every row."""
        f, r = self._frame, self._frame.rules
        pin = self._technology.lower.gds_layer, PIN
        row, group = np.arange(self._rows)[:, None, None], np.arange(len(f.tie_x))[:, None]
        port, tie, y0 = np.arange(f.group), np.arange(ties), row * self._pitch
        self.labels.append(pin_labels(pin, "p", (row, group, port), f.port_x, y0 + port_y))
        y = y0 + r.margin + tie * r.tie_step * r.track_pitch
        self.labels.append(pin_labels(pin, "t", (row, group, tie), f.tie_x[:, None], y))
