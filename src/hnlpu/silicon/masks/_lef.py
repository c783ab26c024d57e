"""Fixed metal -> macro LEF: the neuron array of a tile, as a block for place and route.

    MACRO                               a tile: every pin label with the fixed metal that hangs on it
      PIN p4_17  INPUT                  a port listens: gate
      PIN x3_p2  OUTPUT                 a trunk drives: drain
      OBS                               fixed cuts, and metal on which no label lies

Pins are the arrays' own.  Areas for antenna rules are of the metal that is drawn, the embedding's
layers and no other.  (LEF/DEF 5.8 Language Reference.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from hnlpu.silicon.embed import Label, Rectangles, Scheme, TileShape
from hnlpu.silicon.masks._cells import base_name
from hnlpu.silicon.masks._connectivity import Fabric
from hnlpu.silicon.masks._lef_technology import Shape, header_lines, layer_names, um, um_box
from hnlpu.silicon.masks._names import identifier, pin_identifier
from hnlpu.silicon.technology import FIXED, Technology

SUPPLIES = {"GND": "GROUND", "PWR": "POWER"}
"""The pins that are no signals, and what LEF and DEF call their use."""
_DRIVERS = frozenset("xc")


def macro_name(scheme: Scheme, shape: TileShape) -> str:
    """The macro's name: that of the same metal's cell in GDSII, so no FOREIGN need say it."""
    return identifier(base_name(scheme, shape))


def macro_lef_lines(scheme: Scheme, shape: TileShape) -> Iterator[str]:
    """The whole file, line by line: the macro of a tile of `shape`."""
    yield from header_lines()
    yield from _macro(scheme, shape)
    yield "END LIBRARY\n"


def _macro(scheme: Scheme, shape: TileShape) -> Iterator[str]:
    name, technology = macro_name(scheme, shape), scheme.technology
    width, height = scheme.size_nm(shape)
    yield f"MACRO {name}\n  CLASS BLOCK ;\n"
    yield f"  ORIGIN 0.000 0.000 ;\n  SIZE {um(width)} BY {um(height)} ;\n"
    if not any(metal.track for metal in (technology.lower, technology.stub, technology.upper)):
        yield "  SYMMETRY X Y ;\n"  # mirrored wires would leave their tracks
    pins = _Pins(scheme, shape)
    for label in pins.labels:
        pin = pin_identifier(label)
        yield f"  PIN {pin}\n"
        if use := SUPPLIES.get(label):
            yield f"    DIRECTION INOUT ;\n    USE {use} ;\n"
        else:
            direction = "OUTPUT" if label[0] in _DRIVERS else "INPUT"
            yield f"    DIRECTION {direction} ;\n    USE SIGNAL ;\n"
            yield from _antenna(technology, pins, label)
        for port in pins.ports(label):
            yield "    PORT\n"
            yield from _shapes(port, "      ")
            yield "    END\n"
        yield f"  END {pin}\n"
    if rest := pins.obstructions():
        yield "  OBS\n"
        yield from _shapes(rest, "    ")
        yield "  END\n"
    yield f"END {name}\n"


def _antenna(technology: Technology, pins: _Pins, label: str) -> Iterator[str]:
    """Areas in um2 of a pin's metal, sides and cuts by layer, and of the gate or drain below it."""
    electrical = technology.electrical
    thickness = {
        metal.name: metal.thickness.value
        for metal in (technology.lower, technology.stub, technology.upper)
        if metal.thickness
    }
    for layer, (area, perimeter) in pins.metal(label).items():
        name = pins.names[layer]
        yield f"    ANTENNAPARTIALMETALAREA {area * 1e-6:.6g} LAYER {name} ;\n"
        if layer in thickness:
            side = perimeter * 1e-3 * thickness[layer]
            yield f"    ANTENNAPARTIALMETALSIDEAREA {side:.6g} LAYER {name} ;\n"
    for layer, area in pins.cuts(label).items():
        yield f"    ANTENNAPARTIALCUTAREA {area * 1e-6:.6g} LAYER {pins.names[layer]} ;\n"
    drives = label[0] in _DRIVERS
    silicon = electrical.driver_diffusion_area if drives else electrical.port_gate_area
    if silicon and drives:
        yield f"    ANTENNADIFFAREA {silicon.value:g} ;\n"
    elif silicon:
        yield f"    ANTENNAMODEL OXIDE1 ;\n    ANTENNAGATEAREA {silicon.value:g} ;\n"


def _shapes(shapes: Sequence[Shape], indent: str) -> Iterator[str]:
    layer = ""
    for shape in shapes:
        if shape.layer != layer:
            layer = shape.layer
            yield f"{indent}LAYER {layer} ;\n"
        yield f"{indent}  RECT {um_box(shape.box)} ;\n"


