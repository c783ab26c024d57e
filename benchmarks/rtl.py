"""RTL of neuron arrays: speed of writing, and what silicon takes by kind of array.

python benchmarks/rtl.py            # tables of docs/rtl.md (a minute)
python benchmarks/rtl.py --regions  # the regions scheme by ports of a group
python benchmarks/rtl.py --sharing [--svg FILE]  # bank and fold: area and cycles
python benchmarks/rtl.py --liberty FILE [FILE ...]  # in cells of a library
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from hnlpu.embed import ArrayKind, Regions, Taps, TileDigits, tracks_needed
from hnlpu.rtl import ArrayShape, Library, array_shape, map_cells, synthesize, tile_wiring
from hnlpu.technology import load_technology

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


def sharing(svg: Path | None) -> None:
    """Area and cycles where a popcount serves a bank of experts, or ports in phases."""
    n5 = load_technology("n5")
    curves: dict[str, list[tuple[int, float]]] = {"bank": [], "fold": []}
    print("| shared by | bank, transistors a weight | cycles, all members | fold, transistors a weight "
          "| cycles | gates deep |")  # fmt: skip
    print("|---|---|---|---|---|---|")
    for times in (1, 2, 4, 8, 16, 32, 64):
        told = []
        if times <= 32:
            shape = array_shape(ArrayKind("taps", 1, times, 2), 1024, (32,), 8)
            found = synthesize(shape, n5.silicon)
            curves["bank"].append((times * shape.steps, found.transistors_per_weight))
            told += [f"{found.transistors_per_weight:.2f}", f"{times * shape.steps}"]
        else:
            told += ["", ""]
        shape = array_shape(ArrayKind("taps", 1, 1, 2), 1024, (32,), 8, times)
        found = synthesize(shape, n5.silicon)
        curves["fold"].append((shape.steps, found.transistors_per_weight))
        told += [f"{found.transistors_per_weight:.2f}", f"{shape.steps}", f"{found.depth}"]
        print(f"| {times} | {' | '.join(told)} |")
    for bank, fold in ((8, 2), (8, 4), (4, 4)):
        shape = array_shape(ArrayKind("taps", 1, bank, 2), 1024, (32,), 8, fold)
        found = synthesize(shape, n5.silicon)
        print(f"bank of {bank}, folded {fold} times: {found.transistors_per_weight:.2f} transistors "
              f"a weight, {shape.steps} cycles a member")  # fmt: skip
    if svg:
        svg.write_text(_drawn(curves), encoding="utf-8")


def _drawn(curves: dict[str, list[tuple[int, float]]]) -> str:
    """Both curves over cycles, on logarithmic axes, with what the paper's die leaves."""
    width, height, left, bottom = 640, 360, 60, 320

    def x(cycles: float) -> float:
        return left + np.log2(cycles / 12) * 90

    def y(transistors: float) -> float:
        return bottom - np.log2(transistors / 6) * 110

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for cycles in (12, 24, 48, 96, 192, 384, 768):
        parts.append(
            f'<text x="{x(cycles):.0f}" y="{bottom + 18}" text-anchor="middle">{cycles}</text>'
        )
        parts.append(
            f'<line x1="{x(cycles):.0f}" x2="{x(cycles):.0f}" y1="30" y2="{bottom}" stroke="#ddd"/>'
        )
    for transistors in (6, 8, 12, 16, 24, 32):
        parts.append(
            f'<text x="{left - 8}" y="{y(transistors) + 4:.0f}" text-anchor="end">{transistors}</text>'
        )
        parts.append(
            f'<line x1="{left}" x2="600" y1="{y(transistors):.0f}" y2="{y(transistors):.0f}" stroke="#ddd"/>'
        )
    parts.append(
        f'<line x1="{left}" x2="600" y1="{y(10.8):.0f}" y2="{y(10.8):.0f}" stroke="black" stroke-dasharray="4 3"/>'
    )
    parts.append(
        f'<text x="600" y="{y(10.8) - 5:.0f}" text-anchor="end">10.8: the paper\'s die</text>'
    )
    for points, colour in zip(curves.values(), ("#1f77b4", "#d62728"), strict=True):
        path = " ".join(f"{x(cycles):.1f},{y(t):.1f}" for cycles, t in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{x(c):.1f}" cy="{y(t):.1f}" r="3.5" fill="{colour}"/>' for c, t in points
        ]
    parts.append('<text x="410" y="60" fill="#1f77b4">bank: 1 to 32 experts, all used</text>')
    parts.append('<text x="410" y="78" fill="#d62728">fold: 1 to 64 phases</text>')
    parts.append(f'<text x="{left}" y="20">transistors a weight</text>')
    parts.append(
        f'<text x="600" y="{bottom + 34}" text-anchor="end">cycles of a product (bank: of all members)</text>'
    )
    return "\n".join([*parts, "</svg>"]) + "\n"


def mapped(files: list[Path]) -> None:
    """Area and delay in cells of a library."""
    library = Library(files)
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
