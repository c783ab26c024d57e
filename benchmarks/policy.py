"""Perplexity and digits per weight of every policy:  python benchmarks/policy.py MODEL

Builds a checkpoint under each combination of formats and activation widths
and scores held-out text (an excerpt of the modules that training/corpus.py
holds out) beside the float model.  Prints the Markdown table of
docs/policy.md, or JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import hnlpu
from hnlpu.silicon.hardwire import open_build

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
import corpus

ONE, TWO = "mxfp4", "mxfp4x2"
FORMATS = {
    "all one digit": {"attention": ONE, "router": ONE, "unembedding": ONE},
    "attention two": {"attention": TWO, "router": ONE, "unembedding": ONE},
    "router two": {"attention": ONE, "router": TWO, "unembedding": ONE},
    "unembedding two": {"attention": ONE, "router": ONE, "unembedding": TWO},
    "router and unembedding two": {"attention": ONE, "router": TWO, "unembedding": TWO},
    "all two": {"attention": TWO, "router": TWO, "unembedding": TWO},
    "auto (default)": {},
}
BITS = (6, 8, 10, 12, 16)


def digits_per_weight(directory: Path) -> float:
    """Digits per hardwired weight of a build."""
    matrices = open_build(directory).manifest.matrices.values()
    return sum(m.weights * len(m.digits) for m in matrices) / sum(m.weights for m in matrices)


def measure(checkpoint: Path, text: str) -> dict[str, object]:
    """Perplexities: of the float model, and per formats and activation width."""
    base = hnlpu.open(checkpoint).score(text)
    rows = {}
    for name, formats in FORMATS.items():
        row: dict[str, float] = {}
        for bits in BITS:
            with tempfile.TemporaryDirectory() as folder:
                build = Path(folder) / "build"
                policy = hnlpu.make_policy("default", activation_bits=bits, **formats)
                hnlpu.build(checkpoint, build, policy)
                row[f"{bits} bits"] = hnlpu.open(build).score(text).perplexity
                if bits == BITS[-1]:
                    free = hnlpu.open(build, float_activations=True)
                    row["float"] = free.score(text).perplexity
                    row["digits"] = digits_per_weight(build)
        rows[name] = row
        print(name, {k: round(v, 4) for k, v in row.items()}, file=sys.stderr)
    return {
        "float": base.perplexity,
        "tokens": len(base.logprobs),
        "bytes": len(text.encode()),
        "rows": rows,
    }


def markdown(results: dict[str, object]) -> str:
    """The table: change of perplexity against the float model, in percent."""
    base, rows = results["float"], results["rows"]
    assert isinstance(base, float)
    assert isinstance(rows, dict)
    columns = [*(f"{b} bits" for b in BITS), "float"]
    lines = [
        "| formats | digits a weight | " + " | ".join(columns) + " |",
        "|---|---|" + "---|" * len(columns),
    ]
    for name, row in rows.items():
        cells = " | ".join(f"{100 * (row[c] / base - 1):+.2f} %" for c in columns)
        lines.append(f"| {name} | {row['digits']:.3f} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Perplexity of every policy.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--bytes", type=int, default=120_000, help="size of the excerpt")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    text = corpus.excerpt(corpus.held_out_documents(), args.bytes)
    results = measure(args.checkpoint, text)
    if args.json:
        print(json.dumps(results, indent=1))
        return
    print(f"float model: perplexity {results['float']:.4f} over {results['tokens']} tokens\n")
    print(markdown(results))


if __name__ == "__main__":
    main()
