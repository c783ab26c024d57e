"""All tables of docs/performance.md that compare speeds, in one run on a quiet machine.

    decode.py, every model and instruction set ─┐
    overhead.py ────────────────────────────────┴─► text, and one JSON document

Under 15 minutes on two cores once the models are there, which the first run makes (5 GB).

    python benchmarks/tables.py --work /tmp/tables
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from decode_models import SHAPES
from hnlpu.run.kernels import load

HERE = Path(__file__).parent
DECODE = ["--prompt", "256", "2048", "--tokens", "32", "--repeat", "3"]


def commands(work: Path, options: argparse.Namespace) -> dict[str, list[str]]:
    """What is run, by what it is called."""
    library, reason = load()
    if library is None:
        raise SystemExit(reason)
    found = {}
    for name in library.instructions:
        if name == "portable":
            continue
        for model in SHAPES:
            words = [
                "decode",
                "--work",
                str(work),
                "--model",
                model,
                "--instructions",
                name,
                *DECODE,
            ]
            words += ["--threads", *map(str, options.threads), "--beside", *options.beside]
            found[f"{model}, {name}"] = words
    found["overhead"] = ["overhead", "--work", str(work)]
    return found


def main() -> None:
    """Run all, print each, keep the figures."""
    parser = argparse.ArgumentParser(description="Make the tables of docs/performance.md.")
    parser.add_argument("--work", type=Path, required=True, help="folder for models (5 GB)")
    parser.add_argument("--threads", type=int, nargs="+", default=[os.cpu_count() or 1, 1])
    parser.add_argument(
        "--beside", nargs="+", default=["xllamacpp"], help="rivals, as of decode.py"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {"load_before": round(os.getloadavg()[0], 2)}
    medians: dict[str, float] = {}
    for name, (script, *words) in commands(options.work, options).items():
        began = time.perf_counter()
        command = [sys.executable, str(HERE / f"{script}.py"), *words]
        if not options.json:
            print(f"\n## {name}: python -m benchmarks {script} {' '.join(words)}\n", flush=True)
            subprocess.run(command, check=True)
            continue
        done = subprocess.run([*command, "--json"], stdout=subprocess.PIPE, text=True, check=True)
        figures[name] = json.loads(done.stdout)
        medians |= {f"{name}: {of}": rate for of, rate in figures[name].pop("medians").items()}
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    if options.json:
        print(json.dumps(figures | {"medians": medians}, indent=1))


if __name__ == "__main__":
    main()
