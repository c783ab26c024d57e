"""Decode and prefill of this checkout beside those of an earlier commit, in turns.

    commit ─► checkout ─► kernels ─► builds ─┐
                     this checkout ─► builds ┴► short turns, the order changes ─► ratios, equal logits

Each side is a process of its own with one thread and builds of its own.  Processor time is compared, which
other jobs disturb less than the clock; of many short turns the least and the median of ratios are told.

    python benchmarks/against.py 59fa2df^ checkpoints/stdlib-8m --work /tmp/against
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
CONTEXT = 32  # tokens before those that are decoded


def checkout(commit: str, work: Path) -> Path:
    """The folder of a commit with its kernels compiled, where it is missing."""
    words = ["git", "-C", str(ROOT), "rev-parse", "--short", commit]
    name = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    folder = work / name
    if not folder.exists():
        folder.mkdir(parents=True)
        files = subprocess.run(
            ["git", "-C", str(ROOT), "archive", name], stdout=subprocess.PIPE, check=True
        )
        subprocess.run(["tar", "x", "-C", str(folder)], input=files.stdout, check=True)
        run_in(folder, "-m", "hnlpu.run.kernels")
    return folder


def run_in(folder: Path, *words: str) -> None:
    """Run Python with the package of a checkout; ends where that fails."""
    done = subprocess.run(
        [sys.executable, *words], env=environment(folder), capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{folder}: {' '.join(words)} failed: {done.stderr.strip()}")


def environment(folder: Path) -> dict[str, str]:
    """The surroundings of a process that imports the package of a checkout."""
    return os.environ | {"PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": "1"}


class Side:
    """A checkout's process, with its build of a checkpoint."""

    def __init__(self, folder: Path, checkpoint: Path, build: Path, options: Sequence[str]):
        if not build.exists():
            run_in(folder, "-m", "hnlpu", "build", str(checkpoint), "-o", str(build), *options)
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--be", str(build)], env=environment(folder),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.seconds: list[float] = []

    def turn(self, what: str, count: int, seed: int) -> str:
        """Measure `count` tokens; what the last logits are."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{what} {count} {seed}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("a measured process ended early")
        answer = json.loads(line)
        self.seconds.append(answer["seconds"])
        return str(answer["logits"])


def be(build: str) -> None:
    """Be a side: turns in, processor seconds and a digest of the last logits out."""
    from hnlpu.run.emulate import one_blas_thread, open_language_model
    from hnlpu.run.kernels import load

    library, _ = load()
    if library is not None:
        library.set_threads(1)
    model = open_language_model(build).transformer

    def feed(tokens: Any) -> Any:
        with one_blas_thread():
            return model.logits(model.forward(np.asarray(tokens), cache, last=True))[0]

    for line in sys.stdin:
        what, count, seed = line.split()
        random, cache = np.random.default_rng(int(seed)), model.new_cache()
        tokens = random.integers(3, model.architecture.vocab_size, CONTEXT + int(count))
        pieces = [tokens[CONTEXT:]]
        if what == "decode":
            feed(tokens[:CONTEXT])
            pieces = np.split(tokens[CONTEXT:], int(count))
        began = time.process_time()
        for piece in pieces:
            logits = feed(piece)
        seconds = time.process_time() - began
        digest = hashlib.sha256(logits.tobytes()).hexdigest()
        print(json.dumps({"seconds": seconds, "logits": digest}), flush=True)


def duel(before: Side, now: Side, what: str, count: int, turns: int) -> dict[str, float]:
    """Microseconds per token at best, and ratios of now to before: of the least times, and the median."""
    before.seconds.clear()
    now.seconds.clear()
    for turn in range(turns + 1):
        sides = [before, now] if turn % 2 else [now, before]
        if len({side.turn(what, count, turn) for side in sides}) != 1:
            sys.exit(f"{what}: the logits differ")
    old, new = before.seconds[1:], now.seconds[1:]  # the first turn warms up
    return {
        "before_us": min(old) / count * 1e6,
        "now_us": min(new) / count * 1e6,
        "ratio_of_least": min(new) / min(old),
        "median_ratio": median(b / a for a, b in zip(old, new, strict=True)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("commit", nargs="?", help="the earlier one")
    parser.add_argument("checkpoints", nargs="*", type=Path)
    parser.add_argument("--work", type=Path, help="folder for the checkout and builds")
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--decode", type=int, default=32, help="tokens of a turn")
    parser.add_argument("--prefill", type=int, default=96, help="tokens of a turn")
    parser.add_argument("--build", nargs="*", default=[], help="options of both builds, without --")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--be", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.be:
        be(options.be)
        return
    if not options.checkpoints or options.work is None:
        parser.error("give a commit, checkpoints and --work FOLDER")
    earlier, words = checkout(options.commit, options.work), [f"--{o}" for o in options.build]
    figures = {}
    for path in options.checkpoints:
        sides = [
            Side(folder, path.resolve(), options.work / f"{path.name}-{name}", words)
            for folder, name in ((earlier, earlier.name), (ROOT, "now"))
        ]
        for what, count in (("decode", options.decode), ("prefill", options.prefill)):
            figures[f"{path.name}, {what}"] = duel(*sides, what, count, options.turns)
    if options.json:
        print(json.dumps({"figures": figures}))
        return
    print(
        "| | before, us/token | now | ratio of the least | median of ratios |\n|---|---|---|---|---|"
    )
    for name, f in figures.items():
        print(
            f"| {name} | {f['before_us']:,.1f} | {f['now_us']:,.1f} | {f['ratio_of_least']:.3f} | "
            f"{f['median_ratio']:.3f} |"
        )


if __name__ == "__main__":
    main()
