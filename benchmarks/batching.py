"""Tokens per second of the engine, by the number of requests in the batch.

    python benchmarks/batching.py BUILD

Every request decodes `--tokens` tokens after a prompt of its own; rates count
all of them, and medians of `--repeat` runs are quoted, by the clock and by the
processor time of all threads, which a shared machine changes less.  The first
line is `LanguageModel.generate`, one request after the other.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

import numpy as np

from hnlpu.run.emulate import open_language_model
from hnlpu.run.engine import Engine, Request


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path)
    parser.add_argument("--batches", default="1,8,64,200")
    parser.add_argument("--prompt-tokens", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    model = open_language_model(options.build)
    random = np.random.default_rng(0)

    def requests(count: int) -> list[Request]:
        prompts = random.integers(3, model.vocab_size, (count, options.prompt_tokens)).tolist()
        return [Request(tuple(p), max_tokens=options.tokens, ignore_end=True) for p in prompts]

    def rate(count: int) -> tuple[float, float]:
        engine, batch = Engine(model), requests(count)
        began, cpu = time.perf_counter(), time.process_time()
        engine.run(batch)
        made = count * options.tokens
        return made / (time.perf_counter() - began), made / (time.process_time() - cpu)

    def alone() -> tuple[float, float]:
        prompt = list(requests(1)[0].prompt)
        began, cpu = time.perf_counter(), time.process_time()
        made = sum(1 for _ in model.generate(prompt, max_tokens=options.tokens, ignore_end=True))
        return made / (time.perf_counter() - began), made / (time.process_time() - cpu)

    alone(), rate(2)  # compile and map
    runs = {"generate": [alone() for _ in range(options.repeat)]}
    for count in map(int, options.batches.split(",")):
        runs[f"{count} at once"] = [rate(count) for _ in range(options.repeat)]
    print(f"load average {os.getloadavg()[0]:.1f}\n{'':<14} tokens/s  tokens/s of processor time")
    for name, found in runs.items():
        wall, cpu = (statistics.median(values) for values in zip(*found, strict=True))
        print(f"{name:<14} {wall:>8.0f}  {cpu:>8.0f}")


if __name__ == "__main__":
    main()
