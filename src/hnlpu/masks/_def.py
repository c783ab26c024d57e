"""Digits of a tile -> DEF: one neuron array, and the nets that programmable metal makes of it.

- x3_p2 ( array x3_p2 ) ( array p0_3 ) ...     a trunk and the ports of its weights
  + ROUTED M8 ( 3066 46 ) VIA8_tie ...         one via a weight
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hnlpu.embed import Scheme, TileDigits, TileShape
from hnlpu.masks._lef import UNITS_PER_MICRON, VERSION, macro_name, via_name
from hnlpu.masks._names import identifier, pin_identifier
from hnlpu.masks._net import LOWER, Net
from hnlpu.masks._nets import nets, wire_width

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
    yield "COMPONENTS 1 ;\n"
    yield f"- {ARRAY} {macro_name(scheme, shape)} + FIXED ( 0 0 ) N ;\n"
    yield "END COMPONENTS\n"
    yield f"NETS {sum(1 for _ in nets(scheme, digits))} ;\n"
    for net in nets(scheme, digits):
        yield from _net(scheme, net)
    yield "END NETS\nEND DESIGN\n"


def _net(scheme: Scheme, net: Net) -> Iterator[str]:
    yield f"- {pin_identifier(net.driver)}\n"
    pins = [f"( {ARRAY} {pin_identifier(pin)} )" for pin in (net.driver, *net.sinks)]
    yield from _wrapped(pins, _PINS_A_LINE)
    yield from _wrapped(_routing(scheme, net), _VIAS_A_LINE)
    use = {"GND": "GROUND", "PWR": "POWER"}.get(net.driver, "SIGNAL")
    yield f"  + USE {use} ;\n"


def _routing(scheme: Scheme, net: Net) -> list[str]:
    t = scheme.technology
    half = wire_width(scheme) // 2
    parts = []
    for level, x, y in net.vias:
        metal, cut = (t.lower, t.lower_cut) if level == LOWER else (t.upper, t.upper_cut)
        parts.append(f"{metal.name} ( {x} {y} ) {via_name(cut)}")
    for x0, y0, x1, y1 in net.wires:
        y = (y0 + y1) // 2  # DEF's wires reach on by half their width
        parts.append(f"{t.stub.name} ( {x0 + half} {y} ) ( {x1 - half} {y} )")
    return [f"{'NEW' if n else '+ ROUTED'} {part}" for n, part in enumerate(parts)]


def _wrapped(words: Sequence[str], a_line: int) -> Iterator[str]:
    for n in range(0, len(words), a_line):
        yield f"  {' '.join(words[n : n + a_line])}\n"
