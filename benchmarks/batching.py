"""Tokens per second of the engine, by the number of requests in the batch.

    python benchmarks/batching.py BUILD

Every request decodes `--tokens` tokens after a prompt of its own; rates count
all of them, and medians of `--repeat` runs are quoted.  The first line is
`LanguageModel.generate`, one request after the other.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

import numpy as np

from hnlpu.emulate import open_language_model
from hnlpu.engine import Engine, Request


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

    def rate(count: int) -> float:
        engine, batch = Engine(model), requests(count)
        began = time.perf_counter()
        engine.run(batch)
        return count * options.tokens / (time.perf_counter() - began)

    def alone() -> float:
        prompt = list(requests(1)[0].prompt)
        began = time.perf_counter()
        made = sum(1 for _ in model.generate(prompt, max_tokens=options.tokens, ignore_end=True))
        return made / (time.perf_counter() - began)

    alone(), rate(2)  # compile and map
    rates = {"generate": statistics.median(alone() for _ in range(options.repeat))}
    for count in map(int, options.batches.split(",")):
        rates[f"{count} at once"] = statistics.median(rate(count) for _ in range(options.repeat))
    facts = {name: round(value, 1) for name, value in rates.items()}
    print(json.dumps({"load_average": round(os.getloadavg()[0], 1)} | facts, indent=1))


if __name__ == "__main__":
    main()
