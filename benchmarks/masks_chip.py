"""A chip's worth of random tiles: drawn, written to a file, read back and checked, file after file.

    tile number ──► random digits ──► OASIS, packed ──► a file ──► read ──► codes ──► integers
                                                        └── removed once it is checked

Every file is written, its digest taken, and read again from its beginning.  How far the run is and
what it took so far stands in progress.json beside it, so a run that was stopped goes on.  Memory
holds one tile at a time: `--sizes` runs several sizes, each in a process of its own, and tells their
peaks.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from hnlpu.silicon.embed import Taps, TileDigits, TileShape, canonical
from hnlpu.silicon.masks._cells import base_payload, read_tile, shared_cells, tile_payload
from hnlpu.silicon.masks._decode import decode_taps
from hnlpu.silicon.masks._extract import Base
from hnlpu.silicon.masks._oasis_read import parse_cell
from hnlpu.silicon.masks._oasis_write import OasisWriter, cell_record
from hnlpu.silicon.masks._via_map import via_sites
from regions import digits_of

TILES_A_FILE = 256
EXTRACTED = 32
"""One tile of so many goes through the extractor too."""
MODEL = 116.8e9
"""Weights of gpt-oss-120b (its model card: 116.83 billion parameters)."""
CORES = 2
PHASES = ("digits", "draw", "write", "check", "extract")


def add_chip_options(parser: argparse.ArgumentParser) -> None:
    """The options of a run over a chip."""
    parser.add_argument("--chip", type=float, metavar="G", help="billions of weights to run over")
    parser.add_argument(
        "--folder", type=Path, help="where files and progress go (default: a new one)"
    )
    parser.add_argument(
        "--seconds", type=float, default=600, help="stop after so long (default 600)"
    )
    parser.add_argument("--sizes", type=float, nargs="*", default=(), metavar="G",
                        help="peak memory of runs of these sizes, each in its own process")  # fmt: skip


def pairs_of(digits: TileDigits) -> Any:
    """uint8 [65536]: bytes of two codes as often as in `digits`, by 16 random bits."""
    counts = np.bincount(digits.codes.reshape(-1), minlength=256).astype(np.float64)
    edges = np.round(np.cumsum(counts) / counts.sum() * 65536).astype(np.int64)
    return np.repeat(np.arange(256), np.diff(edges, prepend=0)).astype(np.uint8)


def random_tile(number: int, pairs: Any, shape: TileShape, scale_range: int) -> TileDigits:
    """Digits that depend on the tile's number alone."""
    random = np.random.Generator(np.random.SFC64(number))
    count = shape.weights // 2
    codes = pairs[np.frombuffer(random.bytes(2 * count), np.uint16)]
    size = shape.rows, shape.blocks
    # most blocks lie at the top of their row's range
    shifts = np.maximum(0, scale_range - random.geometric(0.6, size) + 1).astype(np.uint8)
    return canonical(codes.reshape(*size, 16), shifts, np.zeros(shape.rows, np.uint8))


class _Clock:
    """Processor and wall seconds by phase."""

    def __init__(self, spent: dict[str, list[float]]):
        self.spent = {phase: list(spent.get(phase, [0.0, 0.0])) for phase in PHASES}
        self._last = self._now()

    def _now(self) -> tuple[float, float]:
        return time.process_time(), time.perf_counter()

    def done(self, phase: str | None) -> None:
        """What passed since the last call was spent on `phase`."""
        now = self._now()
        if phase:
            for side in range(2):
                self.spent[phase][side] += now[side] - self._last[side]
        self._last = now


def chip_run(scheme: Taps, shape: TileShape, options: argparse.Namespace) -> dict[str, Any]:
    """Run, or go on, until all is done or the time is over."""
    if options.folder is None:
        with tempfile.TemporaryDirectory() as name:
            options.folder = Path(name)
            return chip_run(scheme, shape, options)
    options.folder.mkdir(parents=True, exist_ok=True)
    result = _run(scheme, shape, options.chip, options.folder, options.seconds)
    result["peaks"] = [_peak_of(size, options.seconds) for size in options.sizes]
    return result


