"""Tokens per second of a build (or of a checkpoint in float32): prefill and generation.

Prefill is the time of the first token over the prompt's length; generation
counts the tokens after the first.  Medians of several runs in one process,
after a short one that compiles and maps.

    python benchmarks/generate.py BUILD
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

from hnlpu.run.emulate import LanguageModel, open_language_model


def one_run(model: LanguageModel, prompt: list[int], tokens: int) -> tuple[float, float]:
    """Tokens/s of the prompt, and of the `tokens` new ones after the first."""
    new = model.generate(prompt, max_tokens=tokens + 1, ignore_end=True)
    began = time.perf_counter()
    next(new)
    first = time.perf_counter()
    made = sum(1 for _ in new)
    return len(prompt) / (first - began), made / (time.perf_counter() - first)


def measure(directory: Path, prompt_tokens: int, tokens: int, repeat: int) -> dict[str, Any]:
    """Median rates of `repeat` runs on a prompt of random token ids."""
    model = open_language_model(directory)
    random = np.random.default_rng(0)
    prompt = [int(t) for t in random.integers(0, model.vocab_size, prompt_tokens)]
    one_run(model, prompt, 4)
    runs = [one_run(model, prompt, tokens) for _ in range(repeat)]
    prefill, generation = zip(*runs, strict=True)
    return {
        "directory": str(directory),
        "load_average": round(os.getloadavg()[0], 2),
        "prompt_tokens": prompt_tokens,
        "new_tokens": tokens,
        "prefill_tokens_per_second": round(statistics.median(prefill), 1),
        "generation_tokens_per_second": round(statistics.median(generation), 1),
        "generation_runs": [round(rate, 1) for rate in generation],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure generation by a build.")
    parser.add_argument("directory", type=Path, help="build directory, or checkpoint folder")
    parser.add_argument("--prompt-tokens", type=int, default=256, help="(default 256)")
    parser.add_argument("--tokens", type=int, default=128, help="new tokens (default 128)")
    parser.add_argument("--repeat", type=int, default=5, help="runs (default 5)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    facts = measure(options.directory, options.prompt_tokens, options.tokens, options.repeat)
    if options.json:
        print(json.dumps(facts, indent=1))
        return
    print(
        f"{facts['directory']} (load average {facts['load_average']})\n"
        f"prefill of {facts['prompt_tokens']:>4} tokens {facts['prefill_tokens_per_second']:>8.1f} "
        f"tokens/s\ngeneration of {facts['new_tokens']:>4} {facts['generation_tokens_per_second']:>8.1f}"
        f" tokens/s, runs: {', '.join(f'{rate:.0f}' for rate in facts['generation_runs'])}"
    )


if __name__ == "__main__":
    main()
