"""Fifty scenarios of the simulator, and what it says of each:  python tests/system/machine/scenarios.py

Models, contexts, batches, grids, requests and traces; results lie in recorded.jsonl, a line each, every number
with all of its digits.  A line changes only where the machine that is simulated changes, never by a speed-up.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hnlpu.system.design import open_target
from hnlpu.system.machine import (
    Load,
    Requests,
    poisson_requests,
    read_trace,
    simulate,
    uniform_requests,
)

RECORDED = Path(__file__).with_name("recorded.jsonl")
CHECKPOINTS = Path(__file__).parents[3] / "checkpoints"
PAPER = "hnlpu-asplos26"
TRACE = "arrival_s,prefill,decode\n0,40,9\n0.00002,7,30\n0.00002,300,3\n0.0009,1,50\n0.001,25,25\n"
TOKENS = 300

Scenario = dict[str, Any]


def scenarios() -> Iterator[Scenario]:
    """The scenarios; what is absent has its default."""
    for model in ("gpt-oss-120b", "gpt-oss-20b", "deepseek-v3", "kimi-k2", "llama-3.1-8b",
                  "llama-3.1-70b", "qwen3-30b-a3b", "qwq-32b"):  # fmt: skip
        yield {"model": model, "context": 2048}
    for model in ("gpt-oss-20b", "llama-3.1-8b"):
        yield {"model": model, "context": 512, "users": 7}
        yield {"model": model, "context": 1, "users": 1}
        yield {"model": model, "context": 4096, "contention": "none"}
    for context in (1, 128, 8192, 65_536):
        for sliding in (False, True):
            yield {"context": context, "sliding": sliding}
    for users in (1, 4, 40, 400):
        yield {"context": 2048, "users": users}
    for grid in ([4, 8], [8, 4], [8, 8]):
        yield {"context": 2048, "grid": grid}
    for kv_bits in (8, 4):
        yield {"context": 65_536, "kv_bits": kv_bits}
    for context in (2048, 131_072):
        yield {"context": context, "contention": "none", "sliding": False}
    for seed in (1, 2):
        yield {"context": 2048, "seed": seed}
    for prefill, decode, count in ((1, 30, 5), (64, 16, 8), (200, 2, 3)):
        yield {"requests": {"count": count, "prefill": prefill, "decode": decode}}
    for rate in (1e3, 1e6):
        yield {"requests": {"count": 12, "prefill": 20, "decode": 10, "rate": rate}, "seed": 3}
    yield {"trace": TRACE}
    yield {"trace": TRACE, "model": "llama-3.1-8b"}
    for name in ("stdlib-140k", "gru-106k", "llama-90k", "qwen3-90k"):
        yield {"system": name, "context": 64}
        yield {"system": name, "requests": {"count": 4, "prefill": 9, "decode": 12}}


def outcome(scenario: Scenario) -> dict[str, Any]:
    """Everything that the simulator says of a scenario."""
    system = scenario.get("system")
    what = PAPER if system is None else str(CHECKPOINTS / system)
    grid = tuple(scenario["grid"]) if "grid" in scenario else None
    target = open_target(what, scenario.get("model"), kv_bits=scenario.get("kv_bits"), grid=grid)
    requests = _requests(scenario, target.model.positions)
    load = Load(
        scenario.get("context", target.context), scenario.get("users", target.users), requests
    )
    found = simulate(
        target.specification, target.model, load,
        contention=scenario.get("contention", "full"),
        sliding=scenario.get("sliding", target.windows), seed=scenario.get("seed", 0),
        tokens=None if requests else TOKENS,
    )  # fmt: skip
    return asdict(found)


def _requests(scenario: Scenario, positions: int) -> Requests | None:
    if "trace" in scenario:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trace.csv"
            path.write_text(scenario["trace"])
            return read_trace(path).within(positions)
    if (asked := scenario.get("requests")) is None:
        return None
    if "rate" in asked:
        return poisson_requests(
            asked["count"], asked["rate"], asked["prefill"], asked["decode"], scenario["seed"]
        )
    return uniform_requests(asked["count"], asked["prefill"], asked["decode"])


def line_of(scenario: Scenario) -> str:
    """A scenario with its outcome; floats with all digits."""
    return json.dumps({"scenario": scenario, "outcome": outcome(scenario)}, default=float)


if __name__ == "__main__":
    lines = [line_of(scenario) for scenario in scenarios()]
    RECORDED.write_text("\n".join(lines) + "\n", "utf-8")
    sys.stdout.write(f"{RECORDED}: {len(lines)} scenarios\n")
