"""Speed of the machine's simulator and of the search: the figures of docs/machine.md.

python benchmarks/machine.py            all but the long search
python benchmarks/machine.py --search   2,000 trials too, on two cores
"""

from __future__ import annotations

import argparse
import itertools
import resource
import time
from dataclasses import replace

from hnlpu.system.catalog import load_model, load_system
from hnlpu.system.explore import load_options, make_problem, search
from hnlpu.system.machine import (
    kv_state,
    largest_demand,
    specification,
    token_costs,
    token_work,
)
from hnlpu.system.machine._run import run_decode


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--search", action="store_true", help="also run 2,000 trials")
    asked = parser.parse_args()
    events()
    points()
    if asked.search:
        trials()


def events(tokens: int = 1_000_000) -> None:
    """A million token-steps of gpt-oss-120b on 16 chips: all 36 layers of each, on one core."""
    spec = specification(load_system("hnlpu-asplos26"))
    work = token_work(load_model("gpt-oss-120b"), spec.rows, spec.columns, sliding=True)
    run_decode(spec, work, 2048, 216, 0, tokens=1000)  # compile
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, busy = time.perf_counter(), time.process_time()
    counts = run_decode(spec, work, 2048, 216, 0, tokens=tokens)
    took, busy = time.perf_counter() - began, time.process_time() - busy
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"event simulation: {tokens:,} token-steps in {took:.1f} s ({busy:.1f} s of one core), "
        f"{grown:.1f} MB more memory, {counts.processed_rate:,.0f} tokens/s simulated"
    )


def points(count: int = 20_000) -> None:
    """Design points: latency, demands and bottleneck of each in closed form."""
    base = specification(load_system("hnlpu-asplos26"))
    model = load_model("gpt-oss-120b")
    work = token_work(model, 4, 4, sliding=False)
    embedding = model.embedding_weights
    bandwidths, units, ways = (64e9, 128e9, 256e9), (32, 64, 128), ("direct", "scatter", "ring")
    choices = list(itertools.product(bandwidths, units, ways, (2048, 65536)))
    began, busy = time.perf_counter(), time.process_time()
    for i in range(count):
        bandwidth, heads, way, context = choices[i % len(choices)]
        spec = replace(
            base, column_links=replace(base.column_links, bandwidth=bandwidth),
            heads_per_cycle=heads, collective=way,
        )  # fmt: skip
        kv = kv_state(spec, work, embedding, 216, context)
        largest_demand(token_costs(spec, work, context, kv)[1])
    took, busy = time.perf_counter() - began, time.process_time() - busy
    print(
        f"closed form: {count / took:,.0f} design points/s "
        f"({count / busy:,.0f} a second of one core)"
    )


def trials(count: int = 2000) -> None:
    """A search of both contexts under full contention, on two cores."""
    problem = make_problem(
        load_system("hnlpu-asplos26"), load_model("gpt-oss-120b"), load_options(),
        (2048, 65536), sliding=False,
    )  # fmt: skip
    began = time.perf_counter()
    found = search(problem, ("tokens_per_usd", "tokens_per_joule", "latency"), count, workers=2)
    took = time.perf_counter() - began
    print(
        f"search: {count:,} trials at 2K and 64K in {took:.0f} s on two cores, "
        f"{len(found.front)} on the front"
    )


if __name__ == "__main__":
    main()
