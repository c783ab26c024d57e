"""What is left of decode when other jobs want the cores: hnlpu beside llama.cpp, in turns.

    no rival ─► one ─► two busy processes ─► again ...      decode with one thread per core

Uses the models that decode.py makes.

    python benchmarks/contention.py --work /tmp/decode
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

from decode_models import WIDTHS, make_gguf, make_models
from decode_workers import XLLAMACPP, Worker, our_command, rival_command

MODEL = "gpt-oss"
RIVALS = (0, 1, 2)
TOKENS = {"hnlpu": 24, XLLAMACPP: 3}  # llama.cpp may need seconds a token


def measure(work: Path, repeat: int) -> dict[str, dict[int, list[float]]]:
    """Tokens per second of each engine by number of rivals, once per turn."""
    work.mkdir(parents=True, exist_ok=True)
    build = make_models(work, MODEL)[WIDTHS[0]]
    commands = {"hnlpu": our_command(build, None)}
    model = make_gguf(build, work / f"{MODEL}-checkpoint")
    llama, reason = rival_command(work, XLLAMACPP, model)
    if llama is None:
        print(reason, file=sys.stderr)
    else:
        commands[XLLAMACPP] = llama
    cores = os.cpu_count() or 1
    workers = {name: Worker(command, cores) for name, command in commands.items()}
    rates: dict[str, dict[int, list[float]]] = {
        name: {count: [] for count in RIVALS} for name in workers
    }
    for turn in range(repeat + 1):
        for count in RIVALS:
            busy = [sys.executable, "-c", "while True: pass"]
            rivals = [subprocess.Popen(busy) for _ in range(count)]
            try:
                for name, worker in workers.items():
                    worker.ask("prefill", 4)
                    seconds = worker.ask("decode", TOKENS[name])["seconds"]
                    if turn:  # the first one maps and warms
                        rates[name][count].append(TOKENS[name] / seconds)
            finally:
                for rival in rivals:
                    rival.kill()
                    rival.wait()
    for worker in workers.values():
        worker.close()
    return rates


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure decode beside busy processes.")
    parser.add_argument("--work", type=Path, required=True, help="decode.py's folder")
    parser.add_argument("--repeat", type=int, default=4, help="turns (default 4)")
    options = parser.parse_args()
    print("| engine | " + " | ".join(f"{count} rivals" for count in RIVALS) + " |")
    print("|---|" + "---|" * len(RIVALS))
    for name, by_count in measure(options.work, options.repeat).items():
        medians = (f"{statistics.median(by_count[count]):.1f}" for count in RIVALS)
        print(f"| {name} | {' | '.join(medians)} |")


if __name__ == "__main__":
    main()
