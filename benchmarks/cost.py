"""How fast cost formulas are:  python benchmarks/cost.py

Design points a second of the whole estimate, given as arrays of 10,000, and the time of one command's
parts.  Medians of seven runs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

from hnlpu.system.audit import audit
from hnlpu.system.catalog import load_model, load_system
from hnlpu.system.cost import Demand, assume, bands, buyers_map, estimate, reproduce

POINTS = 10_000
RUNS = 7


def median_seconds(work: Callable[[], object]) -> float:
    """Median time of `work` after one run to warm up."""
    work()
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    system, model = load_system("hnlpu-asplos26"), load_model("gpt-oss-120b")
    rng = np.random.default_rng(0)
    area, power = rng.uniform(300, 850, POINTS), rng.uniform(0.2, 0.8, POINTS)
    chips, hbm = rng.integers(1, 65, POINTS).astype(float), rng.uniform(0, 192, POINTS)

    def designs() -> object:
        a = assume(system, die_mm2=area, chip_kw=power, hbm_gb=hbm)
        return estimate(a, chips, 10, 2).tco_musd

    def trials() -> object:
        return bands(system, lambda a: {"tco": estimate(a, 16).tco_musd}, trials=POINTS)

    demand = Demand(124_980, 3824, 3.0)
    volumes, lives = np.geomspace(1e9, 1e15, 200), np.arange(2.0, 52.0)
    seconds = median_seconds(designs)
    print(f"estimate: {POINTS / seconds / 1e6:.2f} M design points/s")
    print(f"bands: {POINTS / median_seconds(trials) / 1e6:.2f} M trials/s")
    cells = len(volumes) * len(lives)
    seconds = median_seconds(lambda: buyers_map(system, 16, demand, volumes, lives))
    print(f"buyers' map: {cells / seconds / 1e6:.2f} M cells/s")
    print(f"tables of the paper: {median_seconds(lambda: list(reproduce())) * 1e3:.1f} ms")
    print(
        f"audit of the paper's machine: {median_seconds(lambda: audit(system, model)) * 1e3:.0f} ms"
    )


if __name__ == "__main__":
    main()
