"""What a step costs outside of the kernels: Python, scheduling, sampling, detokenising.

    requests ─► engine, or generate ─► steps of decode ─► processor time of each
                                          └► of that, inside calls of the C library

For models so small that a token takes microseconds: the bundled one, Mamba-2 and a GRU with random
weights.  One thread; medians over steps of processor time, which other jobs disturb least.

    python benchmarks/overhead.py --work /tmp/overhead
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import hnlpu
from families import CONFIGS, make_build
from hnlpu.run.emulate import LanguageModel, open_language_model
from hnlpu.run.engine import Engine, Request
from hnlpu.run.kernels import load
from hnlpu.silicon.hardwire import machine

BUNDLED = Path(__file__).parent.parent / "checkpoints" / "stdlib-8m"
MODELS = {"bundled": "stdlib-8m", "mamba2": "mamba2", "gru": "gru"}
PROMPT, WARM = 16, 4
ALONE = "generate"


class Clock:
    """Processor time spent inside the library: counts while the library's one call runs."""

    def __init__(self) -> None:
        library, reason = load()
        if library is None:
            raise SystemExit(reason)
        library.set_threads(1)
        self.inside, run = 0.0, library.run

        def timed(name: str, *arguments: float) -> None:
            began = time.thread_time()
            run(name, *arguments)
            self.inside += time.thread_time() - began

        library.run = timed


def make_model(work: Path, name: str) -> Path:
    """The build of one of MODELS, where it is missing."""
    if MODELS[name] in CONFIGS:
        return make_build(work, MODELS[name])
    build = work / MODELS[name]
    if not build.exists():
        hnlpu.build(BUNDLED, build)
    return build


def steps_of(model: LanguageModel, batch: int, tokens: int) -> Iterator[None]:
    """A step of decode at each turn, of `batch` requests in the engine; of `generate` if 0."""
    random = np.random.default_rng(0)
    prompts = random.integers(3, model.vocab_size, (max(batch, 1), PROMPT)).tolist()
    if not batch:
        for _ in model.generate(prompts[0], max_tokens=tokens, ignore_end=True):
            yield
        return
    engine = Engine(model)
    for prompt in prompts:
        engine.submit(Request(tuple(prompt), max_tokens=tokens, ignore_end=True))
    while engine.busy:
        before = engine.counters.new_tokens
        engine.step()
        if engine.counters.new_tokens - before == batch:  # all of them decode
            yield


def measure(model: LanguageModel, batch: int, tokens: int, clock: Clock) -> dict[str, float]:
    """Medians over steps, in microseconds of processor time."""
    totals, insides = [], []
    steps = steps_of(model, batch, tokens)
    for _ in range(WARM):
        next(steps)
    clock.inside, began = 0.0, time.thread_time()
    for _ in steps:
        totals.append(time.thread_time() - began)
        insides.append(clock.inside)
        clock.inside, began = 0.0, time.thread_time()
    total, inside = (statistics.median(times) * 1e6 for times in (totals, insides))
    outside = statistics.median(t - i for t, i in zip(totals, insides, strict=True)) * 1e6
    return {"step_us": total, "kernels_us": inside, "outside_us": outside, "share": outside / total}


def main() -> None:
    """Make what is missing, measure, print."""
    parser = argparse.ArgumentParser(description="Measure what a step costs outside of kernels.")
    parser.add_argument("--work", type=Path, required=True, help="folder for models (1 GB)")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--batches", type=int, nargs="+", default=[0, 1, 64],
                        help="requests at once; 0 is generate (default 0 1 64)")  # fmt: skip
    parser.add_argument("--tokens", type=int, default=100, help="tokens of each (default 100)")
    parser.add_argument("--instructions", help="instruction set of the kernels (default: the best)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    clock = Clock()
    library, _ = load()
    if options.instructions and library is not None:
        library.choose(options.instructions)
    facts: dict[str, Any] = {}
    for name in options.models:
        model = open_language_model(make_model(options.work, name))
        for batch in options.batches:
            way = f"{batch} in the engine" if batch else ALONE
            facts[f"{name}, {way}"] = measure(model, batch, options.tokens, clock)
    if options.json:
        medians = {name: 1e6 / of["step_us"] for name, of in facts.items()}
        print(json.dumps(facts | {"medians": medians}, indent=1))
        return
    print(f"{machine()}, one thread, load average {os.getloadavg()[0]:.1f}\n")
    print("| model, requests | microseconds of a step | in kernels | outside | share outside |")
    print("|---|---|---|---|---|")
    for name, of in facts.items():
        print(f"| {name} | {of['step_us']:.0f} | {of['kernels_us']:.0f} | {of['outside_us']:.0f} | "
              f"{of['share']:.0%} |")  # fmt: skip


if __name__ == "__main__":
    main()
