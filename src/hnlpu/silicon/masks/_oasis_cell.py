"""`LayoutCell`: what a layout file says of one cell, and a cell with all that it places made flat."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.errors import DamagedMasks
from hnlpu.silicon.embed import LabelTable, LayerKey, Rectangles, RectRows, Shapes, join_labels

MOST_SHAPES = 2**26  # of one cell, so that a small damaged file does not fill the memory
DEEPEST = 16  # cells one below the other
SMALL_CELL = 64
"""A placed cell of at most so many rectangles becomes rows of each of them."""


@dataclass
class LayoutCell:
    """One cell as read: single rectangles and rows of them by layer, labels, and placed cells.

    Cells are placed as rows of rectangles without size; a width of 1 marks one that does not stand
    upright at its own size.
    """

    name: str
    single: Shapes = field(default_factory=dict)
    rows: dict[LayerKey, list[RectRows]] = field(default_factory=dict)
    labels: list[LabelTable] = field(default_factory=list)
    placed: dict[str, RectRows] = field(default_factory=dict)
    within: frozenset[str] = frozenset()
    """Names of the cells that were placed, on any level, before `flatten` put them in."""

    @property
    def size(self) -> int:
        """Rectangles, rows and labels of its own: what placing it once takes."""
        single = sum(len(part) for parts in self.single.values() for part in parts)
        rows = sum(len(table.heads) for tables in self.rows.values() for table in tables)
        return single + rows + sum(len(table) for table in self.labels)

    @property
    def layers(self) -> set[LayerKey]:
        """Layers that have a shape; rows stay rows."""
        return self.single.keys() | self.rows.keys()

    @functools.cached_property
    def shapes(self) -> Shapes:
        """Every rectangle by layer."""
        found = {layer: list(parts) for layer, parts in self.single.items()}
        for layer, tables in self.rows.items():
            found.setdefault(layer, []).extend(table.rectangles() for table in tables)
        return found

    @functools.cached_property
    def placements(self) -> dict[str, npt.NDArray[np.int32]]:
        """Where other cells are placed: int32 [n, 2] by name."""
        return {name: rows.rectangles()[:, :2] for name, rows in self.placed.items()}

    @functools.cached_property
    def turned(self) -> dict[str, npt.NDArray[np.int32]]:
        """Where cells are placed rotated, mirrored or scaled: int32 [n, 2] by name."""
        marked = {name: rows.heads[:, 2] != 0 for name, rows in self.placed.items()}
        return {
            name: RectRows(self.placed[name].heads[rows], self.placed[name].columns).rectangles()[
                :, :2
            ]
            for name, rows in sorted(marked.items())
            if rows.any()
        }

    def all_labels(self) -> LabelTable:
        """The cell's own labels in one table."""
        return join_labels(self.labels)


def flatten(cells: Mapping[str, LayoutCell], name: str, above: tuple[str, ...] = ()) -> LayoutCell:
    """Cell `name` with all that it places, down to the bottom.

    Raises DamagedMasks for a loop, and where so much is placed that it cannot be a mask's.
    """
    if len(above) > DEEPEST:
        raise DamagedMasks(
            f"cell {above[0]} is more than {DEEPEST} cells deep; write the masks again"
        )
    if name not in cells or name in above:
        problem = "places itself" if name in above else "is missing"
        raise DamagedMasks(f"cell {name} {problem}; write the masks again")
    cell = cells[name]
    if not cell.placed:
        return cell
    if cell.turned:
        turned = next(iter(cell.turned))
        raise DamagedMasks(
            f"cell {name} places {turned} rotated, mirrored or scaled; write the masks again"
        )
    single = {layer: list(found) for layer, found in cell.single.items()}
    rows = {layer: list(found) for layer, found in cell.rows.items()}
    labels = list(cell.labels)
    within: set[str] = set()
    for child_name, placed in cell.placed.items():
        child = flatten(cells, child_name, (*above, name))
        within |= {child_name, *child.within}
        if placed.count * child.size > MOST_SHAPES:
            raise DamagedMasks(f"cell {name} places {child_name} too often to be read")
        for layer, parts in child.single.items():
            found = np.concatenate(parts)
            if len(found) <= SMALL_CELL:
                rows.setdefault(layer, []).append(_rows_of(found, placed))
            else:
                single.setdefault(layer, []).append(_moved(found, cell.placements[child_name]))
        for layer, tables in child.rows.items():
            for x, y in cell.placements[child_name].tolist():
                rows.setdefault(layer, []).extend(table.moved(x, y) for table in tables)
        for table in child.labels:
            for x, y in cell.placements[child_name].tolist():
                moved_places = table.places + np.array([0, x, y])
                labels.append(LabelTable(moved_places, table.text, table.ends))
    return LayoutCell(name, single, rows, labels, within=frozenset(within))


def _rows_of(rectangles: Rectangles, placed: RectRows) -> RectRows:
    """Every one of some rectangles in the rows in which their cell is placed."""
    heads = np.empty((len(placed.heads) * len(rectangles), 8), np.int64)
    _place_rows(rectangles, placed.heads, heads)
    return RectRows(heads, placed.columns)


@njit(cache=True, nogil=True)
def _place_rows(
    rectangles: Rectangles, placed: npt.NDArray[np.int64], heads: npt.NDArray[np.int64]
) -> None:
    at = 0
    for k in range(len(rectangles)):
        x0, y0 = np.int64(rectangles[k, 0]), np.int64(rectangles[k, 1])
        for n in range(len(placed)):
            heads[at, 0], heads[at, 1] = placed[n, 0] + x0, placed[n, 1] + y0
            heads[at, 2], heads[at, 3] = rectangles[k, 2] - x0, rectangles[k, 3] - y0
            for i in range(4, 8):
                heads[at, i] = placed[n, i]
            at += 1


def _moved(rectangles: Rectangles, places: npt.NDArray[np.int32]) -> Rectangles:
    """Rectangles at every place."""
    found: Rectangles = rectangles[None, :, :] + np.tile(places, 2)[:, None, :]
    return found.reshape(-1, 4)
