"""How fast and how frugal are `hnlpu build` and `hnlpu verify`?

    synthetic checkpoint ──► hnlpu build ──► hnlpu verify        each in a process of its own

Reported per phase: median seconds of the runs, weights per second, and the
peak resident memory of the process, mapped pages of files included.

    python benchmarks/build_verify.py --work /data/bench              all of gpt-oss-20b
    python benchmarks/build_verify.py --work /tmp/bench --layers 2    a small part of it
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hnlpu.silicon.hardwire import Build, machine, open_build
from synthetic import add_size_options, config_of, write_checkpoint

TARGET_RATE = 300e6  # weights/s
TARGET_MEMORY_GB = 3.0
TARGET_BYTES = 0.56  # per FP4 weight
PEER = "Ankhdjet 0.1.0"  # the nearest peer: a ternary compute-in-ROM compiler, two processes
PEER_RATES = {"build": 2.6e6, "verify": 5.2e6}  # weights/s, measured apart on such a machine
PEER_BYTES = 1.54  # per ternary weight


@dataclass(frozen=True)
class Phase:
    """One command, run several times.

    `seconds` is the median of `runs`; `processor_seconds` the median of user
    plus system time, which a busy machine hardly changes.
    """

    name: str
    seconds: float
    runs: tuple[float, ...]
    processor_seconds: float
    weights_per_second: float
    peak_memory_gb: float


@dataclass(frozen=True)
class Run:
    """One process: wall and processor seconds, peak resident memory in GB, what it printed."""

    seconds: float
    processor_seconds: float
    peak_memory_gb: float
    output: dict[str, Any]


def run(*arguments: str) -> Run:
    """Run an hnlpu command with --json to its end; raises SystemExit when it fails."""
    command = [sys.executable, "-m", "hnlpu", *arguments, "--json"]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode:
        sys.stderr.write(printed.decode())
        sys.exit(f"'hnlpu {' '.join(arguments)}' ended with exit code {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    processor = usage.ru_utime + usage.ru_stime
    return Run(seconds, processor, usage.ru_maxrss * unit / 1e9, json.loads(printed))


def phase(name: str, runs: list[Run], weights: int) -> Phase:
    """The median of several runs of one command."""
    seconds = tuple(round(r.seconds, 2) for r in runs)
    median = statistics.median(seconds)
    peak = max(r.peak_memory_gb for r in runs)
    processor = round(statistics.median(r.processor_seconds for r in runs), 2)
    return Phase(name, median, seconds, processor, weights / median, round(peak, 3))


def expert_bytes_per_weight(build: Build) -> float:
    """Bytes of codes, exponents and row exponents per weight of the FP4 experts."""
    experts = [shape for shape in build.shapes().values() if shape.role == "experts"]
    parts = ("digit0.codes", "digit0.exponents", "row_exponents")
    size = sum(
        math.prod(build.tensors[f"{s.name}.{part}"].shape) for s in experts for part in parts
    )
    return size / sum(shape.weights for shape in experts)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measure(checkpoint: Path, out: Path, repeat: int, workers: int | None) -> dict[str, Any]:
    """Build `checkpoint` into `out` and verify it, `repeat` times each."""
    more = () if workers is None else ("--workers", str(workers))
    builds, verifications = [], []
    for _ in range(repeat):
        if out.exists():
            shutil.rmtree(out)
        builds.append(run("build", str(checkpoint), "-o", str(out), *more))
        verifications.append(run("verify", str(out), *more))
    weights = builds[-1].output["weights"]
    phases = [phase("build", builds, weights), phase("verify", verifications, weights)]
    return {
        "machine": f"{machine()}, {os.cpu_count()} cores",
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "checkpoint_bytes": folder_bytes(checkpoint),
        "build_bytes": folder_bytes(out),
        "weights": weights,
        "phases": {p.name: asdict(p) for p in phases},
        "bytes_per_fp4_weight": round(expert_bytes_per_weight(open_build(out)), 5),
        "peer": {"name": PEER, "weights_per_second": PEER_RATES, "bytes_per_weight": PEER_BYTES},
    }


def print_text(facts: dict[str, Any]) -> None:
    """The same as a table for people."""
    print(
        f"{facts['machine']}, load average {facts['load_average'][0]} at the end\n"
        f"{facts['weights'] / 1e9:.2f} G weights, checkpoint "
        f"{facts['checkpoint_bytes'] / 1e9:.2f} GB, build {facts['build_bytes'] / 1e9:.2f} GB\n"
    )
    print(
        f"{'':8}{'seconds':>9}{'CPU s':>7}{'M weights/s':>13}{'target':>8}{'peer':>7}{'times':>7}{'peak GB':>9}"
    )
    for name, p in facts["phases"].items():
        peer = facts["peer"]["weights_per_second"][name]
        rate = p["weights_per_second"]
        print(
            f"{name:8}{p['seconds']:>9.1f}{p['processor_seconds']:>7.1f}{rate / 1e6:>13.0f}{TARGET_RATE / 1e6:>8.0f}"
            f"{peer / 1e6:>7.1f}{rate / peer:>7.0f}{p['peak_memory_gb']:>9.2f}   runs: "
            + ", ".join(f"{seconds:.1f}" for seconds in p["runs"])
        )
    print(
        f"\nbytes per FP4 weight {facts['bytes_per_fp4_weight']:.4f} (at most {TARGET_BYTES}; "
        f"peer {facts['peer']['bytes_per_weight']}); memory target {TARGET_MEMORY_GB:.0f} GB; "
        f"peer: {facts['peer']['name']}"
    )


def main() -> None:
    """Make what is missing, measure, print."""
    parser = argparse.ArgumentParser(description="Measure hnlpu build and hnlpu verify.")
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoint and build")
    parser.add_argument("--checkpoint", type=Path, help="measure this one, make none")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each (default 3)")
    parser.add_argument("--workers", type=int, help="threads (default: one per core)")
    parser.add_argument("--keep", action="store_true", help="leave the files for the next time")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    add_size_options(parser)
    options = parser.parse_args()
    name = f"{options.layers}-{options.experts}-{options.vocab}-{options.seed}"
    checkpoint = options.checkpoint or options.work / f"checkpoint-{name}"
    out = options.work / f"build-{name}"
    if not checkpoint.exists():
        write_checkpoint(checkpoint, config_of(options), options.seed)
    facts = measure(checkpoint, out, options.repeat, options.workers)
    if not options.keep:
        shutil.rmtree(out)
        if options.checkpoint is None:
            shutil.rmtree(checkpoint)
    if options.json:
        print(json.dumps(facts, indent=1))
    else:
        print_text(facts)


if __name__ == "__main__":
    main()
