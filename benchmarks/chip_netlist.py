"""KLayout's own netlist and spaces over whole chips: is any net in two tiles, is any space too small?

    python benchmarks/chip_netlist.py checkpoints/stdlib-140k            # every process, scheme, 1 and 4 chips
    python benchmarks/chip_netlist.py checkpoints/stdlib-8m --technology n5 --scheme taps --chips 1
    python benchmarks/chip_netlist.py checkpoints/stdlib-8m --scheme regions --borders

Every chip is written as OASIS with its fixed metal and read by KLayout alone.  Its LayoutToNetlist
joins all metals and cuts of the chip, tile by tile and then across, so a net that is in two tiles is
told.  With --borders a tile is what it has in its frame and within reach of another tile: all that can be in
two tiles, or too near to another, many times sooner.  Then each metal and cut of the merged chip is held against width and space.  Nothing of hnlpu
takes part but the writer and the numbers of the rules.  It exits with 1 where anything is wrong.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import sys
import tempfile
import time
from pathlib import Path

import hnlpu
from hnlpu.silicon.embed import SCHEMES
from hnlpu.silicon.hardwire import open_build
from hnlpu.silicon.masks import open_workers, write_masks
from hnlpu.silicon.masks._layers import LayerMap
from hnlpu.silicon.masks._whole_chip import judge_file
from hnlpu.silicon.place import find_tiles, make_target
from hnlpu.silicon.technology import load_technology, technology_names


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--technology", choices=technology_names(), action="append")
    parser.add_argument("--scheme", choices=SCHEMES, action="append")
    parser.add_argument("--chips", type=int, action="append")
    parser.add_argument("--borders", action="store_true", help="nets at the borders of tiles only")
    chosen = parser.parse_args()
    print(
        "| process | scheme | chips | digits | tiles | nets | in two tiles | width, space | s | GB |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    wrong = 0
    for name, scheme, chips in itertools.product(
        chosen.technology or technology_names(), chosen.scheme or SCHEMES, chosen.chips or (1, 4)
    ):
        if scheme in load_technology(name).schemes:
            wrong += one(chosen.checkpoint, name, scheme, chips, chosen.borders)
    return min(wrong, 1)


def one(checkpoint: str, technology: str, scheme: str, chips: int, borders: bool) -> int:
    """A row of the table; returns how much is wrong."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        target = make_target(technology, scheme, chips)
        build = open_build(hnlpu.build(checkpoint, Path(folder) / "build", target=target))
        tiles = find_tiles(build.manifest.placement, build.manifest.technology.array)
        out = Path(folder) / "masks"
        write_masks(build, out, tiles, ["oasis"], open_workers(1), with_base=True, layers="mask")
        layers = LayerMap(build.manifest.technology, "mask")
        found = [judge_file(layers, file, borders) for file in sorted(out.glob("*.oas"))]
    nets, joined, broken = (
        sum(getattr(chip, name) for chip in found) for name in ("nets", "joined", "violations")
    )
    digits = sum(tile.shape.weights for tile in tiles)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"| {technology} | {scheme} | {chips} | {digits:,} | {len(tiles)} | {nets:,} | {joined} | "
        f"{broken} | {time.perf_counter() - start:.0f} | {peak:.1f} |",
        flush=True,
    )
    return joined + broken


if __name__ == "__main__":
    sys.exit(main())
