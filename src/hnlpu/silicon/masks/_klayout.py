"""KLayout as the independent judge: a layout -> violated rules, and -> the names on every net.

Nothing here knows of trunks, stubs or sites: it hands rectangles, rules and pin labels to KLayout's
own DRC operations (on `Region`) and its `LayoutToNetlist`.

    width, space        on all sides; corner to corner by Euclid; notches count as space
    end space           between edges that end wires, where the process tells them apart
    length              of a wire, along its longer side
    track               a wire stands on the tracks of its metal
    size, space         of cuts: one on another is a cut of wrong size
    enclosure           on all sides; end enclosure on two opposite ones; by both metals
    grid                of every corner

The metal below the lowest cut belongs to the silicon and is not drawn: its enclosure is not judged.
"""

from __future__ import annotations

import importlib
import itertools
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from hnlpu.errors import ToolMissing
from hnlpu.silicon.embed import Layout
from hnlpu.silicon.technology import PIN, Metal, Technology, ViaLayer

if TYPE_CHECKING:
    import klayout.db as db

Regions: TypeAlias = "dict[int, db.Region]"
"""Merged shapes by GDS layer."""
VIOLATIONS_KEPT = 1000
LEAST = 0, 29
"""Version of KLayout."""
NM = 0.001  # a database unit, in um


@dataclass(frozen=True)
class Violation:
    """A rule that a layout breaks: its layer, and a box in nm around the place."""

    layer: str
    rule: str
    box: tuple[int, int, int, int]

    def __str__(self) -> str:
        x0, y0, x1, y1 = self.box
        return f"{self.layer} {self.rule} at ({(x0 + x1) // 2}, {(y0 + y1) // 2}) nm"


@dataclass(frozen=True)
class NamedNets:
    """Names of pins on every net that has any; names without metal; nets without a name."""

    nets: list[frozenset[str]]
    bare: list[str]
    unnamed: int


def klayout() -> Any:
    """The module `klayout.db`; raises ToolMissing where it is not installed, or too old."""
    try:
        found = importlib.import_module("klayout.db")
    except ImportError as error:
        raise ToolMissing(
            f"KLayout's Python module is missing ({error}): pip install klayout"
        ) from None
    version = str(getattr(sys.modules.get("klayout"), "__version__", ""))
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is not None and (int(numbers[1]), int(numbers[2])) < LEAST:
        raise ToolMissing(
            f"KLayout's Python module at {found.__file__} is {version}, and "
            f"{'.'.join(map(str, LEAST))} is the least: pip install --upgrade klayout"
        )
    return found


# -- geometry --------------------------------------------------------------------------------


def to_regions(layout: Layout) -> Regions:
    """Shapes of a cell by GDS layer, fixed and programmable together, merged; units are nm."""
    kdb = klayout()
    held = kdb.Layout()
    held.dbu = NM
    top = held.create_cell("TOP")
    for n, grid in enumerate(layout.grids):
        cell = held.create_cell(f"grid{n}")
        cell.shapes(held.layer(grid.layer[0], 0)).insert(
            kdb.Box(grid.x0, grid.y0, grid.x1, grid.y1)
        )
        steps = kdb.Vector(grid.dx, 0), kdb.Vector(0, grid.dy)
        top.insert(
            kdb.CellInstArray(cell.cell_index(), kdb.Trans(), *steps, grid.columns, grid.rows)
        )
    for (layer, datatype), rectangles in layout.rectangles.items():
        if datatype != PIN:
            shapes = top.shapes(held.layer(layer, 0))
            for x0, y0, x1, y1 in rectangles.tolist():
                shapes.insert(kdb.Box(x0, y0, x1, y1))
    regions = {}
    for index in held.layer_indexes():
        region = kdb.Region(top.begin_shapes_rec(index))
        region.merge()
        regions[held.get_info(index).layer] = region
    return regions


def joined_regions(parts: Sequence[Regions]) -> Regions:
    """The shapes of several cells on one another, merged."""
    found: dict[int, Any] = {}
    for part in parts:
        for layer, region in part.items():
            found.setdefault(layer, klayout().Region()).insert(region)
    return {layer: region.merged() for layer, region in found.items()}


