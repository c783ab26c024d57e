"""How fast are a model's masks drawn, written, read back and extracted; one thread.

    digits ──► via maps                              of synthetic tiles and of the bundled model
       └─────► OASIS, raw and packed ──► a file ──► the bulk check: bytes to codes to integers
                                                └─► the extractor: shapes to nets to integers

python benchmarks/masks.py                      the tables of docs/masks-speed.md
python benchmarks/masks.py --product            the commands: from a build to files and a verdict
python benchmarks/masks.py --formats            bytes a digit by format
python benchmarks/masks.py --chip 7.3           a whole chip of random tiles, written and checked
python benchmarks/masks.py --chip 7.3 --seconds 300 --folder F    stops after five minutes; the same
                                                command goes on where it stopped

Times are processor time of this process, which other work on the machine changes little; wall time
stands beside it.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hnlpu.silicon.embed import (
    ArrayKind,
    Regions,
    Scheme,
    Taps,
    TileDigits,
    TileShape,
    open_scheme,
    tracks_needed,
)
from hnlpu.silicon.hardwire import build, open_build
from hnlpu.silicon.masks import TileSource
from hnlpu.silicon.masks._cells import (
    base_name,
    base_payload,
    read_tile,
    shared_cells,
    tile_payload,
)
from hnlpu.silicon.masks._decode import decode_taps
from hnlpu.silicon.masks._def import def_lines
from hnlpu.silicon.masks._extract import Base
from hnlpu.silicon.masks._gds import gds_cell
from hnlpu.silicon.masks._oasis_cell import LayoutCell
from hnlpu.silicon.masks._oasis_read import parse_cell
from hnlpu.silicon.masks._oasis_write import cell_record
from hnlpu.silicon.masks._schemes import MASK_SCHEMES
from hnlpu.silicon.masks._tcl import tcl_lines
from hnlpu.silicon.masks._via_map import npy_bytes, via_sites
from hnlpu.silicon.place import find_tiles
from hnlpu.silicon.technology import load_technology
from masks_chip import add_chip_options, chip_run, show_chip
from masks_product import product_rows, show_product
from regions import RANGES, digits_of

BUNDLED = Path(__file__).parent.parent / "checkpoints" / "stdlib-8m"
SHAPE = TileShape(256, 32)  # of the technology's tiles
FLOORS = {
    "via maps": 1e9, "OASIS, raw": 100e6, "OASIS, packed": 25e6, "bulk check": 80e6,
    "extractor": 3e6, "regions routed": 20e6,
}  # fmt: skip
BYTES_FLOOR = 0.85
PEER_DIGITS = 2**17  # what slow formats are measured on


@dataclass(frozen=True)
class Subject:
    """Tiles that are measured together."""

    name: str
    tiles: Sequence[tuple[Scheme, TileDigits]]

    @property
    def digits(self) -> int:
        """Digits in all tiles."""
        return sum(digits.weights for _, digits in self.tiles)


@dataclass(frozen=True)
class Speed:
    """Digits a second of processor time and of wall time: medians."""

    step: str
    processor: float
    wall: float


def synthetic() -> Iterator[Subject]:
    """A tile of each of five distributions of weights, in banks of eight experts."""
    technology = load_technology("n5")
    for name, scale_range in RANGES.items():
        scheme = Taps(technology, ArrayKind("taps", 1, 8, scale_range))
        digits = digits_of(name, SHAPE.rows, SHAPE.blocks * 32, scale_range)
        yield Subject(name, [(scheme, digits)])


def bundled(folder: Path) -> Subject:
    """Every tile of the bundled model."""
    build(BUNDLED, folder / "build")
    opened = open_build(folder / "build")
    manifest, source = opened.manifest, TileSource(opened)
    tiles = find_tiles(manifest.placement, manifest.technology.array)
    tiles.sort(key=lambda tile: (tile.kind, tile.shape.rows, tile.shape.blocks))
    return Subject("stdlib-8m", [(source.scheme(t.kind), source.read.digits(t)) for t in tiles])


def timed(digits: int, step: str, work: Callable[[], object], repeat: int) -> Speed:
    """Medians over `repeat` runs, after one that warms up."""
    work()
    processor, wall = [], []
    for _ in range(repeat):
        began = time.process_time(), time.perf_counter()
        work()
        processor.append(time.process_time() - began[0])
        wall.append(time.perf_counter() - began[1])
    return Speed(step, digits / statistics.median(processor), digits / statistics.median(wall))


def measure(subject: Subject, folder: Path, repeat: int) -> dict[str, Any]:
    """Speeds of all steps, and bytes a digit; ends the program if what is read is not what is drawn."""
    tiles = subject.tiles
    path = folder / "tiles"
    records = [cell_record("tile", tile_payload(*tile)) for tile in tiles]
    path.write_bytes(b"".join(records))
    shared = {scheme.kind: shared_cells(scheme) for scheme, _ in tiles}
    raw = sum(len(tile_payload(*tile)) for tile in tiles)

    def read() -> Iterator[tuple[Scheme, TileDigits, LayoutCell]]:
        with path.open("rb") as file:
            for (scheme, digits), record in zip(tiles, records, strict=True):
                yield scheme, digits, read_tile(
                    file.read(len(record)), shared[scheme.kind], subject.name
                )  # fmt: skip

    def check() -> None:
        for scheme, digits, cell in read():
            found, faults = scheme.read_rows(shape_of(digits), cell.single, cell.rows)
            if faults or not np.array_equal(found, digits.integers()):
                sys.exit(f"{subject.name}: what is read is not what was drawn")

    cells = list(read())

    def extract() -> None:
        for scheme, digits, cell in cells:
            shape = shape_of(digits)
            # rectangles of rows anew in each run, as of a file just read
            fresh = replace(cell)
            netlist = base_of(scheme, shape).netlist(fresh.shapes)
            found, undecoded = decode_taps(netlist, shape.rows, shape.blocks)
            faults = [*netlist.faults, *undecoded]
            if faults or not np.array_equal(found, digits.integers()):
                sys.exit(f"{subject.name}: its nets are not what was drawn")

    steps: dict[str, Callable[[], object]] = {
        "via maps": lambda: [via_sites(s, d) for s, d in tiles if isinstance(s, Taps)],
        "OASIS, raw": lambda: [tile_payload(*tile) for tile in tiles],
        "OASIS, packed": lambda: [cell_record("tile", tile_payload(*tile)) for tile in tiles],
        "bulk check": check,
        "extractor": extract,
    }
    speeds = [timed(subject.digits, step, work, repeat) for step, work in steps.items()]
    return {
        "subject": subject.name, "digits": subject.digits, "tiles": len(tiles),
        "kinds": sorted({scheme.kind.name for scheme, _ in tiles}),
        "speed": {s.step: {"processor": s.processor, "wall": s.wall} for s in speeds},
        "bytes_raw": raw / subject.digits,
        "bytes": sum(map(len, records)) / subject.digits,
        "base_seconds": base_seconds(tiles),
    }  # fmt: skip


def shape_of(digits: TileDigits) -> TileShape:
    return TileShape(digits.rows, digits.blocks)


@functools.lru_cache(maxsize=16)
def base_of(scheme: Scheme, shape: TileShape) -> Base:
    """The fixed metal below tiles of a shape, joined once for all of them."""
    record = cell_record("base", base_payload(scheme, shape), compress=False)
    return Base(scheme.technology, parse_cell(record, base_name(scheme, shape)))


def base_seconds(tiles: Sequence[tuple[Scheme, TileDigits]]) -> float:
    """Processor seconds to draw, write, read and join the fixed metal of the largest tile, once."""
    scheme, digits = max(tiles, key=lambda tile: tile[1].weights)
    began = time.process_time()
    base_of.__wrapped__(scheme, shape_of(digits))
    return time.process_time() - began


def routed(name: str, repeat: int) -> Speed:
    """The regions scheme's router on a tile of 128 rows; benchmarks/regions.py has its needs."""
    technology, kind = load_technology("n5"), ArrayKind("regions", 1, 1, RANGES[name], 4)
    digits = digits_of(name, 128, 1024, RANGES[name])
    scheme = Regions(technology, replace(kind, tracks=tracks_needed(technology, kind, digits)))
    return timed(digits.weights, "regions routed", lambda: scheme.routes(digits), repeat)


