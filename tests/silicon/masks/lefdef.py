"""LEF and DEF of a tile in files, and what KLayout reads from them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import klayout.db as db
from layouts import KINDS, random_digits, regions, scheme_of

import regions_tiles
from hnlpu.silicon.embed import LayerKey, Layout, Scheme, TileDigits, TileShape
from hnlpu.silicon.masks._def import def_lines
from hnlpu.silicon.masks._lef import macro_lef_lines
from hnlpu.silicon.masks._lef_technology import technology_lef_lines
from hnlpu.silicon.technology import FIXED

SHAPE = TileShape(8, 2)
TILES = [
    *(("n5", kind) for kind in KINDS), ("sky130", "scales"), ("asap7", "bank"),
    ("n5", "regions"), ("sky130", "regions"),
]  # fmt: skip

READ = """
import sys
import klayout.db as db
options = db.LoadLayoutOptions()
config = options.lefdef_config
config.lef_files = sys.argv[2:]
config.read_lef_with_def = False
options.lefdef_config = config
layout = db.Layout()
layout.read(sys.argv[1], options)
layout.write(sys.argv[1] + ".oas")
"""


def tile_of(technology: str, kind: str) -> tuple[Scheme, TileDigits]:
    """A tile in a process; `kind` is of taps, or regions."""
    if kind == "regions":
        digits = regions_tiles.random_digits(4, 2, 2, seed=1)
        return regions_tiles.regions_for(digits, technology=technology), digits
    scheme = scheme_of(kind, technology)
    return scheme, random_digits(scheme, SHAPE)


def write_lef(folder: Path, scheme: Scheme, shape: TileShape) -> tuple[Path, Path]:
    """The technology's file and the macro's."""
    technology, macro = folder / "tile.tech.lef", folder / "tile.lef"
    with technology.open("w", encoding="ascii") as file:
        file.writelines(technology_lef_lines(scheme))
    with macro.open("w", encoding="ascii") as file:
        file.writelines(macro_lef_lines(scheme, shape))
    return technology, macro


def write(folder: Path, scheme: Scheme, digits: TileDigits) -> tuple[Path, Path, Path]:
    """The DEF of a tile, the technology's LEF and the macro's."""
    def_ = folder / "tile.def"
    with def_.open("w", encoding="ascii") as file:
        file.writelines(def_lines(scheme, digits, "model.layers.0/q-proj"))
    return def_, *write_lef(folder, scheme, TileShape(digits.rows, digits.blocks))


def read_by_klayout(def_: Path, *lef: Path) -> tuple[str, dict[str, db.Region], db.Layout]:
    """What KLayout said, the shapes by its layer names, and the layout."""
    command = [sys.executable, "-c", READ, str(def_), *map(str, lef)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    said = done.stdout + done.stderr
    layout = db.Layout()
    if done.returncode == 0:
        layout.read(f"{def_}.oas")
    shapes = {
        layout.get_info(index).name: db.Region(layout.top_cell().begin_shapes_rec(index))
        for index in layout.layer_indexes()
    }
    return said, shapes, layout


def by_key(
    scheme: Scheme, shapes: dict[str, db.Region], *suffixes: str
) -> dict[LayerKey, db.Region]:
    """Regions of KLayout's layers `name + suffix` under the keys of a fixed layer."""
    found: dict[LayerKey, db.Region] = {}
    for layer in scheme.technology.layers:
        key = layer.gds_layer, FIXED
        for suffix in suffixes:
            here = shapes.get(layer.name + suffix)
            if here is not None and here.count():
                found[key] = found.get(key, db.Region()) + here
    return found


def macro_metal(scheme: Scheme, shapes: dict[str, db.Region]) -> dict[LayerKey, db.Region]:
    """Pins and obstructions: the fixed metal."""
    return by_key(scheme, shapes, ".PIN", ".OBS")


def as_fixed(layout: Layout) -> dict[LayerKey, db.Region]:
    """Regions of a layout, whatever their datatype, under the keys of a fixed layer."""
    return {(layer, FIXED): region for (layer, _), region in regions(layout).items()}