def joined_nets(technology: Technology, parts: Sequence[Regions]) -> Iterator[tuple[int, int, str]]:
    """Pairs of cells with shapes that hang together, and the layer where: touching or overlapping.

    A metal hangs together with itself and with the cuts below and above it.
    """
    t, none = technology, klayout().Region()
    hanging = (
        (t.lower, (t.lower, t.lower_cut)),
        (t.stub, (t.lower_cut, t.stub, t.upper_cut)),
        (t.upper, (t.upper_cut, t.upper)),
    )
    for a, b in itertools.permutations(range(len(parts)), 2):
        for metal, layers in hanging:
            own = parts[a].get(metal.gds_layer, none)
            for layer in layers:
                other = parts[b].get(layer.gds_layer, none)
                # where all of one is apart from all of the other there is nothing to look at
                if own.bbox().touches(other.bbox()) and own.interacting(other).count():
                    yield a, b, metal.name


def check_rules(
    technology: Technology, drawn: Layout | Regions, *, on_die: bool = False
) -> list[Violation]:
    """Every rule of the technology that the shapes of a cell break.

    Tracks across count from the lowest wire of a cell; where the shapes are `on_die`, from its edge.
    """
    regions = to_regions(drawn) if isinstance(drawn, Layout) else drawn
    checks = _Checks(technology, regions, on_die)
    return [violation for check in checks.all() for violation in check]


class _Checks:
    """KLayout's DRC operations, with the rules of a technology, on one cell."""

    def __init__(self, technology: Technology, regions: Regions, on_die: bool):
        self._kdb = klayout()
        self._on_die = on_die
        self._technology = technology
        self._regions = regions

    def all(self) -> Iterator[Iterator[Violation]]:
        t = self._technology
        known = {layer.gds_layer for layer in t.layers}
        foreign = {n: region for n, region in self._regions.items() if n not in known}
        yield (_violation(f"layer {n}", "unknown", region) for n, region in foreign.items())
        for metal, upright in ((t.lower, True), (t.stub, False), (t.upper, True)):
            yield self._metal(metal, upright)
        for cut in (t.port_cut, t.lower_cut, t.upper_cut):
            yield self._cut(cut)
        yield self._enclosure(t.port_cut, t.lower, below=False, upright=True)
        yield self._enclosure(t.lower_cut, t.lower, below=True, upright=True)
        yield self._enclosure(t.lower_cut, t.stub, below=False, upright=False)
        yield self._enclosure(t.upper_cut, t.stub, below=True, upright=False)
        yield self._enclosure(t.upper_cut, t.upper, below=False, upright=True)

    def _region(self, layer: Metal | ViaLayer) -> db.Region:
        found: db.Region | None = self._regions.get(layer.gds_layer)
        return self._kdb.Region() if found is None else found

    def _metal(self, metal: Metal, upright: bool) -> Iterator[Violation]:
        kdb, region = self._kdb, self._region(metal)
        step = round(self._technology.grid.value)
        yield from _found(metal, "grid", region.grid_check(step, step))
        width, space, length = (round(q.value) for q in (metal.width, metal.space, metal.length))
        yield from _found(metal, "width", region.width_check(width))
        yield from _found(metal, "space", region.space_check(space))
        yield from _found(metal, "length", region.with_bbox_max(None, length, False))
        if metal.end_space:
            pairs = region.space_check(round(metal.end_space.value))
            ends = (pair for pair in pairs.each() if _ends(pair, upright))
            yield from _found(metal, "end space", ends)
        if metal.track and not region.is_empty():
            tracks = _tracks(kdb, metal, region.bbox(), upright, self._on_die)
            yield from _found(metal, "track", region.not_inside(tracks))

    def _cut(self, cut: ViaLayer) -> Iterator[Violation]:
        region = self._region(cut)
        step = round(self._technology.grid.value)
        wide, high = cut.size_nm
        yield from _found(cut, "grid", region.grid_check(step, step))
        yield from _found(cut, "size", region.non_rectangles())
        yield from _found(cut, "size", region.with_bbox_width(wide, True))
        yield from _found(cut, "size", region.with_bbox_height(high, True))
        yield from _found(cut, "space", region.space_check(round(cut.space.value)))

    def _enclosure(
        self, cut: ViaLayer, metal: Metal, *, below: bool, upright: bool
    ) -> Iterator[Violation]:
        sides = round((cut.enclosure_below if below else cut.enclosure_above).value)
        ends = round((cut.end_enclosure_below if below else cut.end_enclosure_above).value)
        cuts, wires = self._region(cut), self._region(metal)
        # what has its ends along the wire is fine, and that is nearly all
        by = (sides, max(sides, ends)) if upright else (max(sides, ends), sides)
        cuts = _not_inside(cuts, wires, *by)
        rule = f"enclosure by {metal.name}"
        yield from _found(cut, rule, cuts.not_inside(wires))
        if sides:
            yield from _found(cut, rule, cuts.enclosed_check(wires, sides))
        if ends:
            short = _not_inside(cuts, wires, ends, 0) & _not_inside(cuts, wires, 0, ends)
            yield from _found(cut, f"end {rule}", short)


