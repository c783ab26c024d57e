"""What of a fine-tune survives hardwiring:  python benchmarks/merged_experts.py MODEL

Adds random low-rank changes to the experts of a gpt-oss checkpoint, as a merged LoRA leaves them,
stores them in bfloat16, and builds that under each format of the experts.  Prints how far the
log-probabilities of a text move from those of the checkpoint without the change, in float and in
metal, in nats a token, with the relative error of the weights beside it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

import hnlpu
from hnlpu.arithmetic.mx import dequantize
from hnlpu.silicon.hardwire import open_build, role_errors

RANK, SIZE, SEED = 4, 0.01, 0
TEXT = Path(__file__).parents[1] / "src/hnlpu/arithmetic/mx.py"


def merged(checkpoint: Path, out: Path) -> Path:
    """The checkpoint with changed experts in bfloat16."""
    shutil.copytree(checkpoint, out)
    config = json.loads((out / "config.json").read_text())
    config.pop("quantization_config", None)
    (out / "config.json").write_text(json.dumps(config))
    torch.manual_seed(SEED)
    tensors = load_file(out / "model.safetensors")
    for name in [n for n in tensors if n.endswith("_blocks")]:
        stem = name.removesuffix("_blocks")
        blocks, scales = tensors.pop(name), tensors.pop(stem + "_scales")
        values = torch.from_numpy(dequantize(blocks.numpy(), scales.numpy()))
        count, rows, columns = values.shape
        left = SIZE * torch.randn(count, rows, RANK)
        right = torch.randn(count, RANK, columns) / columns**0.5
        changed = (values + 2 * left @ right).transpose(1, 2)
        tensors[stem] = changed.contiguous().to(torch.bfloat16)
    save_file(tensors, out / "model.safetensors")
    return out


def measure(checkpoint: Path, text: str) -> list[dict[str, Any]]:
    """Rows: where it runs, relative error of the experts, how far log-probabilities moved."""

    def scored(folder: Path) -> np.ndarray:
        return np.array(hnlpu.open(folder).score(text).logprobs)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tuned = merged(checkpoint, folder / "tuned")
        moved = float(np.abs(scored(tuned) - scored(checkpoint)).mean())
        rows = [{"in": "float", "relative_error": 0.0, "moved": moved}]
        base = scored(hnlpu.build(checkpoint, folder / "base"))
        for fmt in ("mxfp4", "auto"):
            build = hnlpu.build(tuned, folder / fmt, hnlpu.make_policy(experts=fmt))
            errors = role_errors(open_build(build).manifest.matrices)
            error = next(e.relative_error for e in errors if e.role == "experts")
            moved = float(np.abs(scored(build) - base).mean())
            rows.append({"in": f"metal, {fmt}", "relative_error": error, "moved": moved})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="What of a fine-tune survives hardwiring.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = measure(args.checkpoint, TEXT.read_text())
    if args.json:
        print(json.dumps(rows, indent=1))
        return
    print("| experts in | relative error | moves, nats a token |\n|---|---|---|")
    for row in rows:
        print(f"| {row['in']} | {100 * row['relative_error']:.2f} % | {row['moved']:.4f} |")


if __name__ == "__main__":
    main()
