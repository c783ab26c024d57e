"""What each codebook takes in metal, and loses:  python benchmarks/codebooks.py TEXT

For every codebook and process the taps scheme's cell, row, transistors, area and masks, with dense
arrays and with eight experts on a popcount; then the perplexity of the small models of this
repository with every matrix in that format.  Prints the tables of docs/policy.md, or JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import hnlpu
from hnlpu.arithmetic.codebooks import codebook_names, open_codebook
from hnlpu.model.policy import WITHOUT_METAL
from hnlpu.silicon.embed import ArrayKind, Taps, masks_needed
from hnlpu.silicon.hardwire import open_build, role_errors
from hnlpu.silicon.rtl import array_shape
from hnlpu.silicon.technology import load_technology

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"
MODELS = ("llama-90k", "qwen3-90k", "gru-106k")
ROLES = ("attention", "router", "experts", "unembedding", "dense")
BITS, SIZE, SCALE_RANGE = 12, 1024, 2
TECHNOLOGIES = ("n5", "sky130", "asap7")


def metal(name: str, technology: str, bank: int) -> dict[str, Any]:
    """Of arrays of 1024 inputs and neurons."""
    kind = ArrayKind("taps", 1, bank, SCALE_RANGE, codebook=name)
    taps = Taps(load_technology(technology), kind)
    shape = array_shape(kind, SIZE, (SIZE // 32,), BITS)
    return {
        "codebook": name, "technology": technology, "bank": bank,
        "trunks": len(open_codebook(name).codes) - 1, "cell_nm": taps.cell, "row_nm": taps.pitch,
        "metal_row_nm": taps.metal_pitch, "transistors": taps.transistors(SIZE, SIZE, BITS),
        "um2": taps.area_um2(), "masks": masks_needed([(taps, None)]).programmable,
        "steps": shape.steps,
    }  # fmt: skip


def quality(model: str, fmt: str, text: str) -> dict[str, Any]:
    """Perplexity of a model with every matrix in one format, beside float."""
    with tempfile.TemporaryDirectory() as folder:
        policy = hnlpu.make_policy(**dict.fromkeys(ROLES, fmt))
        build = hnlpu.build(CHECKPOINTS / model, Path(folder) / "b", policy)
        records = open_build(build).manifest.matrices
        same = {n: r.model_copy(update={"role": "attention"}) for n, r in records.items()}
        base = hnlpu.open(CHECKPOINTS / model).score(text).perplexity
        return {
            "model": model, "format": fmt, "relative_error": role_errors(same)[0].relative_error,
            "float": base, "perplexity": hnlpu.open(build).score(text).perplexity,
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Codebooks in metal.")
    parser.add_argument("text", type=Path)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    text = args.text.read_text("utf-8")
    books = [n for n in ("e2m1", "int3", "ternary") if n in codebook_names()]
    assert set(books) == set(codebook_names()) - set(WITHOUT_METAL)
    areas = [metal(n, t, b) for t in TECHNOLOGIES for b in (1, 8) for n in books]
    losses = [quality(m, f, text) for m in MODELS for f in ("mxfp4", "int3", "ternary")]
    if args.json:
        print(json.dumps({"metal": areas, "quality": losses}, indent=1))
        return
    print("| process | bank | codebook | trunks | cell, nm | row, nm (metal alone) | transistors | um2 |"
          " masks | steps |\n|---|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    for a in areas:
        print(f"| {a['technology']} | {a['bank']} | {a['codebook']} | {a['trunks']} | {a['cell_nm']} | "
              f"{a['row_nm']} ({a['metal_row_nm']}) | {a['transistors']:.1f} | {a['um2']:.4g} | "
              f"{a['masks']} | {a['steps']} |")  # fmt: skip
    print("\n| model | format | relative error | perplexity | over float |\n|---|---|---|---|---|")
    for q in losses:
        change = 100 * (q["perplexity"] / q["float"] - 1)
        print(f"| {q['model']} | {q['format']} | {100 * q['relative_error']:.3g} % | "
              f"{q['perplexity']:.4g} | {change:+.3g} % |")  # fmt: skip


if __name__ == "__main__":
    main()