def _run(
    scheme: Taps, shape: TileShape, giga: float, folder: Path, seconds: float
) -> dict[str, Any]:
    began = time.monotonic()
    total = max(1, round(giga * 1e9 / shape.weights))
    progress = folder / "progress.json"
    state: dict[str, Any] = {"tiles": 0, "bytes": 0, "extracted": 0, "spent": {}, "peak_gb": 0.0}
    if progress.exists():
        state = json.loads(progress.read_text())
    pairs = pairs_of(digits_of("Gaussian", shape.rows, shape.blocks * 32, scheme.kind.scale_range))
    record = cell_record("base", base_payload(scheme, shape), compress=False)
    base = Base(scheme.technology, parse_cell(record, "base"))
    _check(scheme, shape, pairs, base, folder / "warm.oas", range(1), _Clock({}))
    clock = _Clock(state["spent"])
    while state["tiles"] < total and time.monotonic() - began < seconds:
        numbers = range(state["tiles"], min(state["tiles"] + TILES_A_FILE, total))
        size, extracted = _check(
            scheme, shape, pairs, base, folder / "chip.oas", numbers, clock
        )  # fmt: skip
        state["tiles"] += len(numbers)
        state["bytes"] += size
        state["extracted"] += extracted
        state["spent"] = clock.spent
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        state["peak_gb"] = max(state["peak_gb"], peak)
        aside = progress.with_suffix(".new")
        aside.write_text(json.dumps(state))
        aside.replace(progress)
        clock.done(None)
    weights = shape.weights
    return {
        "asked": total * weights, "done": state["tiles"] * weights,
        "extracted": state["extracted"] * weights, "bytes": state["bytes"],
        "spent": state["spent"], "peak_gb": state["peak_gb"], "kind": scheme.kind.name,
    }  # fmt: skip


def _check(
    scheme: Taps,
    shape: TileShape,
    pairs: Any,
    base: Base,
    path: Path,
    numbers: range,
    clock: _Clock,
) -> tuple[int, int]:
    """Write and check a file of some tiles; returns its bytes and how many tiles were extracted."""
    places = []
    with path.open("wb") as file:
        writer = OasisWriter(file, {})
        for number in numbers:
            clock.done(None)
            digits = random_tile(number, pairs, shape, scheme.kind.scale_range)
            clock.done("digits")
            via_sites(scheme, digits)
            record = cell_record(f"tile-{number}", tile_payload(scheme, digits))
            clock.done("draw")
            places.append(writer.put_cell(record))
            clock.done("write")
        writer.end()
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    clock.done("write")
    shared, extracted = shared_cells(scheme), 0
    with path.open("rb") as file:
        for number, place in zip(numbers, places, strict=True):
            clock.done(None)
            digits = random_tile(number, pairs, shape, scheme.kind.scale_range)
            clock.done("digits")
            file.seek(place.offset)
            cell = read_tile(file.read(place.bytes), shared, path.name)
            found, faults = scheme.read_rows(shape, cell.single, cell.rows)
            if faults or not np.array_equal(found, digits.integers()):
                sys.exit(f"tile {number}: what is read is not what was drawn")
            clock.done("check")
            if number % EXTRACTED == 0:
                nets = base.netlist(cell.shapes)
                found, faults = decode_taps(nets, shape.rows, shape.blocks)
                if faults or nets.faults or not np.array_equal(found, digits.integers()):
                    sys.exit(f"tile {number}: its nets are not what was drawn")
                extracted += 1
                clock.done("extract")
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").digest() != digest.digest():
            sys.exit(f"{path}: changed while it was checked")
    clock.done("check")
    size = path.stat().st_size
    path.unlink()
    return size, extracted


def _peak_of(giga: float, seconds: float) -> dict[str, float]:
    """Peak memory of a run in a process of its own."""
    command = [sys.executable, str(Path(__file__).parent / "masks.py"), "--json",
               "--chip", str(giga), "--seconds", str(seconds)]  # fmt: skip
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(ended.stdout)
    return {"weights": found["done"], "peak_gb": found["peak_gb"]}


def show_chip(result: dict[str, Any]) -> None:
    """What was run, what each step took, and what it means for a large model."""
    done, spent = result["done"], result["spent"]
    print(f"{done:,} of {result['asked']:,} weights ({result['kind']}), "
          f"{result['bytes'] / 1e9:.2f} GB of OASIS ({result['bytes'] / done:.3f} bytes a weight), "
          f"peak memory {result['peak_gb']:.2f} GB; load {os.getloadavg()[0]:.1f}")  # fmt: skip
    if done < result["asked"]:
        print(f"stopped by --seconds: {done / result['asked']:.0%} of what was asked")
    print("\n| step | processor s | wall s | M weights/s of a core |\n|---|---|---|---|")
    for phase in PHASES:
        processor, wall = spent[phase]
        count = result["extracted"] if phase == "extract" else done
        rate = count / processor / 1e6 if processor else 0
        print(f"| {phase} | {processor:.1f} | {wall:.1f} | {rate:.1f} |")
    bulk = sum(spent[phase][0] for phase in ("draw", "write", "check")) / done
    nets = spent["extract"][0] / max(1, result["extracted"])
    hours = MODEL / CORES / 3600
    print(f"\n{MODEL / 1e9:.1f} G weights on {CORES} cores, extrapolated from these "
          f"{done / 1e9:.2f} G: drawn, written and read back in {bulk * hours:.2f} h; "
          f"with every tile extracted as well {(bulk + nets) * hours:.1f} h")  # fmt: skip
    for peak in result["peaks"]:
        print(f"peak memory of a run over {peak['weights'] / 1e9:.2f} G weights: "
              f"{peak['peak_gb']:.3f} GB")  # fmt: skip