def _found(layer: Metal | ViaLayer, rule: str, markers: Iterable[Any] | Any) -> Iterator[Violation]:
    """Violations of a rule from the polygons or edge pairs that KLayout marks."""
    each = markers.each() if hasattr(markers, "each") else markers
    for n, marker in enumerate(each):
        if n == VIOLATIONS_KEPT:
            return
        yield _violation(layer.name, rule, marker)


def _violation(layer: str, rule: str, marker: Any) -> Violation:
    box = marker.bbox()
    return Violation(layer, rule, (box.left, box.bottom, box.right, box.top))


def _not_inside(cuts: db.Region, wires: db.Region, dx: int, dy: int) -> db.Region:
    """Cuts that, grown by dx and dy to both sides, are not inside of wires."""
    grown = cuts.sized(dx, dy, 2)
    grown.merged_semantics = False  # grown ones may touch
    outside = grown.not_inside(wires)
    outside.merged_semantics = False
    return outside.sized(-dx, -dy, 2)


def _ends(pair: db.EdgePair, upright: bool) -> bool:
    """Whether both edges end a wire: they lie across it."""
    return all((edge.dy() if upright else edge.dx()) == 0 for edge in (pair.first, pair.second))


def _tracks(kdb: Any, metal: Metal, box: db.Box, upright: bool, on_die: bool) -> db.Region:
    """Strips over `box` where wires may stand; those across from the lowest wire or the die's edge."""
    assert metal.track is not None
    step, width = round(metal.track.value), round(metal.width.value)
    if upright:
        start = box.left // step * step
        strips = [kdb.Box(x, box.bottom, x + width, box.top) for x in range(start, box.right, step)]
    else:
        start = box.bottom // step * step if on_die else box.bottom
        strips = [kdb.Box(box.left, y, box.right, y + width) for y in range(start, box.top, step)]
    region: db.Region = kdb.Region(strips)
    return region


# -- netlist ---------------------------------------------------------------------------------


def extract_netlist(technology: Technology, layout: Layout) -> NamedNets:
    """What hangs together by KLayout's extraction, told by the pin labels on it.

    A label stands on the metal of its layer at its point, or it is bare.
    """
    kdb, t = klayout(), technology
    regions = to_regions(layout)
    extraction = kdb.LayoutToNetlist("TOP", NM)
    extraction.threads = 1
    metals, cuts = (t.lower, t.stub, t.upper), (t.lower_cut, t.upper_cut)
    held = {layer.name: regions.get(layer.gds_layer, kdb.Region()) for layer in (*metals, *cuts)}
    for name, region in held.items():
        extraction.register(region, name)
        extraction.connect(region)
    for cut, below, above in zip(cuts, metals[:-1], metals[1:], strict=True):
        extraction.connect(held[below.name], held[cut.name])
        extraction.connect(held[cut.name], held[above.name])
    for metal in metals:
        texts = kdb.Texts()
        for label in layout.labels:
            if label.layer == (metal.gds_layer, PIN):
                texts.insert(kdb.Text(label.text, label.x, label.y))
        extraction.register(texts, f"{metal.name} pins")
        extraction.connect(held[metal.name], texts)
    extraction.extract_netlist()
    # a net's name is that of all labels on it
    nets, unnamed = [], 0
    for net in extraction.netlist().circuit_by_name("TOP").each_net():
        if net.name:
            nets.append(frozenset(net.name.split(",")))
        else:
            unnamed += 1
    on_metal = frozenset().union(*nets)
    bare = sorted({label.text for label in layout.labels} - on_metal)
    return NamedNets(nets, bare, unnamed)
