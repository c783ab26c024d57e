"""Tokens per second of every family's network: on its tape in C, and in the interpreter, in turns.

    config ─► random checkpoint ─► build ─┬─► tape        ─┐
                                          └─► interpreter ─┴─► in turns ─► medians, ratios

Random weights in the shapes of small models of each family.  Both give the same bits, which is
checked as well.

    python benchmarks/families.py --work /tmp/families
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

import hnlpu
from hnlpu.run.emulate import InterpretedModel, open_language_model
from hnlpu.run.kernels import load
from hnlpu.silicon.hardwire import machine
from synthetic import write_random

Seconds = dict[tuple[str, str], float]
"""By what was done and by which clock."""

DECODER = {
    "vocab_size": 8192, "hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 8,
    "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 64, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 4096, "tie_word_embeddings": False,
}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": DECODER,
    "qwen3": DECODER,
    "qwen3_moe": DECODER | {
        "num_experts": 16, "num_experts_per_tok": 4, "moe_intermediate_size": 384,
        "norm_topk_prob": True, "num_hidden_layers": 4,
    },
    "mamba2": {
        "vocab_size": 8192, "hidden_size": 768, "num_heads": 24, "head_dim": 64, "n_groups": 1,
        "state_size": 128, "conv_kernel": 4, "num_hidden_layers": 8,
    },
    "gru": {"vocab_size": 8192, "hidden_size": 1024, "num_hidden_layers": 2},
}  # fmt: skip


def make_build(work: Path, family: str) -> Path:
    """A random checkpoint of a family and its build, where they are missing."""
    build, checkpoint = work / family, work / f"{family}-checkpoint"
    if build.exists():
        return build
    if not checkpoint.exists():
        write_random(checkpoint, {"model_type": family, **CONFIGS[family]}, 0)
    hnlpu.build(checkpoint, build)
    return build


def one_run(model: InterpretedModel, tokens: np.ndarray, new: int) -> tuple[Seconds, bytes]:
    """Seconds of a prompt and of `new` tokens behind it, and the last logits."""
    cache, clocks = model.new_cache(), (time.perf_counter, time.process_time)
    began = [clock() for clock in clocks]
    model.forward(tokens, cache, last=True)
    prompt = [clock() for clock in clocks]
    for token in tokens[:new]:
        logits = model.logits(model.forward(np.array([token]), cache, last=True))
    end = [clock() for clock in clocks]
    seconds: Seconds = {}
    for n, clock in enumerate(("clock", "cpu")):
        seconds["prefill", clock] = prompt[n] - began[n]
        seconds["decode", clock] = end[n] - prompt[n]
    return seconds, logits.tobytes()


def measure(build: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Tokens per second of both ways, in turns: medians by the clock and by processor time."""
    quick, slow = (open_language_model(build).transformer for _ in range(2))
    assert isinstance(quick, InterpretedModel)
    assert isinstance(slow, InterpretedModel)
    assert quick.taped is not None, quick.not_taped
    slow.taped = None
    tokens = np.random.default_rng(1).integers(0, quick.architecture.vocab_size, options.prompt)
    runs: dict[str, list[Seconds]] = {"tape": [], "interpreter": []}
    last: set[bytes] = set()
    for turn in range(options.repeat + 1):
        for name, model in (("tape", quick), ("interpreter", slow)):
            seconds, logits = one_run(model, tokens, options.tokens)
            last.add(logits)
            if turn:  # the first one maps and warms
                runs[name].append(seconds)
    assert len(last) == 1
    count = {"prefill": options.prompt, "decode": options.tokens}
    return {
        f"{what} {clock}": {
            name: count[what] / statistics.median(seconds[what, clock] for seconds in of)
            for name, of in runs.items()
        }
        for what in ("decode", "prefill")
        for clock in ("clock", "cpu")
    }


def main() -> None:
    """Make what is missing, measure, print."""
    parser = argparse.ArgumentParser(description="Measure the tapes of all families.")
    parser.add_argument("--work", type=Path, required=True, help="folder for models (1 GB)")
    parser.add_argument("--families", nargs="+", default=list(CONFIGS), choices=list(CONFIGS))
    parser.add_argument("--prompt", type=int, default=128, help="tokens of prefill (default 128)")
    parser.add_argument("--tokens", type=int, default=16, help="tokens of decode (default 16)")
    parser.add_argument("--repeat", type=int, default=3, help="turns of each (default 3)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--instructions", help="instruction set of the kernels (default: the best)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    library, reason = load()
    if library is None:
        raise SystemExit(reason)
    library.set_threads(options.threads)
    if options.instructions:
        library.choose(options.instructions)
    options.work.mkdir(parents=True, exist_ok=True)
    facts = {name: measure(make_build(options.work, name), options) for name in options.families}
    if options.json:
        medians = {
            f"{name}, {what}": of[f"{what} cpu"]["tape"]
            for name, of in facts.items()
            for what in ("decode", "prefill")
        }
        print(json.dumps(facts | {"medians": medians}, indent=1))
        return
    print(f"{machine()}, {options.threads} threads, load average {os.getloadavg()[0]:.1f}\n")
    print("| family | what | tape, tokens/s | interpreter | times | times by processor time |")
    print("|---|---|---|---|---|---|")
    for name, of in facts.items():
        for what in ("decode", "prefill"):
            by_clock, by_cpu = of[f"{what} clock"], of[f"{what} cpu"]
            times, cpu = (by["tape"] / by["interpreter"] for by in (by_clock, by_cpu))
            print(f"| {name} | {what} | {by_clock['tape']:.1f} | {by_clock['interpreter']:.1f} | "
                  f"{times:.1f} | {cpu:.1f} |")  # fmt: skip


if __name__ == "__main__":
    main()
