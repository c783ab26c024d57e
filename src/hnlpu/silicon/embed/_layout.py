"""`Layout`: rectangles and labels of one cell, in nm, before any file format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.silicon.embed._labels import Label, LayerKey

Rectangles = npt.NDArray[np.int32]
Shapes = dict[LayerKey, list[Rectangles]]
"""Rectangles by layer, in pieces as a file gives them."""


@dataclass(frozen=True)
class RectRows:
    """Rectangles of one layer in rows of equal ones, as files hold them.

    `heads` int64 [n, 8] has a row's x0, y0, width, height, dx, dy, first, behind: its rectangles
    stand `columns[first:behind]` steps of (dx, dy) beyond (x0, y0); int32, ascending from 0.  A row
    runs along x or along y, none backwards.  Rows may share columns.
    """

    heads: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int32]

    @property
    def count(self) -> int:
        """Rectangles in all rows."""
        return int((self.heads[:, 7] - self.heads[:, 6]).sum())

    def moved(self, x: int, y: int) -> RectRows:
        """The same rows, shifted."""
        return RectRows(self.heads + np.array([x, y, 0, 0, 0, 0, 0, 0]), self.columns)

    def rectangles(self) -> Rectangles:
        """All of them, int32 [count, 4] as x0, y0, x1, y1, row by row."""
        found = np.empty((self.count, 4), np.int32)
        _spread(self.heads, self.columns, found)
        return found


@njit(cache=True, nogil=True)
def _spread(
    heads: npt.NDArray[np.int64], columns: npt.NDArray[np.int32], out: Rectangles
) -> None:  # fmt: skip
    at = 0
    for n in range(len(heads)):
        width, height, dx, dy = heads[n, 2], heads[n, 3], heads[n, 4], heads[n, 5]
        for i in range(heads[n, 6], heads[n, 7]):
            x0 = heads[n, 0] + dx * columns[i]
            y0 = heads[n, 1] + dy * columns[i]
            out[at, 0] = x0
            out[at, 1] = y0
            out[at, 2] = x0 + width
            out[at, 3] = y0 + height
            at += 1


RowsByLayer = Mapping[LayerKey, Sequence[RectRows]]


@dataclass(frozen=True)
class Grid:
    """A rectangle repeated `columns` times every `dx` and `rows` times every `dy` nm."""

    layer: LayerKey
    x0: int
    y0: int
    x1: int
    y1: int
    columns: int = 1
    dx: int = 0
    rows: int = 1
    dy: int = 0

    @property
    def count(self) -> int:
        """Rectangles in the grid."""
        return self.columns * self.rows

    def rectangles(self) -> Rectangles:
        """All of them, int32 [count, 4] as x0, y0, x1, y1."""
        x = np.arange(self.columns) * self.dx
        y = np.arange(self.rows) * self.dy
        shift = np.stack(np.broadcast_arrays(x[None, :], y[:, None]), -1).reshape(-1, 2)
        corners = np.array([[self.x0, self.y0, self.x1, self.y1]])
        found: Rectangles = (corners + np.tile(shift, 2)).astype(np.int32)
        return found


@dataclass
class Layout:
    """One cell: grids of equal rectangles, single rectangles by layer, and pin labels."""

    grids: list[Grid] = field(default_factory=list)
    rectangles: dict[LayerKey, Rectangles] = field(default_factory=dict)
    labels: Sequence[Label] = ()

    def flat(self) -> dict[LayerKey, Rectangles]:
        """Every rectangle by layer, int32 [n, 4]."""
        parts: dict[LayerKey, list[Rectangles]] = {}
        for grid in self.grids:
            parts.setdefault(grid.layer, []).append(grid.rectangles())
        for layer, found in self.rectangles.items():
            parts.setdefault(layer, []).append(found)
        return {layer: np.concatenate(found) for layer, found in sorted(parts.items())}

    def shapes(self) -> Shapes:
        """The single rectangles, as a reader would give them."""
        return {layer: [found] for layer, found in self.rectangles.items()}

    def merged(self, other: Layout) -> Layout:
        """Both cells in one."""
        rectangles = dict(self.rectangles)
        for layer, found in other.rectangles.items():
            here = rectangles.get(layer)
            rectangles[layer] = found if here is None else np.concatenate([here, found])
        labels = [*self.labels, *other.labels] if other.labels else self.labels
        return Layout([*self.grids, *other.grids], rectangles, labels)


def bounding_box(layers: Iterable[Rectangles]) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 around all rectangles; zeros if there are none."""
    boxes: Iterator[Rectangles] = (found for found in layers if len(found))
    corners = [(*found[:, :2].min(0), *found[:, 2:].max(0)) for found in boxes]
    if not corners:
        return 0, 0, 0, 0
    all_ = np.array(corners)
    low, high = all_[:, :2].min(0), all_[:, 2:].max(0)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
