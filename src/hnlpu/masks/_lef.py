"""Process and fixed metal -> LEF: the embedding's layers and vias, and the neuron array as a macro.

    LAYER VIA7 M8 VIA8 M9 VIA9 M10      width, space, enclosures of the technology
    VIA   VIA8_tie VIA9_tie             what the routing of a DEF places
    MACRO                               a tile: every pin label with the fixed metal that hangs on it

Pins are the arrays' own: trunks drive, ports listen.  (LEF/DEF 5.8 Language Reference.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hnlpu.embed import Label, Rectangles, Scheme, TileShape
from hnlpu.masks._connectivity import Fabric
from hnlpu.masks._names import identifier, pin_identifier
from hnlpu.masks._nets import wire_width
from hnlpu.technology import FIXED, Cut, Metal, Technology

VERSION = "5.8"
UNITS_PER_MICRON = 1000
_DRIVERS = frozenset("xc")


class Shape(NamedTuple):
    """A rectangle on a layer, in nm."""

    layer: str
    box: Sequence[int]


def macro_name(scheme: Scheme, shape: TileShape) -> str:
    """The name of a tile of this shape as LEF and DEF have it."""
    return identifier(f"{scheme.kind.name}_{shape.rows}x{shape.blocks * 32}")


def via_name(cut: Cut) -> str:
    """The name of the via of a cut layer."""
    return f"{identifier(cut.name)}_tie"


def lef_lines(scheme: Scheme, shape: TileShape) -> Iterator[str]:
    """The whole file, line by line: layers and vias, and the macro of a tile of `shape`."""
    yield from technology_lines(scheme)
    yield from macro_lines(scheme, shape)
    yield "END LIBRARY\n"


def technology_lines(scheme: Scheme) -> Iterator[str]:
    """Units, layers with their rules, and vias."""
    t = scheme.technology
    yield f"VERSION {VERSION} ;\n"
    yield 'BUSBITCHARS "[]" ;\n'
    yield 'DIVIDERCHAR "/" ;\n'
    yield f"UNITS\n  DATABASE MICRONS {UNITS_PER_MICRON} ;\nEND UNITS\n"
    yield f"MANUFACTURINGGRID {_um(t.grid.value)} ;\n"
    for layer in t.layers:
        yield f"LAYER {layer.name}\n"
        if isinstance(layer, Metal):
            yield from _metal(
                layer, vertical=layer is not t.stub, width=_width(scheme, layer), grid=t.grid.value
            )
        else:
            yield from _cut(layer)
        yield f"END {layer.name}\n"
    for cut in (t.lower_cut, t.upper_cut):
        yield f"VIA {via_name(cut)} DEFAULT\n"
        for name, box in via_shapes(t, cut):
            yield f"  LAYER {name} ;\n    RECT {_box(box)} ;\n"
        yield f"END {via_name(cut)}\n"


def _width(scheme: Scheme, layer: Metal) -> float:
    """Width of routed wires: the stub layer's as the scheme draws it, else the least."""
    drawn = wire_width(scheme) if layer is scheme.technology.stub else 0
    return max(drawn, layer.width.value)


def _metal(layer: Metal, *, vertical: bool, width: float, grid: float) -> Iterator[str]:
    area_um2 = layer.width.value * layer.length.value * 1e-6
    # LEF counts load by area, in pF/um2; the technology by length of a wire of least width
    per_area = layer.capacitance.value * 1e-3 / (layer.width.value * 1e-3)
    yield "  TYPE ROUTING ;\n"
    yield f"  DIRECTION {'VERTICAL' if vertical else 'HORIZONTAL'} ;\n"
    pitch = layer.track.value if layer.track else width + layer.space.value
    yield f"  PITCH {_um(pitch)} ;\n"
    yield f"  WIDTH {_um(width)} ;\n"
    yield f"  MINWIDTH {_um(layer.width.value)} ;\n"
    yield f"  SPACING {_um(layer.space.value)} ;\n"
    if layer.end_space:
        end = (
            f"ENDOFLINE {_um(width + grid)} WITHIN 0.000"  # of edges no longer than a wire is wide
        )
        yield f"  SPACING {_um(layer.end_space.value)} {end} ;\n"
    yield f"  AREA {area_um2:.6g} ;\n"
    yield f"  CAPACITANCE CPERSQDIST {per_area:.6g} ;\n"


