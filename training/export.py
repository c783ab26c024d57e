"""A trained state -> a checkpoint:  python training/export.py --run RUN --out DIR

Tensor names and layout are those of the Hugging Face checkpoints of the model's kind.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from kinds import KINDS
from vocabulary import END_OF_TEXT, PADDING


def export(run: Path, out: Path) -> None:
    """Write the checkpoint of the training run `run` into the folder `out`."""
    state = torch.load(run / "state.pt", weights_only=True)
    kind, recipe = KINDS[state.get("kind", "gpt_oss")], state["recipe"]
    shape = kind.shape(**state["shape"])
    out.mkdir(parents=True, exist_ok=True)
    save_file(
        kind.tensors(state["model"], shape),
        out / "model.safetensors",
        metadata={"format": "pt"},
    )
    (out / "model.safetensors").chmod(0o644)  # the library writes files for their owner only
    text = json.dumps(kind.config(shape, recipe["long_sequence"]), indent=2) + "\n"
    (out / "config.json").write_text(text)
    shutil.copyfile(run / "tokenizer.json", out / "tokenizer.json")
    settings = {
        "clean_up_tokenization_spaces": False, "eos_token": END_OF_TEXT,
        "model_max_length": recipe["long_sequence"], "pad_token": PADDING,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }  # fmt: skip
    (out / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    history = {key: state[key] for key in ("step", "seconds", "threads", "recipe", "facts")}
    history["loss"] = state["history"][:: max(1, len(state["history"]) // 200)]
    (out / "training.json").write_text(json.dumps(history, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Export a training run as a checkpoint.")
    parser.add_argument("--run", type=Path, required=True, help="folder that train.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    args = parser.parse_args()
    export(args.run, args.out)
    size = sum(p.stat().st_size for p in args.out.iterdir())
    print(f"{args.out}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
