"""Process -> technology LEF: what a router must know of the embedding's four metals.

    LAYER below                         the silicon and its metals: not routed here
    LAYER VIA7 M8 VIA8 M9 VIA9 M10      rules, resistance, load, antenna ratios of the technology
    VIA   VIA8_tie VIA9_tie             what the routing of a DEF places
    VIARULE VIA8_rule VIA9_rule         the same as a rule, for other sizes

What the technology has no figure for is left out.  (LEF/DEF 5.8 Language Reference.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hnlpu.quantities import Quantity
from hnlpu.silicon.embed import Scheme
from hnlpu.silicon.masks._names import identifier, identifiers
from hnlpu.silicon.masks._nets import wire_width
from hnlpu.silicon.technology import Metal, Technology, ViaLayer

VERSION = "5.8"
UNITS_PER_MICRON = 1000


class Shape(NamedTuple):
    """A rectangle on a layer, in nm."""

    layer: str
    box: Sequence[int]


def technology_file(technology: Technology) -> str:
    """The name of the technology's LEF file: no macro's has a dot."""
    return f"{identifier(technology.name)}.tech.lef"


def layer_names(technology: Technology) -> dict[str, str]:
    """The names of the technology's layers as LEF and DEF have them."""
    return identifiers(layer.name for layer in technology.layers)


def via_name(technology: Technology, cut: ViaLayer) -> str:
    """The name of the via of a cut layer."""
    return f"{layer_names(technology)[cut.name]}_tie"


def header_lines() -> Iterator[str]:
    """How any LEF file begins."""
    yield f"VERSION {VERSION} ;\n"
    yield 'BUSBITCHARS "[]" ;\n'
    yield 'DIVIDERCHAR "/" ;\n'


def technology_lef_lines(scheme: Scheme) -> Iterator[str]:
    """The whole file, line by line."""
    t = scheme.technology
    names = layer_names(t)
    yield from header_lines()
    yield (
        "UNITS\n  CAPACITANCE PICOFARADS 1 ;\n  RESISTANCE OHMS 1 ;\n"
        f"  DATABASE MICRONS {UNITS_PER_MICRON} ;\nEND UNITS\n"
    )
    yield f"MANUFACTURINGGRID {um(t.grid.value)} ;\n"
    if any(metal.track for metal in (t.lower, t.stub, t.upper)):
        yield "PROPERTYDEFINITIONS\n  LAYER LEF58_RIGHTWAYONGRIDONLY STRING ;\n"
        yield "END PROPERTYDEFINITIONS\n"
    below = "below"
    while below in names.values():
        below += "_"
    yield f"LAYER {below}\n  TYPE MASTERSLICE ;\nEND {below}\n"
    for layer in t.layers:
        yield f"LAYER {names[layer.name]}\n"
        yield from _metal(scheme, layer) if isinstance(layer, Metal) else _cut(layer)
        yield f"END {names[layer.name]}\n"
    for cut in (t.lower_cut, t.upper_cut):
        yield from _via(t, cut)
    for cut in (t.lower_cut, t.upper_cut):
        yield from _via_rule(t, cut)
    yield "END LIBRARY\n"


def default_width(scheme: Scheme, metal: Metal) -> int:
    """Width of routed wires: the stub layer's as the scheme draws it, else the least; nm."""
    drawn = wire_width(scheme) if metal is scheme.technology.stub else 0
    return round(max(drawn, metal.width.value))


def routing_pitch(scheme: Scheme, metal: Metal) -> int:
    """From wire to wire, so that one may have a via where the other passes; nm, half of it on grid.

    On a metal that has tracks, the pitch of these.
    """
    if metal.track:
        return round(metal.track.value)
    t = scheme.technology
    width = default_width(scheme, metal)
    name = layer_names(t)[metal.name]
    for cut in (t.lower_cut, t.upper_cut):
        for shape in via_shapes(t, cut):
            if shape.layer == name:
                x0, y0, x1, y1 = shape.box
                width = max(width, y1 - y0 if metal is t.stub else x1 - x0)
    step = 2 * t.grid.value
    apart = (default_width(scheme, metal) + width) / 2 + metal.space.value
    return round(math.ceil(apart / step - 1e-9) * step)


def _metal(scheme: Scheme, metal: Metal) -> Iterator[str]:
    grid, width = scheme.technology.grid.value, default_width(scheme, metal)
    pitch = routing_pitch(scheme, metal)
    upright = metal is not scheme.technology.stub
    yield "  TYPE ROUTING ;\n"
    yield f"  DIRECTION {'VERTICAL' if upright else 'HORIZONTAL'} ;\n"
    yield f"  PITCH {um(pitch)} ;\n"
    # edges of wires stand at multiples of a track
    yield f"  OFFSET {um(metal.width.value / 2 if metal.track else pitch / 2)} ;\n"
    yield f"  WIDTH {um(width)} ;\n"
    yield f"  MINWIDTH {um(metal.width.value)} ;\n"
    yield f"  SPACING {um(metal.space.value)} ;\n"
    if metal.end_space:
        # of edges no longer than a wire is wide
        end = f"ENDOFLINE {um(width + grid)} WITHIN 0.000"
        yield f"  SPACING {um(metal.end_space.value)} {end} ;\n"
    yield f"  AREA {metal.width.value * metal.length.value * 1e-6:.6g} ;\n"
    if metal.track:
        yield '  PROPERTY LEF58_RIGHTWAYONGRIDONLY "RIGHTWAYONGRIDONLY ;" ;\n'
    yield from _electrical(metal)


