"""What the taps scheme needs in every process, and the proof that its cells are legal there.

python benchmarks/technologies.py            the tables of docs/technology.md
python benchmarks/technologies.py --prove    KLayout's DRC on the proof tile of each kind (minutes)
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from hnlpu.silicon.embed import ArrayKind, Taps, TileShape, programmable_masks
from hnlpu.silicon.embed._kind import SCALE_RANGES
from hnlpu.silicon.masks._klayout import check_rules, extract_netlist
from hnlpu.silicon.masks._named_weights import weights_of_names
from hnlpu.silicon.masks._proof import proof_tile
from hnlpu.silicon.masks._wires import check_wires
from hnlpu.silicon.technology import load_technology, technology_names

KINDS = (
    ArrayKind("taps", 1, 1, 0), ArrayKind("taps", 1, 1, 2), ArrayKind("taps", 1, 1, 8),
    ArrayKind("taps", 2, 1, 2), ArrayKind("taps", 1, 8, 2),
)  # fmt: skip


def measure(taps: Taps) -> dict[str, Any]:
    """Sizes of one array kind in one process; areas are per weight of all its digits."""
    t, digits = taps.technology, taps.kind.digits
    width = taps.block_cells * taps.cell / 32
    use = taps.track_use()
    return {
        "technology": t.name, "kind": taps.kind.name,
        "cell_nm": taps.cell, "metal_pitch_nm": taps.metal_pitch, "row_pitch_nm": taps.pitch,
        "scale_cells": taps.scale_cells,
        "transistors_per_weight": taps.transistors(1024, 1024) * digits,
        "metal_um2_per_weight": width * taps.metal_pitch * 1e-6 * digits,
        "um2_per_weight": taps.area_um2() * digits,
        "million_weights_per_die":
            (t.die.area.value - t.die.other_area_mm2) / (taps.area_um2() * digits),
        "use": {name: layer["use"] for name, layer in use.items()},
        "masks": programmable_masks(t, taps),
    }  # fmt: skip


def prove(taps: Taps) -> dict[str, Any]:
    """KLayout's verdict on the proof tile, and whether its netlist says the weights."""
    _, digits = proof_tile(taps)
    shape = TileShape(digits.rows, digits.blocks)
    layout = taps.base(shape).merged(taps.draw(digits))
    began = time.thread_time()
    violations = check_rules(taps.technology, layout)
    seconds = time.thread_time() - began
    integers, faults = weights_of_names(extract_netlist(taps.technology, layout), shape)
    return {
        "technology": taps.technology.name, "kind": taps.kind.name, "weights": digits.weights,
        "violations": [str(violation) for violation in violations],
        "by_sorting": [str(violation) for violation in check_wires(taps.technology, layout)],
        "faults": [fault.what for fault in faults],
        "weights_right": bool((integers == digits.integers()).all()),
        "drc_seconds": seconds,
    }  # fmt: skip


def show(rows: list[dict[str, Any]]) -> None:
    print("| process | array kind | cell, nm | row by metal / drawn, nm | transistors a weight "
          "| um2 a weight by metal / drawn | weights a die, M |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    for r in rows:
        print(f"| {r['technology']} | {r['kind']} | {r['cell_nm']} | {r['metal_pitch_nm']} / "
              f"{r['row_pitch_nm']} | {r['transistors_per_weight']:.1f} | "
              f"{r['metal_um2_per_weight']:.3g} / {r['um2_per_weight']:.3g} | "
              f"{r['million_weights_per_die']:,.{0 if r['million_weights_per_die'] > 100 else 2}f} |")  # fmt: skip
    print()
    for r in rows:
        if r["kind"] == KINDS[-1].name:
            use = ", ".join(f"{name} {share:.0%}" for name, share in r["use"].items())
            print(f"{r['technology']}: {use}; programmable masks: {', '.join(r['masks'])}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prove", action="store_true", help="run KLayout on the proof tiles")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    schemes = [Taps(load_technology(name), kind) for name in technology_names() for kind in KINDS]
    if not options.prove:
        rows = [measure(taps) for taps in schemes]
        print(json.dumps(rows)) if options.json else show(rows)
        return
    verdicts = []
    for name in technology_names():
        for scale_range in SCALE_RANGES:
            for bank in (1, 8):
                kind = ArrayKind("taps", 1, bank, scale_range)
                verdicts.append(prove(Taps(load_technology(name), kind)))
                if not options.json:
                    v = verdicts[-1]
                    sound = (
                        v["weights_right"] and not v["violations"] + v["by_sorting"] + v["faults"]
                    )
                    print(f"{name:7} {kind.name:15} {v['weights']:6} weights, "
                          f"{len(v['violations'])} violations, {v['drc_seconds']:.1f} s, "
                          f"{'legal and read back' if sound else 'WRONG'}", flush=True)  # fmt: skip
    if options.json:
        print(json.dumps(verdicts))
    if any(
        v["violations"] or v["by_sorting"] or v["faults"] or not v["weights_right"]
        for v in verdicts
    ):
        sys.exit(1)


if __name__ == "__main__":
    main()
