"""Layers as schemes draw them -> the numbers that a file has for them, and back.

mask      one number a layer: datatype 0 is fixed, 1 what weights decide, 10 the names of pins
drawing   the process design kit's own, for its DRC decks: met2 69/20, its pins 69/16, names 69/5

In drawing layers fixed and programmable metal are one, as they are to a DRC deck; which a shape is,
the cell says that it stands in.  Pins get a shape there, as wide as their wire and half as high, because
tools take a pin for a shape and a name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from hnlpu.errors import DamagedMasks, InvalidInput
from hnlpu.silicon.embed import LabelTable, LayerKey, Layout, Rectangles, label_table
from hnlpu.silicon.masks._oasis_cell import LayoutCell
from hnlpu.silicon.technology import FIXED, PIN, PROGRAMMABLE, Metal, Technology

Layers = Literal["mask", "drawing"]


class NamedLayer(NamedTuple):
    """A layer of a file: the metal's or cut's name, what is on it, and its numbers."""

    name: str
    purpose: str
    key: LayerKey

    @property
    def full_name(self) -> str:
        """Both in one word."""
        return f"{self.name}.{self.purpose}"


def choose_layers(technology: Technology, asked: str | None) -> Layers:
    """The layers of files of a technology: `asked`, else its drawing layers if it names any.

    Raises InvalidInput for a word that is none, for drawing layers that nobody knows, and for a technology in
    which no masks are drawn.
    """
    technology.require_drawn()
    if asked is None:
        return "drawing" if technology.has_drawing_layers else "mask"
    if asked not in ("mask", "drawing"):
        raise InvalidInput(f"layers {asked!r} are unknown; choose from mask, drawing")
    if asked == "drawing" and not technology.has_drawing_layers:
        raise InvalidInput(
            f"layers 'drawing': technology {technology.name} names no drawing layers; "
            "choose mask, or add 'drawing' to every layer of its file"
        )
    return "drawing" if asked == "drawing" else "mask"


class LayerMap:
    """The layers of a technology in files of one kind."""

    def __init__(self, technology: Technology, layers: Layers):
        self.technology = technology
        self.layers: Layers = layers
        self._written: dict[LayerKey, LayerKey] = {}
        self._pins: dict[LayerKey, tuple[LayerKey, int]] = {}
        for layer in technology.layers:
            purposes = (FIXED, PROGRAMMABLE, *([PIN] if isinstance(layer, Metal) else []))
            own = {purpose: (layer.gds_layer, purpose) for purpose in purposes}
            self._written.update({key: key for key in own.values()})
            if layers == "drawing":
                self._use_drawing(layer, own)

    def _use_drawing(self, layer: object, own: Mapping[int, LayerKey]) -> None:
        drawing = getattr(layer, "drawing")  # noqa: B009  of metals and of cuts
        self._written[own[FIXED]] = (drawing.gds_layer, drawing.datatype)
        self._written[own[PROGRAMMABLE]] = (drawing.gds_layer, drawing.datatype)
        if isinstance(layer, Metal):
            self._written[own[PIN]] = (drawing.gds_layer, drawing.label)
            grid = self.technology.grid.value
            half = round(max(1, layer.width.value / 2 // grid) * grid)
            self._pins[own[PIN]] = ((drawing.gds_layer, drawing.pin), half)

    def key(self, layer: LayerKey) -> LayerKey:
        """The numbers in a file of a layer of the schemes."""
        return self._written[layer]

    @property
    def keys(self) -> set[LayerKey]:
        """Numbers of all layers that a file may have."""
        return {*self._written.values(), *self.pin_keys}

    @property
    def pin_keys(self) -> set[LayerKey]:
        """Numbers of layers that only say again where pins are."""
        return {key for key, _ in self._pins.values()}

    def named(self, programmable: Collection[str]) -> list[NamedLayer]:
        """The layers of a file, from the silicon up; `programmable` names those of weights."""
        found = []
        for layer in self.technology.layers:
            n, metal = layer.gds_layer, isinstance(layer, Metal)
            if self.layers == "drawing":
                found.append(NamedLayer(layer.name, "drawing", self.key((n, FIXED))))
                if metal:
                    found.append(NamedLayer(layer.name, "pin", self._pins[n, PIN][0]))
            else:
                found.append(NamedLayer(layer.name, "fixed", (n, FIXED)))
                if layer.name in programmable:
                    found.append(NamedLayer(layer.name, "programmable", (n, PROGRAMMABLE)))
            if metal:
                found.append(NamedLayer(layer.name, "label", self.key((n, PIN))))
        return found

    # -- writing -----------------------------------------------------------------------------

    def layout(self, layout: Layout) -> Layout:
        """A layout with the file's numbers, and with shapes of pins where the file has such."""
        if self.layers == "mask":
            return layout
        rectangles: dict[LayerKey, list[Rectangles]] = {}
        for layer, found in layout.rectangles.items():
            rectangles.setdefault(self._written[layer], []).append(found)
        labels = label_table(layout.labels)
        for layer, pins in self._pin_shapes(labels):
            rectangles.setdefault(layer, []).append(pins)
        return Layout(
            [dataclasses.replace(grid, layer=self._written[grid.layer]) for grid in layout.grids],
            {layer: np.concatenate(parts) for layer, parts in rectangles.items()},
            _renumbered(labels, self._written),
        )

    def _pin_shapes(self, labels: LabelTable) -> Iterator[tuple[LayerKey, Rectangles]]:
        """Shapes that stand on their label: trunks have theirs at the lower end of the wire."""
        for (layer, datatype), (key, half) in self._pins.items():
            x, y = labels.places[labels.places[:, 0] == layer * 65536 + datatype, 1:].T
            if len(x):
                yield key, np.stack([x - half, y, x + half, y + half], -1).astype(np.int32)

    # -- reading -----------------------------------------------------------------------------

    def tile(self, cell: LayoutCell, where: str) -> LayoutCell:
        """A cell of what weights decide, with the numbers of the schemes."""
        return self._read(cell, PROGRAMMABLE, where)

    def base(self, cell: LayoutCell, where: str) -> LayoutCell:
        """A cell of fixed metal and names of pins, with the numbers of the schemes.

        Raises DamagedMasks for a shape on a layer that files of this kind do not have.
        """
        return self._read(cell, FIXED, where)

    def _read(self, cell: LayoutCell, purpose: int, where: str) -> LayoutCell:
        known = {self._written[n, d]: (n, d) for n, d in self._written if d in (purpose, PIN)}
        used = cell.layers | {
            (key >> 16, key & 65535)
            for table in cell.labels
            for key in np.unique(table.places[:, 0]).tolist()
        }
        if strangers := sorted(used - known.keys() - self.pin_keys):
            if self.layers == "mask" and purpose == PROGRAMMABLE:
                return cell  # whoever looks at tiles tells their foreign layers
            layer, datatype = strangers[0]
            raise DamagedMasks(
                f"{where}: has shapes on layer {layer}/{datatype}, which is none of the "
                f"{self.layers} layers that the masks were written in; write the masks again"
            )
        if self.layers == "mask":
            return cell
        pins = self.pin_keys
        return LayoutCell(
            cell.name,
            {known[layer]: parts for layer, parts in cell.single.items() if layer not in pins},
            {known[layer]: parts for layer, parts in cell.rows.items() if layer not in pins},
            [_renumbered(table, known) for table in cell.labels],
            cell.placed,
            cell.within,
        )


def _renumbered(labels: LabelTable, numbers: Mapping[LayerKey, LayerKey]) -> LabelTable:
    """Labels on other layers."""
    places: npt.NDArray[np.int64] = labels.places.copy()
    for key in np.unique(labels.places[:, 0]).tolist():
        layer, datatype = numbers[key >> 16, key & 65535]
        places[labels.places[:, 0] == key, 0] = layer * 65536 + datatype
    return LabelTable(places, labels.text, labels.ends)