def formats() -> dict[str, float]:
    """Bytes a digit of a tile of Gaussian weights, by format."""
    subject = next(synthetic())
    scheme, digits = subject.tiles[0]
    rows = PEER_DIGITS // (digits.blocks * 32)
    part = TileDigits(digits.codes[:rows].copy(), digits.shifts[:rows].copy())
    payload = tile_payload(scheme, digits)
    layout, technology = scheme.draw(part), scheme.technology
    sizes = {
        "master: packed digits and exponents": digits.codes.nbytes + digits.shifts.nbytes,
        "via map": sum(
            len(npy_bytes(a)) for a in MASK_SCHEMES[scheme.name].via_map(scheme, digits).values()
        ),
        "OASIS, packed": len(cell_record("tile", payload)),
        "OASIS, raw": len(payload),
    }
    slow = {
        "GDSII": len(gds_cell(technology, "tile", layout).data),
        "Tcl": sum(map(len, tcl_lines(scheme, part, "tile"))),
        "DEF": sum(map(len, def_lines(scheme, part, "tile"))),
    }
    return {name: size / digits.weights for name, size in sizes.items()} | {
        name: size / part.weights for name, size in slow.items()
    }


def show(rows: list[dict[str, Any]], routes: Speed) -> None:
    """The table of speeds."""
    print(f"M digits/s of processor time / of wall time; load {os.getloadavg()[0]:.1f}\n")
    print("| step | floor | " + " | ".join(row["subject"] for row in rows) + " |")
    print("|---|---|" + "---|" * len(rows))
    for step, floor in FLOORS.items():
        if step == "regions routed":
            cells = [f"{routes.processor / 1e6:.1f} / {routes.wall / 1e6:.1f}"]
            cells += ["-"] * (len(rows) - 1)
        else:
            speeds = [row["speed"][step] for row in rows]
            cells = [f"{s['processor'] / 1e6:,.1f} / {s['wall'] / 1e6:,.1f}" for s in speeds]
        print(f"| {step} | {floor / 1e6:,.0f} | " + " | ".join(cells) + " |")
    print(f"| bytes a digit, packed | {BYTES_FLOOR} | "
          + " | ".join(f"{row['bytes']:.3f}" for row in rows) + " |")  # fmt: skip
    print(
        "| bytes a digit, raw | | " + " | ".join(f"{row['bytes_raw']:.3f}" for row in rows) + " |"
    )
    print("| fixed metal of a shape, once, s | | "
          + " | ".join(f"{row['base_seconds']:.2f}" for row in rows) + " |")  # fmt: skip
    for row in rows:
        print(f"\n{row['subject']}: {row['digits']:,} digits in {row['tiles']} tiles, "
              f"{', '.join(row['kinds'])}", end="")  # fmt: skip
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--formats", action="store_true", help="bytes a digit by format")
    parser.add_argument("--product", action="store_true", help="the commands, from a build on")
    parser.add_argument("--json", action="store_true")
    add_chip_options(parser)
    options = parser.parse_args()
    if options.formats:
        sizes = formats()
        if options.json:
            print(json.dumps(sizes))
            return
        print("| format | bytes a digit |\n|---|---|")
        for name, size in sizes.items():
            print(f"| {name} | {size:.3g} |")
        return
    if options.chip:
        scheme = open_scheme(load_technology("n5"), ArrayKind("taps", 1, 8, 2))
        assert isinstance(scheme, Taps)
        result = chip_run(scheme, SHAPE, options)
        print(json.dumps(result)) if options.json else show_chip(result)
        return
    if options.product:
        with tempfile.TemporaryDirectory() as name:
            timer = functools.partial(timed, repeat=options.repeat)
            rows = product_rows(BUNDLED, Path(name), timer)
        print(json.dumps(rows)) if options.json else show_product(rows)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [measure(subject, folder, options.repeat) for subject in synthetic()]
        rows.append(measure(bundled(folder), folder, min(3, options.repeat)))
    routes = routed("Gaussian", options.repeat)
    if options.json:
        print(json.dumps({"rows": rows, "routed": routes.processor}))
    else:
        show(rows, routes)


if __name__ == "__main__":
    main()
