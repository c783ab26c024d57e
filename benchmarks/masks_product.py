"""What `hnlpu masks` and `hnlpu verify --masks` take, from a build to a verdict; one process.

    build ──► digits ──► OASIS ──► files and their digests          hnlpu masks
                 files ──► digests ──► tiles ──► digits of the build, compared          --masks-from
    build ──► digits ──► OASIS ──► tiles ──► digits of the build, compared              --masks

On the bundled model (matrices of 256 inputs) and on a random one of gpt-oss's shape with the
technology's largest tiles (1,024 inputs, eight experts in a bank).  The independent extractor is
left out: `python benchmarks/masks.py` has its speed.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hnlpu.silicon.hardwire import Build, build, open_build
from hnlpu.silicon.masks import (
    CheckTiles,
    build_digest,
    jobs,
    open_masks,
    open_workers,
    write_masks,
)
from hnlpu.silicon.place import find_tiles
from synthetic import GPT_OSS_20B, write_checkpoint

LARGE = GPT_OSS_20B | {
    "hidden_size": 1024, "intermediate_size": 1024, "num_hidden_layers": 1,
    "num_attention_heads": 16, "num_key_value_heads": 4, "num_local_experts": 8,
    "vocab_size": 8192, "eos_token_id": 8191,
}  # fmt: skip
STEPS = ("masks written", "files checked: digests", "files checked: tiles", "drawn and checked")

Timer = Callable[[int, str, Callable[[], object]], Any]
"""Digits, a step's name and what it does -> its speed."""


def product_rows(checkpoint: Path, folder: Path, timer: Timer) -> list[dict[str, Any]]:
    """Speeds of the steps on the bundled model and on large tiles, and their bytes a digit."""
    write_checkpoint(folder / "random", LARGE, seed=0)
    rows = []
    for name, source in (("stdlib-8m", checkpoint), ("large tiles", folder / "random")):
        build(source, folder / f"{name}.build")
        rows.append(_row(name, open_build(folder / f"{name}.build"), folder / name, timer))
    return rows


def _row(name: str, opened: Build, out: Path, timer: Timer) -> dict[str, Any]:
    manifest = opened.manifest
    tiles = find_tiles(manifest.placement, manifest.technology.array)
    tiles.sort(key=lambda t: (t.chip, t.kind, t.shape.rows, t.shape.blocks))
    digits = sum(tile.shape.weights for tile in tiles)

    def write() -> None:
        shutil.rmtree(out, ignore_errors=True)
        write_masks(opened, out, tiles, ("oasis",), open_workers(1))

    def check(folder: Path | None) -> None:
        job = CheckTiles(opened.directory, build_digest(opened), folder, frozenset())
        if problems := [p for run in jobs(tiles) for tile in job(run) for p in tile.problems]:
            sys.exit(f"{name}: {problems[0]}")

    def digests() -> None:
        if problems := open_masks(opened, out)[2]:
            sys.exit(f"{name}: {problems[0]}")

    steps = (write, digests, lambda: check(out), lambda: check(None))
    speeds = [timer(digits, step, work) for step, work in zip(STEPS, steps, strict=True)]
    size = sum(path.stat().st_size for path in out.glob("*.oas"))
    return {
        "subject": name, "digits": digits, "tiles": len(tiles),
        "speed": {s.step: {"processor": s.processor, "wall": s.wall} for s in speeds},
        "bytes": size / digits,
    }  # fmt: skip


def show_product(rows: list[dict[str, Any]]) -> None:
    """The table of the product's steps."""
    print("\n| M digits/s of processor time / of wall time | " + " | ".join(r["subject"] for r in rows)
          + " |\n|---|" + "---|" * len(rows))  # fmt: skip
    for step in STEPS:
        speeds = [row["speed"][step] for row in rows]
        cells = [f"{s['processor'] / 1e6:,.0f} / {s['wall'] / 1e6:,.0f}" for s in speeds]
        print(f"| {step} | " + " | ".join(cells) + " |")
    print("| bytes a digit, with all of a file | " + " | ".join(f"{r['bytes']:.3f}" for r in rows)
          + " |")  # fmt: skip
    for row in rows:
        print(f"\n{row['subject']}: {row['digits']:,} digits in {row['tiles']} tiles", end="")
    print()