def _electrical(metal: Metal) -> Iterator[str]:
    """Load, resistance, antenna ratio: in pF, ohm, um."""
    width_um, load = metal.width.value * 1e-3, metal.capacitance.value * 1e-3
    if metal.thickness:
        yield f"  THICKNESS {metal.thickness.value:g} ;\n"
    if metal.sheet_resistance:
        yield f"  RESISTANCE RPERSQ {metal.sheet_resistance.value:g} ;\n"
    # a wire of least width has the load that the technology says: its edges what its face has not
    if metal.area_capacitance:
        face = metal.area_capacitance.value * 1e-3
        yield f"  CAPACITANCE CPERSQDIST {face:.6g} ;\n"
        yield f"  EDGECAPACITANCE {(load - face * width_um) / 2:.6g} ;\n"
    else:
        yield f"  CAPACITANCE CPERSQDIST {load / width_um:.6g} ;\n"
    if metal.antenna_ratio:
        yield "  ANTENNAMODEL OXIDE1 ;\n"
        yield f"  ANTENNASIDEAREARATIO {metal.antenna_ratio.value:g} ;\n"
        yield f"  ANTENNADIFFSIDEAREARATIO {metal.antenna_ratio.value:g} ;\n"


def _cut(cut: ViaLayer) -> Iterator[str]:
    yield "  TYPE CUT ;\n"
    yield f"  SPACING {um(cut.space.value)} ;\n"
    yield f"  WIDTH {um(cut.size.value)} ;\n"
    below = cut.enclosure_below.value, cut.end_enclosure_below.value
    above = cut.enclosure_above.value, cut.end_enclosure_above.value
    yield f"  ENCLOSURE BELOW {um(below[0])} {um(below[1])} ;\n"
    yield f"  ENCLOSURE ABOVE {um(above[0])} {um(above[1])} ;\n"
    yield from _cut_resistance(cut)
    if cut.antenna_ratio:
        yield "  ANTENNAMODEL OXIDE1 ;\n"
        yield f"  ANTENNAAREARATIO {cut.antenna_ratio.value:g} ;\n"
        yield f"  ANTENNADIFFAREARATIO {cut.antenna_ratio.value:g} ;\n"


def _cut_resistance(cut: ViaLayer) -> Iterator[str]:
    if cut.resistance:
        yield f"  RESISTANCE {cut.resistance.value:g} ;\n"


def via_shapes(technology: Technology, cut: ViaLayer) -> list[Shape]:
    """A via about its centre: the cut, and the least metal that it needs below and above; nm."""
    t, names = technology, layer_names(technology)
    low, high = (t.lower, t.stub) if cut is t.lower_cut else (t.stub, t.upper)
    (below_x, below_y), (above_x, above_y) = _overhangs(t, cut)
    width, height = cut.size_nm
    x0, y0 = -(width // 2), -(height // 2)

    def grown(x: int, y: int) -> list[int]:
        return [x0 - x, y0 - y, x0 + width + x, y0 + height + y]

    return [
        Shape(names[low.name], grown(below_x, below_y)),
        Shape(names[cut.name], grown(0, 0)),
        Shape(names[high.name], grown(above_x, above_y)),
    ]


def _overhangs(technology: Technology, cut: ViaLayer) -> tuple[tuple[int, int], tuple[int, int]]:
    """What the metal below and above reach beyond a cut along x and y, no narrower than a wire."""
    t, (width, height) = technology, cut.size_nm
    low, high = (t.lower, t.stub) if cut is t.lower_cut else (t.stub, t.upper)

    def of(metal: Metal, beside: Quantity, along: Quantity) -> tuple[int, int]:
        across = height if metal is t.stub else width  # the stubs' metal lies across
        grid = t.grid.value
        missing = math.ceil((metal.width.value - across) / 2 / grid - 1e-9) * grid
        sides, ends = round(max(beside.value, missing)), round(max(beside.value, along.value))
        return (ends, sides) if metal is t.stub else (sides, ends)

    return (
        of(low, cut.enclosure_below, cut.end_enclosure_below),
        of(high, cut.enclosure_above, cut.end_enclosure_above),
    )


def _via(technology: Technology, cut: ViaLayer) -> Iterator[str]:
    name = via_name(technology, cut)
    yield f"VIA {name} DEFAULT\n"
    yield from _cut_resistance(cut)
    for shape in via_shapes(technology, cut):
        yield f"  LAYER {shape.layer} ;\n    RECT {um_box(shape.box)} ;\n"
    yield f"END {name}\n"


def _via_rule(technology: Technology, cut: ViaLayer) -> Iterator[str]:
    """How to make arrays of the same cuts."""
    below, middle, above = via_shapes(technology, cut)
    name = f"{middle.layer}_rule"
    yield f"VIARULE {name} GENERATE\n"
    for shape, (x, y) in zip((below, above), _overhangs(technology, cut), strict=True):
        yield f"  LAYER {shape.layer} ;\n    ENCLOSURE {um(x)} {um(y)} ;\n"
    width, height = cut.size_nm
    steps = um(width + cut.space.value), um(height + cut.space.value)
    yield f"  LAYER {middle.layer} ;\n    RECT {um_box(middle.box)} ;\n"
    yield f"    SPACING {steps[0]} BY {steps[1]} ;\n"
    if cut.resistance:
        yield f"    RESISTANCE {cut.resistance.value:g} ;\n"
    yield f"END {name}\n"


def um(nm: float) -> str:
    """A length as LEF has it."""
    return f"{nm / 1000:.3f}"


def um_box(box: Sequence[int]) -> str:
    """A rectangle as LEF has it."""
    return " ".join(map(um, box))
