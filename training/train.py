"""Train a model:  python training/train.py --out runs/stdlib --minutes 100

The bundled model by default; `--model` takes the others of `configurations.py`.
Writes `state.pt` every few minutes and resumes from it; `export.py` turns the
state into a checkpoint.  Muon drives the matrices of attention and
experts, AdamW everything else.  The learning rate warms up, stays, and falls
linearly to zero over the last part of the run; the last 60 % of the steps
train on the MXFP4 grid, the last 25 % with twice the sequence length.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import nn

import corpus
from configurations import CONFIGURATIONS, Recipe
from kinds import KINDS, AnyShape, kind_of
from model import Linear
from vocabulary import END_OF_TEXT, train_tokenizer


def encode(tokenizer: Tokenizer, texts: list[str]) -> np.ndarray:
    """Token ids of all texts, one end-of-text token before each: int64 [n]."""
    end = tokenizer.token_to_id(END_OF_TEXT)
    ids = [np.array([end, *e.ids]) for e in tokenizer.encode_batch(texts)]
    return np.concatenate(ids)


class Windows:
    """Endless random windows of the text: every epoch a new offset and order."""

    def __init__(self, tokens: np.ndarray, seed: int):
        self.tokens = tokens
        self.seed = seed

    def batch(self, step: int, rows: int, length: int) -> torch.Tensor:
        """Tokens [rows, length + 1] of `step`; the same for the same arguments."""
        per_epoch = (len(self.tokens) - length - 1) // length - 1
        picked = []
        for i in range(step * rows, (step + 1) * rows):
            epoch, position = divmod(i, per_epoch)
            rng = np.random.default_rng((self.seed, epoch, length))
            offset = int(rng.integers(length))
            start = offset + int(rng.permutation(per_epoch)[position]) * length
            picked.append(self.tokens[start : start + length + 1])
        return torch.from_numpy(np.stack(picked))


def optimizers(model: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of `Linear`s, where there are any, AdamW for everything else."""
    matrices = [m.weight for m in model.modules() if isinstance(m, Linear)]
    known = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in known]
    decayed = [p for p in rest if p.ndim == 2]
    plain = [p for p in rest if p.ndim != 2]
    drivers: list[torch.optim.Optimizer] = []
    if matrices:
        muon = torch.optim.Muon(
            matrices, lr=recipe.muon_lr, weight_decay=recipe.weight_decay, momentum=0.95,
            adjust_lr_fn="match_rms_adamw",
        )  # fmt: skip
        drivers.append(muon)
    adamw = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": recipe.weight_decay},
         {"params": plain, "weight_decay": 0.0}],
        lr=recipe.adamw_lr, betas=(0.9, 0.95),
    )  # fmt: skip
    drivers.append(adamw)
    for optimizer in drivers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return drivers


def rate(step: int, progress: float, recipe: Recipe) -> float:
    """Learning rate as a fraction of its peak: warm-up by steps, decay by progress."""
    warmup = min(1.0, (step + 1) / recipe.warmup_steps)
    return warmup * min(1.0, (1 - progress) / (1 - recipe.decay_from))


def train(
    out: Path, shape: AnyShape, recipe: Recipe, minutes: float | None, text_bytes: int | None
) -> None:
    """Train `recipe.steps` steps, or for `minutes`; continue from `out/state.pt` if there is one.

    With `minutes` the schedule follows the clock, so that a slow or shared
    machine still ends its decay on time (and the steps done are recorded).
    """
    out.mkdir(parents=True, exist_ok=True)
    documents = corpus.training_documents()
    if text_bytes:
        documents = documents[:: max(1, sum(len(d.text) for d in documents) // text_bytes)]
    texts = [d.text for d in documents]
    tokenizer_file = out / "tokenizer.json"
    if not tokenizer_file.exists():
        train_tokenizer(texts, shape.vocab_size).save(str(tokenizer_file))
    tokens = encode(Tokenizer.from_file(str(tokenizer_file)), texts)
    windows = Windows(tokens, recipe.seed)

    torch.manual_seed(recipe.seed)
    kind = kind_of(shape)
    model = KINDS[kind].module(shape)
    drivers = optimizers(model, recipe)
    start, seconds, history = 0, 0.0, []
    state_file = out / "state.pt"
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        if state["shape"] != asdict(shape):
            raise SystemExit(f"{state_file}: trained with another shape; use another --out")
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(drivers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        start, seconds, history = state["step"], state["seconds"], state["history"]
        print(f"continuing at step {start}")

    def save(step: int) -> None:
        facts = {
            "text_sha256": corpus.digest(documents),
            "text_bytes": sum(len(t.encode()) for t in texts),
            "documents": len(documents),
            "tokens": len(tokens),
            "parameters": sum(p.numel() for p in model.parameters()),
        }
        temporary = state_file.with_suffix(".part")
        torch.save(
            {
                "model": model.state_dict(), "optimizers": [o.state_dict() for o in drivers],
                "step": step, "seconds": seconds, "history": history, "kind": kind, "shape": asdict(shape),
                "recipe": asdict(recipe), "facts": facts, "threads": torch.get_num_threads(),
            },
            temporary,
        )  # fmt: skip
        temporary.replace(state_file)

    last_saved = last_printed = time.monotonic()
    step = start
    while (progress := seconds / (60 * minutes) if minutes else step / recipe.steps) < 1:
        began = time.monotonic()
        length = recipe.long_sequence if progress >= recipe.long_from else recipe.sequence
        model.set_quantize(progress >= recipe.quantize_from)
        batch = windows.batch(step, recipe.batch_tokens // length, length)
        logits, balance = model(batch[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        if not math.isfinite(loss.item()):
            raise SystemExit(f"loss is {loss.item()} at step {step}: lower the learning rate")
        for optimizer in drivers:
            optimizer.zero_grad()
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * rate(step, progress, recipe)
        (loss + recipe.balance_weight * balance).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in drivers:
            optimizer.step()
        now = time.monotonic()
        seconds += now - began
        history.append(round(loss.item(), 4))
        step += 1
        if now - last_printed > 20:
            last_printed = now
            mean = sum(history[-20:]) / len(history[-20:])
            print(
                f"step {step}  {progress:.1%}  loss {mean:.3f}  balance {balance.item():.2f}  "
                f"{now - began:.2f} s/step  {seconds / 60:.1f} min",
                flush=True,
            )
        if now - last_saved > 240:
            last_saved = now
            save(step)
    save(step)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a small model.")
    parser.add_argument("--model", choices=CONFIGURATIONS, default="stdlib-8m")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="length of the run (default: the recipe's)")
    length.add_argument("--minutes", type=float, help="length of the run by the clock")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    chosen = CONFIGURATIONS[args.model]
    recipe = replace(chosen.recipe, steps=args.steps) if args.steps else chosen.recipe
    train(args.out, chosen.shape, recipe, args.minutes, chosen.text_bytes)


if __name__ == "__main__":
    main()