def _cut(layer: Cut) -> Iterator[str]:
    yield "  TYPE CUT ;\n"
    yield f"  SPACING {_um(layer.space.value)} ;\n"
    yield f"  WIDTH {_um(layer.size.value)} ;\n"
    below = layer.enclosure_below, layer.end_enclosure_below
    above = layer.enclosure_above, layer.end_enclosure_above
    yield f"  ENCLOSURE BELOW {_um(below[0].value)} {_um(below[1].value)} ;\n"
    yield f"  ENCLOSURE ABOVE {_um(above[0].value)} {_um(above[1].value)} ;\n"


def via_shapes(technology: Technology, cut: Cut) -> list[Shape]:
    """A via about its centre: the cut, and the least metal that it needs below and above."""
    t = technology
    below = round(cut.enclosure_below.value), round(cut.end_enclosure_below.value)
    above = round(cut.enclosure_above.value), round(cut.end_enclosure_above.value)
    # the stubs' metal lies across, the others upright: a wire reaches on along itself
    if cut is t.lower_cut:
        names, below_xy, above_xy = (t.lower.name, t.stub.name), below, above[::-1]
    else:
        names, below_xy, above_xy = (t.stub.name, t.upper.name), below[::-1], above
    width, height = cut.size_nm
    x0, y0 = -(width // 2), -(height // 2)

    def grown(x: int, y: int) -> list[int]:
        return [x0 - x, y0 - y, x0 + width + x, y0 + height + y]

    return [
        Shape(names[0], grown(*below_xy)),
        Shape(cut.name, grown(0, 0)),
        Shape(names[1], grown(*above_xy)),
    ]


def macro_lines(scheme: Scheme, shape: TileShape) -> Iterator[str]:
    """The neuron array: a pin for every label, and metal without one as obstructions."""
    name = macro_name(scheme, shape)
    width, height = scheme.size_nm(shape)
    yield f"MACRO {name}\n  CLASS BLOCK ;\n  ORIGIN 0 0 ;\n"
    yield f"  SIZE {_um(width)} BY {_um(height)} ;\n"
    pins = _Pins(scheme, shape)
    for label in pins.labels:
        yield f"  PIN {pin_identifier(label)}\n"
        if label in ("GND", "PWR"):
            use = "GROUND" if label == "GND" else "POWER"
            yield f"    DIRECTION INOUT ;\n    USE {use} ;\n"
        else:
            direction = "OUTPUT" if label[0] in _DRIVERS else "INPUT"
            yield f"    DIRECTION {direction} ;\n    USE SIGNAL ;\n"
        for port in pins.ports(label):
            yield "    PORT\n"
            yield from _shapes(port, "      ")
            yield "    END\n"
        yield f"  END {pin_identifier(label)}\n"
    if rest := pins.unlabelled():
        yield "  OBS\n"
        yield from _shapes(rest, "    ")
        yield "  END\n"
    yield f"END {name}\n"


def _shapes(shapes: Sequence[Shape], indent: str) -> Iterator[str]:
    layer = ""
    for shape in shapes:
        if shape.layer != layer:
            layer = shape.layer
            yield f"{indent}LAYER {layer} ;\n"
        yield f"{indent}  RECT {_box(shape.box)} ;\n"


class _Pins:
    """Fixed metal of a tile by pin: every net of it with one label is a port of that pin."""

    def __init__(self, scheme: Scheme, shape: TileShape):
        t = scheme.technology
        layout = scheme.base(shape)
        flat = layout.flat()
        metals, cuts = (t.lower, t.stub, t.upper), (t.port_cut, t.lower_cut, t.upper_cut)
        none = np.empty((0, 4), np.int32)
        self._names = [layer.name for layer in (*metals, *cuts)]
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
        """Shapes of every piece of a pin."""
        for net in self._nets[label]:
            yield self._shapes_of(net)

    def unlabelled(self) -> list[Shape]:
        """Metal on which no label lies."""
        named = {net for known in self._nets.values() for net in known}
        rest = (net for net in range(len(self._ends) - 1) if net not in named)
        return [shape for net in rest for shape in self._shapes_of(net)]

    def _shapes_of(self, net: int) -> list[Shape]:
        return [
            Shape(self._names[self._layers[n]], self._boxes[n])
            for n in range(self._ends[net], self._ends[net + 1])
        ]


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
    letters = label[:1] if label not in ("GND", "PWR") else f"~{label}"
    numbers = [] if len(letters) > 1 else [int(part) for part in label[1:].split(".")]
    return letters, numbers


def _um(nm: float) -> str:
    return f"{nm / 1000:.3f}"


def _box(box: Sequence[int]) -> str:
    x0, y0, x1, y1 = box
    return f"{x0 / 1000:.3f} {y0 / 1000:.3f} {x1 / 1000:.3f} {y1 / 1000:.3f}"