class _Pins:
    """Fixed metal of a tile by pin: every net of it with one label is a port of that pin.

    Rectangles of one net and layer do not overlap: an area is the sum of theirs.
    """

    def __init__(self, scheme: Scheme, shape: TileShape):
        t = scheme.technology
        layout = scheme.base(shape)
        flat = layout.flat()
        metals, cuts = (t.lower, t.stub, t.upper), (t.port_cut, t.lower_cut, t.upper_cut)
        none = np.empty((0, 4), np.int32)
        self.names = layer_names(t)
        self._layer_names = [layer.name for layer in (*metals, *cuts)]
        boxes = [flat.get((layer.gds_layer, FIXED), none) for layer in (*metals, *cuts)]
        level = {metal.gds_layer: n for n, metal in enumerate(metals)}
        # a cut belongs to the metal above it
        above = [np.full(len(found), n) for n, found in enumerate(boxes[3:])]
        layers = np.concatenate([[level[label.layer[0]] for label in layout.labels], *above])
        places = np.array([label[2:] for label in layout.labels], np.int64).reshape(-1, 2)
        places = np.concatenate([places, *map(_centres, boxes[3:])])
        found = Fabric(boxes[:3], boxes[3:], layers.astype(np.int64), places).nets()
        count = len(layout.labels)
        net = np.concatenate([found.net, found.under[count:]])
        order = np.argsort(net, kind="stable")  # within a net, layer by layer
        layer = np.repeat(np.arange(6), [len(part) for part in boxes])
        self._layers = layer[order].tolist()
        self._boxes = np.concatenate(boxes)[order].tolist()
        self._ends = np.searchsorted(net[order], np.arange(net.max(initial=-1) + 2)).tolist()
        self._nets = _by_label(layout.labels, found.under[:count].tolist())
        named = [net for known in self._nets.values() for net in known]
        if len(named) > len(set(named)):
            raise ValueError("two pins of the fixed metal hang together")

    @property
    def labels(self) -> list[str]:
        """Every pin once."""
        return sorted(self._nets, key=_natural)

    def ports(self, label: str) -> Iterator[list[Shape]]:
        """Shapes of metal of every piece of a pin."""
        for net in self._nets[label]:
            yield [self._shape(n) for n in self._of(net) if self._layers[n] < _METALS]

    def obstructions(self) -> list[Shape]:
        """All cuts, and metal on which no label lies; layer by layer."""
        named = {net for known in self._nets.values() for net in known}
        found = [
            n
            for net in range(len(self._ends) - 1)
            for n in self._of(net)
            if self._layers[n] >= _METALS or net not in named
        ]
        return [self._shape(n) for n in sorted(found, key=lambda n: self._layers[n])]

    def metal(self, label: str) -> dict[str, tuple[int, int]]:
        """Area in nm2 and perimeter in nm of a pin's metal, by layer."""
        found: dict[str, tuple[int, int]] = {}
        for layer, (x0, y0, x1, y1) in self._drawn(label, metal=True):
            area, perimeter = found.get(layer, (0, 0))
            width, height = x1 - x0, y1 - y0
            found[layer] = area + width * height, perimeter + 2 * (width + height)
        return found

    def cuts(self, label: str) -> dict[str, int]:
        """Area in nm2 of a pin's cuts, by layer."""
        found: dict[str, int] = {}
        for layer, (x0, y0, x1, y1) in self._drawn(label, metal=False):
            found[layer] = found.get(layer, 0) + (x1 - x0) * (y1 - y0)
        return found

    def _drawn(self, label: str, *, metal: bool) -> Iterator[tuple[str, list[int]]]:
        for net in self._nets[label]:
            for n in self._of(net):
                if (self._layers[n] < _METALS) == metal:
                    yield self._layer_names[self._layers[n]], self._boxes[n]

    def _of(self, net: int) -> range:
        return range(self._ends[net], self._ends[net + 1])

    def _shape(self, n: int) -> Shape:
        return Shape(self.names[self._layer_names[self._layers[n]]], self._boxes[n])


_METALS = 3
"""Layers of `_Pins` before its cuts."""


def _by_label(labels: Sequence[Label], nets: Sequence[int]) -> dict[str, list[int]]:
    """The nets on which each label lies, each net once."""
    found: dict[str, dict[int, None]] = {}
    for label, net in zip(labels, nets, strict=True):
        found.setdefault(label.text, {})[net] = None
    return {label: list(known) for label, known in found.items()}


def _centres(boxes: Rectangles) -> npt.NDArray[np.int64]:
    return ((boxes[:, :2] + boxes[:, 2:]) // 2).astype(np.int64)


def _natural(label: str) -> tuple[str, list[int]]:
    """Sorts x2 before x10."""
    letters = label[:1] if label not in SUPPLIES else f"~{label}"
    numbers = [] if len(letters) > 1 else [int(part) for part in label[1:].split(".")]
    return letters, numbers
