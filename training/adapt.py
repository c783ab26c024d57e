"""Adapt a checkpoint to another text: a LoRA adapter, and the perplexity before and after.

    python training/adapt.py checkpoints/stdlib-8m --out runs/c-headers
    hnlpu adapter check runs/c-headers runs/c-headers.build
    hnlpu serve runs/c-headers.build --adapter runs/c-headers

By default the text is C: the headers that come with Python; `--text` takes any
files.  One part in ten is held out.  The checkpoint's own weights stay as they
are: only A and B of the attention's projections learn, in float32 by torch
and transformers.  Both perplexities are those of the hardwired model, the
second with the adapter in its side channel.
"""

from __future__ import annotations

import argparse
import json
import math
import sysconfig
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import hnlpu
from hnlpu.run.emulate import LanguageModel, open_language_model
from hnlpu.run.engine import Engine, Request, network_of, read_adapter

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")
WINDOW = 256  # tokens that are learnt from, or scored, together


class LowRank(nn.Module):
    """A frozen linear layer and scaling * B (A x) beside it; B begins as 0."""

    def __init__(self, frozen: nn.Linear, rank: int, scaling: float):
        super().__init__()
        self.frozen = frozen
        self.scaling = scaling
        self.A = nn.Parameter(torch.randn(rank, frozen.in_features) / math.sqrt(rank))
        self.B = nn.Parameter(torch.zeros(frozen.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        """The frozen layer's output and what was learnt."""
        return self.frozen(x) + self.scaling * (x @ self.A.T) @ self.B.T


def adapted(checkpoint: Path, rank: int, alpha: float) -> tuple[Any, dict[str, LowRank]]:
    """The checkpoint in float32 with a low-rank part at every attention projection."""
    from transformers import GptOssForCausalLM, Mxfp4Config

    model = GptOssForCausalLM.from_pretrained(
        checkpoint, dtype=torch.float32, quantization_config=Mxfp4Config(dequantize=True),
        attn_implementation="eager",
    )  # fmt: skip
    model.requires_grad_(False)
    parts = {}
    for number, layer in enumerate(model.model.layers):
        for name in PROJECTIONS:
            part = LowRank(getattr(layer.self_attn, name), rank, alpha / rank)
            setattr(layer.self_attn, name, part)
            parts[f"model.layers.{number}.self_attn.{name}"] = part
    return model, parts


def learn(
    model: Any, parts: dict[str, LowRank], tokens: Tensor, options: argparse.Namespace
) -> list[float]:
    """Train the parts for `--minutes` or `--steps`, whichever ends first; the losses."""
    parameters = [value for part in parts.values() for value in (part.A, part.B)]
    optimizer = torch.optim.AdamW(parameters, lr=options.rate, weight_decay=0.0)
    random = torch.Generator().manual_seed(options.seed)
    end = time.monotonic() + 60 * options.minutes
    losses: list[float] = []
    while len(losses) < options.steps and time.monotonic() < end:
        starts = torch.randint(len(tokens) - WINDOW, (options.batch,), generator=random)
        batch = torch.stack([tokens[start : start + WINDOW] for start in starts.tolist()])
        for group in optimizer.param_groups:  # up over 20 steps, then down to a tenth
            group["lr"] = options.rate * min(
                (len(losses) + 1) / 20, max(0.1, 1 - len(losses) / options.steps)
            )
        loss = model(batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if len(losses) % 20 == 0:
            print(f"step {len(losses):4}  loss {np.mean(losses[-20:]):.4f}", flush=True)
    return losses


def write_adapter(
    folder: Path, parts: dict[str, LowRank], checkpoint: Path, rank: int, alpha: float
) -> None:
    """The adapter as PEFT writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for name, part in parts.items():
        for key, value in (("A", part.A), ("B", part.B)):
            tensors[f"base_model.model.{name}.lora_{key}.weight"] = value.detach().contiguous()
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": alpha,
        "target_modules": list(PROJECTIONS), "bias": "none",
        "base_model_name_or_path": str(checkpoint),
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=1))


def perplexity(model: LanguageModel, tokens: list[int], adapter: Path | None) -> float:
    """Exp of the mean negative log-likelihood of windows of `WINDOW` tokens, each on its own."""
    loaded = {} if adapter is None else {"adapter": read_adapter(adapter, network_of(model))}
    engine = Engine(model, adapters=loaded)
    windows = [tokens[i : i + WINDOW] for i in range(0, len(tokens) - 1, WINDOW)]
    name = None if adapter is None else "adapter"
    results = engine.run(
        Request(tuple(window), max_tokens=0, score_prompt=True, adapter=name)
        for window in windows
        if len(window) > 1
    )
    logprobs = [score.logprob for result in results for score in result.prompt_scores]
    return math.exp(-math.fsum(logprobs) / len(logprobs))


def texts(files: list[Path]) -> tuple[str, str]:
    """The text to learn from and the held-out one: every tenth file, or the end of a single one."""
    found = [file.read_text("utf-8", errors="replace") for file in sorted(files)]
    if len(found) < 10:
        whole = "\n".join(found)
        cut = len(whole) * 9 // 10
        return whole[:cut], whole[cut:]
    rest = [text for i, text in enumerate(found) if i % 10 != 5]
    return "\n".join(rest), "\n".join(found[5::10])


def main() -> None:
    """Learn, write, measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of the adapter")
    parser.add_argument("--text", type=Path, nargs="+", help="files (default: Python's C headers)")
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--alpha", type=float, default=16)
    parser.add_argument("--rate", type=float, default=5e-3, help="of learning")
    parser.add_argument("--batch", type=int, default=8, help="windows a step")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--scored", type=int, default=8192, help="held-out tokens to score")
    parser.add_argument(
        "--threads", type=int, default=1, help="of torch; more spin on a busy machine"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    files = options.text or sorted(Path(sysconfig.get_path("include")).rglob("*.h"))
    if not files:
        parser.error("this Python came without its headers; name files with --text")
    build = options.out.with_name(options.out.name + ".build")
    if not build.exists():
        hnlpu.build(str(options.checkpoint), build)
    hardwired = open_language_model(build)
    learnt_from, held_out = texts(files)
    scored = hardwired.encode(held_out).tolist()[: options.scored]
    before = perplexity(hardwired, scored, None)
    print(f"perplexity of {len(scored):,} held-out tokens: {before:.3f}", flush=True)
    model, parts = adapted(options.checkpoint, options.rank, options.alpha)
    began = time.monotonic()
    tokens = torch.from_numpy(hardwired.encode(learnt_from))
    losses = learn(model, parts, tokens, options)
    minutes = (time.monotonic() - began) / 60
    write_adapter(options.out, parts, options.checkpoint, options.rank, options.alpha)
    after = perplexity(hardwired, scored, options.out)
    print(f"{options.out}: {len(losses)} steps in {minutes:.1f} minutes, perplexity {after:.3f}")
    facts = {"before": before, "after": after, "steps": len(losses), "minutes": minutes}
    (options.out / "adaptation.json").write_text(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
