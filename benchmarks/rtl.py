"""RTL of neuron arrays: speed of writing, and what silicon takes by kind of array.

python benchmarks/rtl.py            # tables of docs/rtl.md (a minute)
python benchmarks/rtl.py --regions  # the regions scheme by ports of a group
python benchmarks/rtl.py --sharing [--svg FILE]  # bank and fold: area, cycles, energy
python benchmarks/rtl.py --liberty FILE [FILE ...]  # in cells of a library
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from hnlpu.silicon.embed import ArrayKind, Regions, Taps, TileDigits, tracks_needed
from hnlpu.silicon.rtl import (
    ArrayShape,
    GateLibrary,
    array_shape,
    map_cells,
    synthesize,
    tile_wiring,
)
from hnlpu.silicon.technology import load_technology
from sharing import sharing

ROWS, BLOCKS = 256, 32
KINDS = [
    ("no scales", 1, 1, 0, 32), ("R = 1", 1, 1, 1, 32), ("R = 2", 1, 1, 2, 32),
    ("R = 4", 1, 1, 4, 32), ("R = 8", 1, 1, 8, 32), ("R = 2, 2880 inputs", 1, 1, 2, 90),
    ("two digits, R = 8", 2, 1, 8, 32), ("bank of 2, R = 2", 1, 2, 2, 32),
    ("bank of 4, R = 2", 1, 4, 2, 32), ("bank of 8, R = 2", 1, 8, 2, 32),
    ("bank of 32, R = 2", 1, 32, 2, 32), ("bank of 8, R = 2, 2880 inputs", 1, 8, 2, 90),
]  # fmt: skip


def emission() -> None:
    """Median weights a second that become wiring, on one core, by scheme."""
    n5 = load_technology("n5")
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (ROWS, BLOCKS, 16), dtype=np.uint8)
    codes[(codes & 15) == 8] &= 0xF0
    codes[(codes >> 4) == 8] &= 0x0F
    digits = TileDigits(codes, rng.integers(0, 3, (ROWS, BLOCKS), dtype=np.uint8))
    kinds = [("taps", ArrayKind("taps", 1, 1, 2))]
    for group in (4, 8):
        kind = ArrayKind("regions", 1, 1, 2, group)
        kind = replace(kind, tracks=tracks_needed(n5, kind, digits))
        kinds.append((f"regions, groups of {group}", kind))
    for name, kind in kinds:
        rates = []
        for _ in range(7):
            began = time.process_time()
            size = sum(map(len, tile_wiring("tile", digits, kind, n5)))
            rates.append(digits.weights / (time.process_time() - began))
        print(f"wiring, {name}: {np.median(rates) / 1e6:.1f} M weights/s, "
              f"{size / digits.weights:.1f} bytes a weight")  # fmt: skip


def silicon() -> None:
    """Transistors a weight, flip-flops a neuron and depth, by kind."""
    n5 = load_technology("n5")
    print("| array | transistors a weight | by formula | taps | selection | counts | second tree "
          "| accumulator | gates deep | cycles |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, digits, bank, reach, blocks in KINDS:
        neurons = 32 * blocks
        shape = ArrayShape(ArrayKind("taps", digits, bank, reach), neurons, blocks, 8)
        found = synthesize(shape, n5.silicon)
        formula = Taps(n5, shape.kind).transistors(shape.inputs, neurons, 8) * digits
        parts = [
            sum(found.per_weight(block) for block in found.blocks if part in block.name)
            for part in ("taps", "selection", "count", "second", "accumulator")
        ]
        told = " | ".join(f"{part:.2f}" for part in parts)
        print(f"| {name} | {found.transistors_per_weight:.2f} | {formula:.2f} | {told} "
              f"| {found.depth} | {shape.steps} |")  # fmt: skip


def regions() -> None:
    """Transistors a weight of the regions scheme, by ports of a group."""
    n5 = load_technology("n5")
    print("| group | transistors a weight | by formula | groups | tree | gates deep | cycles |")
    print("|---|---|---|---|---|---|---|")
    for group in (1, 2, 4, 8, 16):
        kind = ArrayKind("regions", 1, 1, 2, group)
        shape = array_shape(kind, 1024, (32,), 8)
        found = synthesize(shape, n5.silicon)
        parts = {block.name: found.per_weight(block) for block in found.blocks}
        formula = Regions(n5, shape.kind).transistors(shape.inputs, shape.neurons, 8)
        print(f"| {group} | {found.transistors_per_weight:.2f} | {formula:.2f} | {parts['group']:.2f} "
              f"| {parts['tree']:.2f} | {found.depth} | {shape.steps} |")  # fmt: skip


def mapped(files: list[Path]) -> None:
    """Area and delay in cells of a library."""
    library = GateLibrary(files)
    for inputs, adder in sorted(library.adders.items()):
        told = f"{adder.cell.name}, {adder.cell.area} um2" if adder else "none"
        print(f"adder of {inputs}: {told}")
    kinds = [
        ("taps", ArrayKind("taps", 1, 1, 2)), ("taps, bank of 8", ArrayKind("taps", 1, 8, 2)),
        ("regions, groups of 4", ArrayKind("regions", 1, 1, 2, 4)),
        ("regions, groups of 8", ArrayKind("regions", 1, 1, 2, 8)),
    ]  # fmt: skip
    print("| array | um2 a weight | ns from register to register | cycles |")
    print("|---|---|---|---|")
    for name, kind in kinds:
        shape = array_shape(kind, 1024, (32,), 8)
        found = map_cells(shape, library)
        print(f"| {name} | {found.area_per_weight_um2:.3g} | {found.delay_ps / 1e3:.2f} "
              f"| {shape.steps} |")  # fmt: skip


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--regions", action="store_true", help="only the regions scheme")
    asked.add_argument("--liberty", nargs="+", type=Path, default=[], help="only in its cells")
    asked.add_argument("--sharing", action="store_true", help="only banks and folding")
    asked.add_argument("--svg", type=Path, help="with --sharing: a picture to write")
    options = asked.parse_args()
    if options.regions:
        regions()
    elif options.sharing:
        sharing(options.svg)
    elif options.liberty:
        mapped(options.liberty)
    else:
        emission()
        silicon()
