"""What the regions scheme needs and how fast it is routed, drawn and read; one thread.

python benchmarks/regions.py             weights of five distributions: tracks, wire, ports, speed
python benchmarks/regions.py --groups    area and transistors by the ports of a group, and by inputs
python benchmarks/regions.py --prove     KLayout's DRC and netlist on the proof tiles (minutes)
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from hnlpu.arithmetic.mx import quantize_mxfp4, zero_blocks
from hnlpu.silicon.embed import ArrayKind, Regions, TileDigits, TileShape, canonical, tracks_needed
from hnlpu.silicon.embed._kind import DEFAULT_GROUP
from hnlpu.silicon.masks._klayout import check_rules, extract_netlist
from hnlpu.silicon.masks._named_weights import weights_of_names
from hnlpu.silicon.masks._oasis_read import parse_cell
from hnlpu.silicon.masks._oasis_regions import regions_payload
from hnlpu.silicon.masks._oasis_write import cell_record
from hnlpu.silicon.masks._proof import proof_tile
from hnlpu.silicon.masks._wires import check_wires
from hnlpu.silicon.technology import Technology, load_technology

WEIGHTS: dict[str, Callable[[np.random.Generator, tuple[int, int]], Any]] = {
    "Gaussian": lambda random, shape: random.standard_normal(shape),
    "Laplace": lambda random, shape: random.laplace(size=shape),
    "t3": lambda random, shape: random.standard_t(3, shape),
    "uniform": lambda random, shape: random.uniform(-1, 1, shape),
    "biased": lambda random, shape: random.standard_normal(shape) + 1.5,
}
RANGES = {"Gaussian": 2, "Laplace": 4, "t3": 8, "uniform": 2, "biased": 2}
"""Range of block exponents that nearly all rows of such weights keep to; others are cut to it."""
NEURONS = 1024
REPEAT = 5


def digits_of(name: str, rows: int, inputs: int, scale_range: int) -> TileDigits:
    """MXFP4 digits of weights of a distribution, block exponents at most `scale_range` apart."""
    weights = WEIGHTS[name](np.random.default_rng(0), (rows, inputs)).astype(np.float32)
    _, exponents = quantize_mxfp4(weights)
    codes, exponents = quantize_mxfp4(weights, exponents.max(1).astype(np.int64) - scale_range)
    used = np.where(zero_blocks(codes), 255, exponents)
    return canonical(codes, exponents, used.min(1).astype(np.uint8))


def median_seconds(work: Callable[[], object]) -> float:
    """Median processor time of `work` in seconds, after one call that warms up."""
    work()
    times = []
    for _ in range(REPEAT):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return statistics.median(times)


def fitting(t: Technology, kind: ArrayKind, digits: TileDigits) -> Regions:
    """The scheme with the tracks that `digits` need."""
    return Regions(t, replace(kind, tracks=tracks_needed(t, kind, digits)))


def measure(t: Technology, name: str, rows: int, inputs: int, group: int) -> dict[str, Any]:
    """Needs and speeds of a tile of one distribution."""
    scale_range = RANGES[name]
    digits = digits_of(name, rows, inputs, scale_range)
    scheme = fitting(t, ArrayKind("regions", 1, 1, scale_range, group), digits)
    shape, drawn = TileShape(digits.rows, digits.blocks), scheme.draw(digits).shapes()
    integers, faults = scheme.read(shape, drawn)
    if faults or (integers != digits.integers()).any():
        sys.exit(f"{name}: what is drawn is not what is read")
    record = cell_record("tile", regions_payload(scheme, digits))
    per_second = {
        "route": lambda: scheme.routes(digits),
        "draw": lambda: scheme.draw(digits),
        "read": lambda: scheme.read(shape, drawn),
        "write": lambda: cell_record("tile", regions_payload(scheme, digits)),
        "check": lambda: scheme.read(shape, parse_cell(record, "tile").shapes),
    }
    speed = {what: digits.weights / median_seconds(work) for what, work in per_second.items()}
    return {
        "weights": name, "kind": scheme.kind.name, "speed": speed,
        "bytes": len(record) / digits.weights,
        **scheme.needs(digits), **areas(scheme, inputs),
    }  # fmt: skip


def areas(scheme: Regions, inputs: int) -> dict[str, Any]:
    """Area and transistors of a weight with one digit, and the paper's area."""
    t, shape = scheme.technology, TileShape(1, inputs // 32)
    width = scheme.frame(shape).width
    transistors = scheme.transistors(inputs, NEURONS)
    paper = t.die.array_area_per_weight
    return {
        "wiring_um2": width * scheme.wiring_height * 1e-6 / inputs,
        "silicon_um2": transistors / (t.silicon.density.value * 1e-6),
        "um2": width * scheme.row_pitch_nm(shape) * 1e-6 / inputs,
        "paper_um2": paper.value if paper else None,
        "transistors": transistors,
        "parts": scheme.transistor_parts(inputs, NEURONS),
    }  # fmt: skip


def by_group(t: Technology) -> list[dict[str, Any]]:
    """Areas for Gaussian weights by group, bank and inputs."""
    found = []
    for inputs, rows in ((1024, 128), (2880, 48)):
        digits = digits_of("Gaussian", rows, inputs, 2)
        for bank in (1, 8):
            for group in (1, 2, 3, 4, 6, 8, 12, 16):
                scheme = fitting(t, ArrayKind("regions", 1, bank, 2, group), digits)
                needs = scheme.needs(digits)
                found.append(
                    {"inputs": inputs, "bank": bank, "group": group, "kind": scheme.kind.name,
                     "tracks": scheme.kind.tracks, "wire_um": needs["wire_um_per_weight"]["mean"],
                     "ports": needs["ports_per_weight"], **areas(scheme, inputs)}
                )  # fmt: skip
    return found


def prove(t: Technology, kind: ArrayKind) -> dict[str, Any]:
    """KLayout's verdict on the proof tile, and whether its netlist says the weights."""
    scheme, digits = proof_tile(Regions(t, kind))
    shape = TileShape(digits.rows, digits.blocks)
    layout = scheme.base(shape).merged(scheme.draw(digits))
    began = time.thread_time()
    violations = check_rules(t, layout)
    drc = time.thread_time() - began
    integers, faults = weights_of_names(extract_netlist(t, layout), shape)
    legal = not violations and not check_wires(t, layout)
    right = not faults and bool((integers == digits.integers()).all())
    return {
        "technology": t.name, "kind": scheme.kind.name, "weights": digits.weights,
        "legal": legal, "weights_right": right, "drc_seconds": drc,
    }  # fmt: skip


def prove_all(as_json: bool) -> bool:
    """Prove kinds of two processes, a line each; whether all are legal."""
    verdicts = []
    for name in ("n5", "sky130"):
        for scale_range in (0, 2, 4, 8):
            for group in (3, 10):
                kind = ArrayKind("regions", 1, 1, scale_range, group)
                v = prove(load_technology(name), kind)
                verdicts.append(v)
                if not as_json:
                    sound = "legal and read back" if v["legal"] and v["weights_right"] else "WRONG"
                    print(f"{name:7} {v['kind']:22} {v['weights']:6} weights, DRC "
                          f"{v['drc_seconds']:.1f} s: {sound}", flush=True)  # fmt: skip
    if as_json:
        print(json.dumps(verdicts))
    return all(v["legal"] and v["weights_right"] for v in verdicts)


def table(head: list[str], rows: list[list[str]]) -> None:
    print("\n| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |")


def show_needs(rows: list[dict[str, Any]]) -> None:
    print(f"load {os.getloadavg()[0]:.1f}")
    table(
        ["weights", "array kind", "tracks a row, mean / worst", "wire a weight, um, mean / worst",
         "ports a weight", "slack", "fan-out, worst", "load, fF, mean / worst", "repeaters a trunk"],
        [[r["weights"], r["kind"],
          f"{r['tracks_of_row']['mean']:.1f} / {r['tracks_of_row']['worst']}",
          f"{r['wire_um_per_weight']['mean']:.2f} / {r['wire_um_per_weight']['worst']:.0f}",
          f"{r['ports_per_weight']:.3f}", f"{r['ports_slack']:.1%}", f"{r['fan_out']['worst']:.0f}",
          f"{r['load_ff']['mean']:.0f} / {r['load_ff']['worst']:.0f}",
          f"{r['repeaters'] / r['trunks']:.1f}"] for r in rows],
    )  # fmt: skip
    table(
        ["weights", "um2 a weight, wiring / silicon", "times the paper's", "transistors a weight",
         "use of lower / stub / upper metal"],
        [[r["weights"], f"{r['wiring_um2']:.3f} / {r['silicon_um2']:.3f}",
          f"{r['um2'] / r['paper_um2']:.1f}" if r["paper_um2"] else "-", f"{r['transistors']:.1f}",
          " / ".join(f"{layer['use']:.0%}" for layer in r["tracks"].values())] for r in rows],
    )  # fmt: skip
    table(
        ["weights", "M weights/s routed", "and drawn", "read", "to compressed OASIS", "checked from it",
         "bytes a weight"],
        [[r["weights"], *(f"{r['speed'][what] / 1e6:.1f}"
                          for what in ("route", "draw", "read", "write", "check")),
          f"{r['bytes']:.1f}"] for r in rows],
    )  # fmt: skip


def show_groups(rows: list[dict[str, Any]]) -> None:
    """A row for inputs and group; banks of one and of eight side by side."""
    pairs: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for r in rows:
        pairs.setdefault((r["inputs"], r["group"]), []).append(r)
    table(
        ["inputs", "group", "tracks", "wire, um", "ports a weight", "um2 a weight, wiring",
         "silicon, bank 1 / 8", "transistors, bank 1 / 8", "times the paper's, bank 1 / 8"],
        [[str(inputs), str(group), str(one["tracks"]), f"{one['wire_um']:.2f}",
          f"{one['ports']:.2f}", f"{one['wiring_um2']:.3f}",
          f"{one['silicon_um2']:.3f} / {eight['silicon_um2']:.3f}",
          f"{one['transistors']:.1f} / {eight['transistors']:.1f}",
          " / ".join(f"{r['um2'] / r['paper_um2']:.1f}" if r["paper_um2"] else "-"
                     for r in (one, eight))] for (inputs, group), (one, eight) in pairs.items()],
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--technology", default="n5")
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--inputs", type=int, default=1024)
    parser.add_argument("--group", type=int, default=DEFAULT_GROUP)
    parser.add_argument("--groups", action="store_true", help="areas by group, bank and inputs")
    parser.add_argument("--prove", action="store_true", help="run KLayout on the proof tiles")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    t = load_technology(options.technology)
    if options.prove:
        sys.exit(not prove_all(options.json))
    if options.groups:
        rows = by_group(t)
    else:
        rows = [measure(t, name, options.rows, options.inputs, options.group) for name in WEIGHTS]
    if options.json:
        print(json.dumps(rows))
    elif options.groups:
        show_groups(rows)
    else:
        show_needs(rows)


if __name__ == "__main__":
    main()
