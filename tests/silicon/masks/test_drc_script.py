"""The DRC script beside the masks, run by KLayout's own program without any argument."""

from __future__ import annotations

import os
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import klayout.db as db
import pytest
from builds import Builds
from resealed import problems

from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.masks import open_workers, write_masks
from hnlpu.silicon.place import find_tiles

KLAYOUT = shutil.which("klayout")
needs_klayout = pytest.mark.skipif(KLAYOUT is None, reason="no klayout: apt-get install klayout")
SECONDS = 120


def write(build: Build, out: Path, *, base: bool = True, gds: bool = False) -> Path:
    tiles = find_tiles(build.manifest.placement, build.manifest.technology.array, [0], ["*router*"])
    write_masks(
        build, out, tiles, ["gds" if gds else "oasis"], open_workers(1), with_base=base
    )  # fmt: skip
    return out


def run(script: Path, where: Path) -> tuple[int, dict[str, int], str]:
    """Exit code, violations by rule (the last line's word for all), and what was printed."""
    done = subprocess.run(
        [str(KLAYOUT), "-b", "-r", str(script)], cwd=where, capture_output=True, text=True,
        timeout=SECONDS, check=False, env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
    )  # fmt: skip
    count = script.with_name(f"{script.stem}.drc.count")
    lines = count.read_text().splitlines() if count.exists() else []
    found = {rule: int(n) for n, rule in (line.split(" ", 1) for line in lines)}
    return done.returncode, found, done.stdout + done.stderr


def alter(folder: Path, layer: tuple[int, int], box: db.Box, cell: str = "base-") -> None:
    """Add a shape to the cells of that name."""
    path = folder / "chip-00.oas"
    layout = db.Layout()
    layout.read(str(path))
    index = layout.find_layer(*layer)
    for each in layout.each_cell():
        if each.name.startswith(cell):
            each.shapes(index).insert(box)
    layout.write(str(path))


@needs_klayout
@pytest.mark.parametrize("gds", [False, True])
@pytest.mark.parametrize("name", ["taps", "taps in sky130", "taps in asap7", "regions"])
def test_a_tile_is_clean(name: str, gds: bool, builds: Builds, tmp_path: Path) -> None:
    build = builds(name)
    folder = write(build, tmp_path / "a b/m", gds=gds)
    code, found, said = run(folder / "chip-00.drc", tmp_path)
    assert (code, found.pop("violations")) == (0, 0), said
    t = build.manifest.technology
    for layer in t.layers:
        assert {f"{layer.name} grid", f"{layer.name} space"} <= found.keys()
    assert f"{t.upper_cut.name} end enclosure by {t.stub.name}" in found
    assert not any(found.values())
    report = ET.parse(folder / "chip-00.drc.lyrdb").getroot()
    assert report.findall("items/item") == []
    if not gds:
        assert problems(build, folder) == "", "what the script writes is no stranger"


TINY = db.Box(-9000, -9000, -8990, -8990)


@needs_klayout
@pytest.mark.parametrize(
    ("name", "layer", "box", "broken"),
    [
        ("taps in sky130", (70, 20), TINY, {"met3 width", "met3 length"}),
        ("taps in sky130", (70, 20), db.Box(-9002, 0, -8002, 300), {"met3 grid"}),
        ("taps in sky130", (70, 44), db.Box(-9000, 0, -8800, 200), {"via3 enclosure by met3"}),
        ("taps in sky130", (69, 44), db.Box(-9000, 0, -8800, 300), {"via2 size"}),
        ("taps", (100, 0), db.Box(-200, 0, -140, 800), set()),
        ("taps", (100, 0), db.Box(-200, 0, -150, 800), {"M10 width"}),
        ("taps", (80, 0), db.Box(-100, 0, 20, 90), {"M8 space"}),
        ("taps in asap7", (70, 0), db.Box(-9000, 0, -8968, 800), {"M7 track"}),
        ("taps in asap7", (50, 0), db.Box(-4800, -84, -4776, -35), set()),
        ("regions", (90, 1), db.Box(-900, 0, -880, 100), {"M9 width"}),
    ],
)
def test_what_breaks_a_rule_is_found(
    name: str, layer: tuple[int, int], box: db.Box, broken: set[str], builds: Builds, tmp_path: Path
) -> None:
    folder = write(builds(name), tmp_path / "m")
    alter(folder, layer, box, "model." if layer[1] == 1 else "base-")
    code, found, said = run(folder / "chip-00.drc", folder)
    total = found.pop("violations")
    assert code == (1 if broken else 0), said
    assert broken <= {rule for rule, count in found.items() if count}, found
    assert total == sum(found.values())
    report = ET.parse(folder / "chip-00.drc.lyrdb").getroot()
    assert len(report.findall("items/item")) == total
    assert f"{total} violations" in said


@needs_klayout
def test_two_ends_that_face_each_other_are_too_near(builds: Builds, tmp_path: Path) -> None:
    """M5 of ASAP7: 24 nm beside each other, 40 nm end to end."""
    folder = write(builds("taps in asap7"), tmp_path / "m")
    alter(folder, (50, 0), db.Box(-4800, 0, -4776, 100))
    alter(folder, (50, 0), db.Box(-4800, 130, -4776, 230))
    code, found, _ = run(folder / "chip-00.drc", folder)
    assert code == 1
    assert {rule for rule, count in found.items() if count} == {"M5 end space", "violations"}


@needs_klayout
@pytest.mark.parametrize("name", ["taps in sky130", "regions"])
def test_without_the_base_it_says_what_it_cannot_check(
    name: str, builds: Builds, tmp_path: Path
) -> None:
    folder = write(builds(name), tmp_path / "m", base=False)
    code, found, said = run(folder / "chip-00.drc", folder)
    assert (code, found["violations"]) == (0, 0), said
    assert "no fixed layers: enclosures by their metal are not checked" in said
    assert any("space" in rule for rule in found)


def test_every_chip_has_its_script(builds: Builds, tmp_path: Path) -> None:
    build = builds("taps on 4 chips")
    tiles = find_tiles(build.manifest.placement, build.manifest.technology.array, (), ["*router*"])
    record = write_masks(build, tmp_path / "m", tiles, ["oasis", "gds"], open_workers(1))
    scripts = sorted(name for name in record.files if name.endswith(".drc"))
    assert scripts == [f"chip-{chip:02d}.drc" for chip in sorted(record.tiles)]
    for name in scripts:
        assert f'"{name.removesuffix(".drc")}.oas"' in (tmp_path / "m" / name).read_text()
