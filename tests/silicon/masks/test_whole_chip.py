"""KLayout's own netlist over whole chips: no net is in two tiles, unless somebody joins them."""

from __future__ import annotations

from pathlib import Path

import klayout.db as db
import numpy as np
import pytest
from builds import TARGETS, Builds
from resealed import cell, names_of, replace_cells

from hnlpu.silicon.embed import Layout
from hnlpu.silicon.masks import choose_layers, open_workers, write_masks
from hnlpu.silicon.masks._layers import LayerMap
from hnlpu.silicon.masks._oasis_bytes import layout_payload, placement_record
from hnlpu.silicon.masks._oasis_read import parse_cell
from hnlpu.silicon.masks._oasis_write import cell_record
from hnlpu.silicon.masks._whole_chip import judge_file
from hnlpu.silicon.place import chip_plan, find_tiles


@pytest.mark.parametrize("name", TARGETS)
def test_no_net_of_a_chip_is_in_two_tiles(name: str, builds: Builds, tmp_path: Path) -> None:
    build = builds(name)
    technology, placement = build.manifest.technology, build.manifest.placement
    tiles = [t for t in find_tiles(placement, technology.array, [0]) if "experts" not in t.matrix]
    layers = LayerMap(technology, choose_layers(technology, None))
    write_masks(
        build,
        tmp_path / "m",
        tiles,
        ["oasis"],
        open_workers(1),
        with_base=True,
        layers=layers.layers,
    )
    sound = judge_file(layers, tmp_path / "m" / "chip-00.oas")
    assert sound.nets > 1000
    assert (sound.joined, sound.violations) == (0, 0)
    at_borders = judge_file(layers, tmp_path / "m" / "chip-00.oas", borders_only=True)
    assert 0 < at_borders.nets < sound.nets
    assert (at_borders.joined, at_borders.violations) == (0, 0)
    # a bar of the lower metal from the first tile's trunks to those of the tile above or beside
    plan = chip_plan(placement, technology, 0)
    places = [at for at in plan.tiles if at.tile in tiles]
    a = places[0]
    b = min(
        (at for at in places if at.y > a.y + a.height and at.x < a.x + a.width),
        key=lambda at: at.y, default=None,
    ) or places[1]  # fmt: skip
    width = round(technology.lower.width.value)
    x0, y0 = max(a.x, b.x), a.y + a.height - width
    x1, y1 = max(x0 + 20 * width, b.x + 20 * width if b.y == a.y else 0), b.y + width
    bar = np.array([[x0, y0, x1, max(y1, y0 + width)]], np.int32)
    top = parse_cell(cell(tmp_path / "m", "chip-00"), "top", names_of(tmp_path / "m"))
    records = b"".join(
        placement_record(n, *at) for n, found in top.placements.items() for at in found.tolist()
    )
    on_lower = layers.key((technology.lower.gds_layer, 0))
    records += layout_payload(Layout(rectangles={on_lower: bar}))
    replace_cells(tmp_path / "m", {"chip-00": cell_record("chip-00", records)})
    assert db.Layout().read(str(tmp_path / "m" / "chip-00.oas"))
    shorted = judge_file(layers, tmp_path / "m" / "chip-00.oas")
    assert shorted.joined > 0
    at_borders = judge_file(layers, tmp_path / "m" / "chip-00.oas", borders_only=True)
    assert (at_borders.joined, at_borders.violations) == (shorted.joined, shorted.violations)
