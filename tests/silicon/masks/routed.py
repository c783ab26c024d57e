"""A stub design about one tile, routed by qrouter from our LEF, and the metal of what it wrote.

            n2   n5
  .---------|----|------.
  |         |    |      |
n1---.   .------------. |       pins at the edges of the die, each to a trunk of a tile
  |  '---|    tile    | |       in the middle of it
  |      '------------' |
  '--|------------------'
     n0
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import klayout.db as db
import numpy as np
from lefdef import write_lef

from hnlpu.silicon.embed import Label, Layout, Scheme, TileShape
from hnlpu.silicon.masks._lef import macro_name
from hnlpu.silicon.masks._lef_technology import (
    UNITS_PER_MICRON,
    VERSION,
    default_width,
    routing_pitch,
)
from hnlpu.silicon.masks._names import pin_identifier
from hnlpu.silicon.masks._trunks import Trunk, trunks
from hnlpu.silicon.technology import FIXED, PIN, Metal

MARGIN, EDGE = 35, 8  # tracks from the edge of the die to the tile, and to pins
SCRIPT = """
read_lef tile.tech.lef
read_lef tile.lef
layers 3
read_def stub.def
set failed [stage1 mask none]
if {$failed} { set failed [stage2 mask none] }
puts "unrouted: $failed of [lindex [failing summary] 1]"
write_def routed.def
quit
"""


@dataclass(frozen=True)
class Stub:
    """A tile at `at` (nm) and its nets: the label of the trunk that each leads to."""

    scheme: Scheme
    shape: TileShape
    at: tuple[int, int]
    nets: dict[str, str]
    text: str


def stub_of(scheme: Scheme, shape: TileShape, nets: int = 8) -> Stub:
    """A design whose nets lead to trunks that lie on tracks of the router."""
    t, grid = scheme.technology, _Grid(scheme, shape)
    reached = grid.reached(grid.at[0])
    nets = min(nets, len(reached))
    chosen = [reached[n * len(reached) // nets] for n in range(nets)]
    pins, entries, labels = [], [], {}
    for n, trunk in enumerate(chosen):
        name = f"n{n}"
        metal, x, y = [
            (t.lower, grid.x(5 + 7 * n), grid.y(EDGE)),
            (t.stub, grid.x(EDGE), grid.y(EDGE + 3 * n)),
            (t.lower, grid.x(grid.columns - EDGE - 7 * n), grid.y(grid.rows - EDGE)),
        ][n % 3]
        half = default_width(scheme, metal) // 2
        ends = half + round(metal.length.value)
        box = f"( {-ends} {-half} ) ( {ends} {half} )"
        if metal is t.lower:
            box = f"( {-half} {-ends} ) ( {half} {ends} )"
        pins.append(
            f"- {name} + NET {name} + DIRECTION INPUT + USE SIGNAL "
            f"+ LAYER {metal.name} {box} + FIXED ( {x} {y} ) N ;"
        )
        term = f"( tile {pin_identifier(trunk.label)} )"
        entries.append(f"- {name}\n  ( PIN {name} ) {term}\n  + USE SIGNAL\n  ;")
        labels[name] = trunk.label
    lines = [
        f"VERSION {VERSION} ;", 'DIVIDERCHAR "/" ;', 'BUSBITCHARS "[]" ;', "DESIGN stub ;",
        f"UNITS DISTANCE MICRONS {UNITS_PER_MICRON} ;",
        f"DIEAREA ( 0 0 ) ( {grid.columns * grid.dx} {grid.rows * grid.dy} ) ;",
        *(f"TRACKS X {grid.x(0)} DO {grid.columns} STEP {grid.dx} LAYER {metal.name} ;"
          for metal in (t.lower, t.upper)),
        f"TRACKS Y {grid.y(0)} DO {grid.rows} STEP {grid.dy} LAYER {t.stub.name} ;",
        f"COMPONENTS 1 ;\n- tile {macro_name(scheme, shape)} + FIXED ( {grid.at[0]} {grid.at[1]} ) N ;",
        "END COMPONENTS", f"PINS {len(pins)} ;", *pins, "END PINS",
        f"NETS {len(entries)} ;", *entries, "END NETS", "END DESIGN", "",
    ]  # fmt: skip
    return Stub(scheme, shape, grid.at, labels, "\n".join(lines))


class _Grid:
    """The router's tracks, of one pitch upright and of one across, and where the tile stands."""

    def __init__(self, scheme: Scheme, shape: TileShape):
        t, (width, height) = scheme.technology, scheme.size_nm(shape)
        self.dx = min(routing_pitch(scheme, metal) for metal in (t.lower, t.upper))
        self.dy = routing_pitch(scheme, t.stub)
        self.columns, self.rows = width // self.dx + 2 * MARGIN, height // self.dy + 2 * MARGIN
        found = [trunk for trunk in trunks(scheme, shape) if trunk.label not in ("GND", "PWR")]
        # of the lowest metal that has any: qrouter leaves gaps before ends of wires above
        lowest = t.lower if any(trunk.metal is t.lower for trunk in found) else t.upper
        self._trunks = [trunk for trunk in found if trunk.metal is lowest]
        # where most trunks lie on tracks; their ends are half way between two
        places = range(MARGIN * self.dx, (MARGIN + 1) * self.dx, round(t.grid.value))
        self.at = max(places, key=lambda x: len(self.reached(x))), MARGIN * self.dy

    def x(self, n: int) -> int:
        return self.dx // 2 + n * self.dx

    def y(self, n: int) -> int:
        return self.dy // 2 + n * self.dy

    def reached(self, at: int) -> list[Trunk]:
        """Trunks whose middle is a track, for a tile at x."""
        return [trunk for trunk in self._trunks if (trunk.x + at) % self.dx == self.dx // 2]


def route(stub: Stub, folder: Path) -> tuple[str, Path]:
    """What qrouter says of a design, and the DEF file that it writes."""
    _, macro = write_lef(folder, stub.scheme, stub.shape)
    # of several ports of a pin qrouter keeps the last, and would route over the others
    macro.write_text(macro.read_text().replace("    END\n    PORT\n", ""))
    (folder / "stub.def").write_text(stub.text)
    (folder / "go.tcl").write_text(SCRIPT)
    done = subprocess.run(
        ["qrouter", "-nog", "-s", "go.tcl"], cwd=folder, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return done.stdout + done.stderr, folder / "routed.def"


def routed_regions(stub: Stub, folder: Path) -> dict[str, db.Region]:
    """The metal of the routes and of the design's own pins by layer, in nm, as KLayout reads it."""
    options = db.LoadLayoutOptions()
    config = options.lefdef_config
    config.read_lef_with_def = False
    config.lef_files = [str(folder / "tile.tech.lef"), str(folder / "tile.lef")]
    options.lefdef_config = config
    layout = db.Layout()
    layout.read(str(folder / "routed.def"), options)
    top, found = layout.top_cell(), {}
    for index in layout.layer_indexes():
        name = layout.get_info(index).name
        routes = db.Region(top.begin_shapes_rec(index))
        pins = db.Region(top.shapes(index))  # without the macro's
        for layer in stub.scheme.technology.layers:
            if name in (layer.name, f"{layer.name}.PIN"):
                here = routes if name == layer.name else pins
                found[layer.name] = (found.get(layer.name, db.Region()) + here).merged()
    return found


def tile_layout(stub: Stub) -> Layout:
    """The tile's fixed metal where it stands, with its labels."""
    x, y = stub.at
    base = stub.scheme.base(stub.shape)
    moved = {layer: boxes + np.int32([x, y, x, y]) for layer, boxes in base.flat().items()}
    return Layout(
        rectangles=moved,
        labels=[label._replace(x=label.x + x, y=label.y + y) for label in base.labels],
    )


def routes_layout(stub: Stub, routes: dict[str, db.Region]) -> Layout:
    """Routes as rectangles, with the names of nets at the design's pins."""
    t = stub.scheme.technology
    layers = {layer.name: layer for layer in t.layers}
    rectangles = {
        (layers[name].gds_layer, FIXED): boxes_of(region) for name, region in routes.items()
    }
    labels = []
    for words in (line.split() for line in stub.text.splitlines()):
        if words[:1] == ["-"] and "+ NET" in " ".join(words):
            metal = layers[words[words.index("LAYER") + 1]]
            assert isinstance(metal, Metal)
            x, y = (int(word) for word in words[-5:-3])
            labels.append(Label((metal.gds_layer, PIN), words[1], x, y))
    return Layout(rectangles=rectangles, labels=labels)


def boxes_of(region: db.Region) -> np.ndarray:
    """int32 [n, 4]: a region of right angles in rectangles."""
    parts = [part.bbox() for part in region.decompose_trapezoids_to_region().each()]
    assert sum(box.area() for box in parts) == region.area()
    return np.int32([(box.left, box.bottom, box.right, box.top) for box in parts]).reshape(-1, 4)
