"""Metal of a layout in a window: rectangles by layer, cut to it, with the role of each layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hnlpu.silicon.embed import Grid, LayerKey, Layout, Rectangles, Scheme
from hnlpu.silicon.technology import FIXED, PIN, PROGRAMMABLE

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in nm."""


def roles_of(scheme: Scheme) -> dict[LayerKey, str]:
    """The role of every layer that is drawn, from the silicon up; names of colours."""
    t = scheme.technology
    return {
        (t.port_cut.gds_layer, FIXED): "fixed",
        (t.lower.gds_layer, FIXED): "lower",
        (t.lower.gds_layer, PROGRAMMABLE): "lower",
        (t.lower_cut.gds_layer, FIXED): "fixed",
        (t.lower_cut.gds_layer, PROGRAMMABLE): "weight",
        (t.stub.gds_layer, FIXED): "stub",
        (t.stub.gds_layer, PROGRAMMABLE): "stub",
        (t.upper_cut.gds_layer, FIXED): "fixed",
        (t.upper_cut.gds_layer, PROGRAMMABLE): "weight",
        (t.upper.gds_layer, FIXED): "upper",
        (t.upper.gds_layer, PROGRAMMABLE): "upper",
    }


def within(layouts: Sequence[Layout], window: Box) -> dict[LayerKey, Rectangles]:
    """Rectangles of the layouts that a window shows, cut to it; pin labels are left out."""
    x0, y0, x1, y1 = window
    parts: dict[LayerKey, list[Rectangles]] = {}
    for layout in layouts:
        for grid in layout.grids:
            if grid.layer[1] != PIN and (seen := _visible(grid, window)):
                parts.setdefault(grid.layer, []).append(seen.rectangles())
        for layer, found in layout.rectangles.items():
            here = (found[:, 2] > x0) & (found[:, 0] < x1) & (found[:, 3] > y0) & (found[:, 1] < y1)
            if here.any():
                parts.setdefault(layer, []).append(found[here])
    low, high = np.array([x0, y0, x0, y0]), np.array([x1, y1, x1, y1])
    return {
        layer: np.clip(np.concatenate(found), low, high).astype(np.int32)
        for layer, found in parts.items()
    }


def _visible(grid: Grid, window: Box) -> Grid | None:
    """The part of a grid that a window shows."""

    def span(
        low: int, high: int, step: int, count: int, start: float, end: float
    ) -> tuple[int, int]:
        if step == 0 or count == 1:
            return (0, 1) if high > start and low < end else (0, 0)
        first = max(0, int((start - high) // step) + 1)
        last = min(count, int(-((low - end) // step)))
        return first, last

    left, right = span(grid.x0, grid.x1, grid.dx, grid.columns, window[0], window[2])
    bottom, top = span(grid.y0, grid.y1, grid.dy, grid.rows, window[1], window[3])
    if left >= right or bottom >= top:
        return None
    x, y = left * grid.dx, bottom * grid.dy
    return Grid(
        grid.layer, grid.x0 + x, grid.y0 + y, grid.x1 + x, grid.y1 + y,
        right - left, grid.dx, top - bottom, grid.dy,
    )  # fmt: skip


def ordered(
    shapes: Mapping[LayerKey, Rectangles], scheme: Scheme
) -> list[tuple[LayerKey, str, Rectangles]]:
    """Layers with their role, from the silicon up."""
    roles = roles_of(scheme)
    return [(layer, role, shapes[layer]) for layer, role in roles.items() if layer in shapes]
