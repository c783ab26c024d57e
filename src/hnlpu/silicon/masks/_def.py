"""Digits of a tile -> DEF: one neuron array, and the nets that programmable metal makes of it.

    PINS         trunks where they end, at the lower and at the upper edge
    BLOCKAGES    the whole tile: its weights have all of its metal
    SPECIALNETS  GND and PWR, with their trunks, vias and wires
    NETS
    - x3_p2 ( PIN x3_p2 ) ( array x3_p2 ) ( array p0_3 ) ...    a trunk and the ports of its weights
      + FIXED M8 ( 3066 46 ) VIA8_tie ...                       one via a weight

There are no ROWS: nothing is left to place.  (LEF/DEF 5.8 Language Reference.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hnlpu.silicon.embed import Scheme, TileDigits, TileShape
from hnlpu.silicon.masks._lef import SUPPLIES, macro_name
from hnlpu.silicon.masks._lef_technology import UNITS_PER_MICRON, VERSION, layer_names, via_name
from hnlpu.silicon.masks._names import identifier, pin_identifier
from hnlpu.silicon.masks._net import LOWER, Net
from hnlpu.silicon.masks._nets import nets, wire_width
from hnlpu.silicon.masks._trunks import Trunk, tracks, trunks

ARRAY = "array"
"""The name of the one instance in a tile."""
_PINS_A_LINE, _VIAS_A_LINE = 6, 3


def def_lines(scheme: Scheme, digits: TileDigits, design: str) -> Iterator[str]:
    """The whole file, line by line; `design` names the tile."""
    shape = TileShape(digits.rows, digits.blocks)
    width, height = scheme.size_nm(shape)
    yield f"VERSION {VERSION} ;\n"
    yield 'DIVIDERCHAR "/" ;\nBUSBITCHARS "[]" ;\n'
    yield f"DESIGN {identifier(design)} ;\n"
    yield f"UNITS DISTANCE MICRONS {UNITS_PER_MICRON} ;\n"
    yield f"DIEAREA ( 0 0 ) ( {width} {height} ) ;\n"
    yield from _tracks(scheme, shape)
    yield "COMPONENTS 1 ;\n"
    yield f"- {ARRAY} {macro_name(scheme, shape)} + FIXED ( 0 0 ) N ;\n"
    yield "END COMPONENTS\n"
    found = {net.driver: net for net in nets(scheme, digits)}
    supplies = {label: found.pop(label, Net(label)) for label in SUPPLIES}
    ends: dict[str, list[Trunk]] = {}
    for trunk in trunks(scheme, shape):
        if trunk.label in found or trunk.label in supplies:
            ends.setdefault(trunk.label, []).append(trunk)
    yield f"PINS {len(ends)} ;\n"
    for label, reaching in ends.items():
        yield from _pin(scheme, label, reaching, height)
    yield "END PINS\n"
    yield from _blockages(scheme, width, height)
    yield f"SPECIALNETS {len(supplies)} ;\n"
    for label, net in supplies.items():
        yield from _special(scheme, net, ends.get(label, []), height)
    yield "END SPECIALNETS\n"
    yield f"NETS {len(found)} ;\n"
    for net in found.values():
        yield from _net(scheme, net, edge=net.driver in ends)
    yield "END NETS\nEND DESIGN\n"


def _tracks(scheme: Scheme, shape: TileShape) -> Iterator[str]:
    names = layer_names(scheme.technology)
    for metal, (upright, across) in tracks(scheme, shape).items():
        for axis, runs in (("X", upright), ("Y", across)):
            for run in runs:
                repeat = f"DO {run.count} STEP {run.step}"
                yield f"TRACKS {axis} {run.start} {repeat} LAYER {names[metal]} ;\n"


def _pin(scheme: Scheme, label: str, reaching: Sequence[Trunk], height: int) -> Iterator[str]:
    """A pin with a port at each end of its trunks, as high as they are wide."""
    names = layer_names(scheme.technology)
    name, use = pin_identifier(label), SUPPLIES.get(label)
    direction = "INOUT" if use else "OUTPUT"
    special = " + SPECIAL" if use else ""
    yield f"- {name} + NET {name}{special} + DIRECTION {direction} + USE {use or 'SIGNAL'}\n"
    for trunk in reaching:
        half, layer = trunk.width // 2, names[trunk.metal.name]
        for y, low, high in ((0, 0, trunk.width), (height, -trunk.width, 0)):
            box = f"( {-half} {low} ) ( {half} {high} )"
            yield f"  + PORT + LAYER {layer} {box} + FIXED ( {trunk.x} {y} ) N\n"
    yield "  ;\n"


def _blockages(scheme: Scheme, width: int, height: int) -> Iterator[str]:
    names = [layer_names(scheme.technology)[layer.name] for layer in scheme.technology.layers]
    whole = f"RECT ( 0 0 ) ( {width} {height} )"
    yield f"BLOCKAGES {len(names) + 1} ;\n"
    yield f"- PLACEMENT {whole} ;\n"
    for name in names:
        yield f"- LAYER {name} {whole} ;\n"
    yield "END BLOCKAGES\n"


def _special(
    scheme: Scheme, net: Net, reaching: Sequence[Trunk], height: int
) -> Iterator[str]:  # fmt: skip
    """A supply: its trunks from edge to edge, and what ties sinks to them."""
    t, names, name = scheme.technology, layer_names(scheme.technology), pin_identifier(net.driver)
    yield f"- {name}\n"
    yield from _wrapped([f"( PIN {name} )", *_terms(net)], _PINS_A_LINE)
    parts = [
        f"{names[trunk.metal.name]} {trunk.width} + SHAPE STRIPE ( {trunk.x} 0 ) ( {trunk.x} {height} )"
        for trunk in reaching
    ]
    parts += [f"{metal} 0 ( {x} {y} ) {via}" for metal, x, y, via in _vias(scheme, net)]
    stub, width = names[t.stub.name], wire_width(scheme)
    for x0, y0, x1, y1 in net.wires:
        y = (y0 + y1) // 2  # special wires end where they end
        parts.append(f"{stub} {width} ( {x0} {y} ) ( {x1} {y} )")
    yield from _wrapped(_routed(parts), _VIAS_A_LINE)
    yield f"  + USE {SUPPLIES[net.driver]} ;\n"


def _net(scheme: Scheme, net: Net, *, edge: bool) -> Iterator[str]:
    name = pin_identifier(net.driver)
    yield f"- {name}\n"
    yield from _wrapped([*([f"( PIN {name} )"] if edge else []), *_terms(net)], _PINS_A_LINE)
    stub, half = (
        layer_names(scheme.technology)[scheme.technology.stub.name],
        wire_width(scheme) // 2,
    )
    parts = [f"{metal} ( {x} {y} ) {via}" for metal, x, y, via in _vias(scheme, net)]
    for x0, y0, x1, y1 in net.wires:
        y = (y0 + y1) // 2  # DEF's wires reach on by half their width
        parts.append(f"{stub} ( {x0 + half} {y} ) ( {x1 - half} {y} )")
    yield from _wrapped(_routed(parts), _VIAS_A_LINE)
    yield "  + USE SIGNAL ;\n"


def _terms(net: Net) -> list[str]:
    return [f"( {ARRAY} {pin_identifier(pin)} )" for pin in (net.driver, *net.sinks)]


def _vias(scheme: Scheme, net: Net) -> Iterator[tuple[str, int, int, str]]:
    """Of each via the outer metal, its centre and its name."""
    t, names = scheme.technology, layer_names(scheme.technology)
    outer = {
        level: (names[metal.name], via_name(t, cut))
        for level, metal, cut in ((LOWER, t.lower, t.lower_cut), (1 - LOWER, t.upper, t.upper_cut))
    }
    for level, x, y in net.vias:
        metal, via = outer[level]
        yield metal, x, y, via


def _routed(parts: Sequence[str]) -> list[str]:
    return [f"{'NEW' if n else '+ FIXED'} {part}" for n, part in enumerate(parts)]


def _wrapped(words: Sequence[str], a_line: int) -> Iterator[str]:
    for n in range(0, len(words), a_line):
        yield f"  {' '.join(words[n : n + a_line])}\n"
