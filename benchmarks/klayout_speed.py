"""Speed of KLayout as judge, and of the check that stands in for it on every tile; one thread.

python benchmarks/klayout_speed.py
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from hnlpu.silicon.embed import ArrayKind, Taps, TileShape, canonical
from hnlpu.silicon.masks._klayout import check_rules, extract_netlist
from hnlpu.silicon.masks._named_weights import weights_of_names
from hnlpu.silicon.masks._wires import check_wires
from hnlpu.silicon.technology import load_technology

SHAPE = TileShape(64, 4)
KINDS = (ArrayKind("taps", 1, 1, 0), ArrayKind("taps", 1, 1, 2), ArrayKind("taps", 1, 8, 2))


def median_seconds(work: Callable[[], object], repeat: int) -> float:
    """Median processor time of `work` in seconds, after one call that warms up."""
    work()
    times = []
    for _ in range(repeat):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return statistics.median(times)


def measure(technology: str, kind: ArrayKind, repeat: int) -> dict[str, Any]:
    """Weights/s of DRC, netlist extraction and the sorted check on a random tile."""
    taps = Taps(load_technology(technology), kind)
    random = np.random.default_rng(0)
    codes = random.integers(0, 256, (SHAPE.rows, SHAPE.blocks, 16), np.uint8)
    shifts = random.integers(0, kind.scale_range + 1, (SHAPE.rows, SHAPE.blocks), np.uint8)
    digits = canonical(codes, shifts, np.zeros(SHAPE.rows, np.uint8))
    layout = taps.base(SHAPE).merged(taps.draw(digits))
    t = taps.technology
    nets = extract_netlist(t, layout)
    assert check_rules(t, layout) == check_wires(t, layout) == []
    assert (weights_of_names(nets, SHAPE)[0] == digits.integers()).all()
    return {
        "technology": technology, "kind": kind.name, "weights": SHAPE.weights,
        "rectangles": int(sum(len(found) for found in layout.flat().values())),
        "drc": SHAPE.weights / median_seconds(lambda: check_rules(t, layout), repeat),
        "netlist": SHAPE.weights / median_seconds(lambda: extract_netlist(t, layout), repeat),
        "sorted": SHAPE.weights / median_seconds(lambda: check_wires(t, layout), repeat),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [
        measure(name, kind, options.repeat) for name in ("n5", "sky130", "asap7") for kind in KINDS
    ]
    if options.json:
        print(json.dumps({"machine": platform.processor() or platform.machine(), "rows": rows}))
        return
    print(
        f"tiles of {SHAPE.rows} rows and {SHAPE.blocks * 32} inputs; load {os.getloadavg()[0]:.1f}"
    )
    print(
        "\n| process | array kind | rectangles | DRC, k weights/s | netlist, k/s | sorted check, k/s |"
    )
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(f"| {row['technology']} | {row['kind']} | {row['rectangles']} | {row['drc'] / 1e3:.1f} | "
              f"{row['netlist'] / 1e3:.1f} | {row['sorted'] / 1e3:.0f} |")  # fmt: skip


if __name__ == "__main__":
    main()
