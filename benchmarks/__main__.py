"""`python -m benchmarks`: one door for all that measures here.

    python -m benchmarks                                   # what there is
    python -m benchmarks families --work F                 # runs benchmarks/families.py with its options
    python -m benchmarks families --work F --out now.json  # its figures with machine, commit and date
    python -m benchmarks families --work F --history FILE --record     # adds its medians to a file
    python -m benchmarks families --work F --history FILE              # exit code 1 if one fell by 10 %

A median is compared with the last one of the same benchmark, options and kind of machine.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
FALL = 0.10  # of a median, beyond which it is told
NOT_HERE = {
    "__main__",
    "decode_llama",
    "decode_workers",
    "harmony_reference",
    "serving_llama",
    "synthetic",
}  # parts of others
PLACES = ("--work",)  # options that say where, not what


def benchmarks() -> dict[str, str]:
    """The first line of each benchmark's description, by name."""
    found = {}
    for path in sorted(FOLDER.glob("*.py")):
        source = path.read_text()
        if path.stem not in NOT_HERE and '__name__ == "__main__"' in source:
            found[path.stem] = (ast.get_docstring(ast.parse(source)) or "").splitlines()[0]
    return found


def processor() -> str:
    """The processor's name, as the system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine_kind() -> dict[str, Any]:
    """What makes two machines comparable: processor, cores, the kernels' best instruction set."""
    from hnlpu.run.kernels import instruction_sets

    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "instructions": next(iter(instruction_sets()), "Numba"),
    }


def commit() -> str | None:
    """The commit that is checked out, with a + if files differ from it; None outside of git."""
    try:
        words = ["git", "-C", str(FOLDER), "describe", "--always", "--dirty=+", "--exclude=*"]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def without_places(options: list[str]) -> list[str]:
    """Options that decide what is measured."""
    kept, skip = [], False
    for word in options:
        if skip or word.startswith(tuple(f"{place}=" for place in PLACES)):
            skip = False
        elif word in PLACES:
            skip = True
        else:
            kept.append(word)
    return kept


def measured(name: str, options: list[str]) -> dict[str, Any]:
    """Run a benchmark with --json: its figures, and where they come from."""
    command = [sys.executable, str(FOLDER / f"{name}.py"), *options, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(done.returncode)
    try:
        figures = json.loads(done.stdout)
    except json.JSONDecodeError:
        raise SystemExit(f"{name} prints no JSON document; run it without --out") from None
    return {
        "benchmark": name,
        "options": without_places(options),
        "machine": machine_kind(),
        "commit": commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        "load": round(os.getloadavg()[0], 2),
        "medians": figures.pop("medians", {}) if isinstance(figures, dict) else {},
        "figures": figures,
    }


def entries(history: Path) -> list[dict[str, Any]]:
    """A history's entries, the oldest first; none where there is no file."""
    if not history.exists():
        return []
    return [json.loads(line) for line in history.read_text().splitlines() if line]


def falls(now: dict[str, Any], before: list[dict[str, Any]]) -> list[str]:
    """One line for each median that fell by FALL against the last entry that can be compared."""
    same = ("benchmark", "options", "machine")
    alike = [e for e in before if all(e[key] == now[key] for key in same)]
    if not alike:
        return []
    last = alike[-1]
    return [
        f"{name}: {now['medians'][name]:.4g}, {now['medians'][name] / value - 1:.0%} of {value:.4g} "
        f"at {last['commit']} ({last['date']}, load {last['load']})"
        for name, value in last["medians"].items()
        if name in now["medians"] and now["medians"][name] < (1 - FALL) * value
    ]


def remember(history: Path, now: dict[str, Any]) -> None:
    """Add an entry's medians to a history."""
    line = json.dumps({key: value for key, value in now.items() if key != "figures"})
    with history.open("a") as file:
        file.write(line + "\n")


def compare(now: dict[str, Any], history: Path, record: bool) -> int:
    """Tell what fell, and remember what was measured if asked; the exit code."""
    if not now["medians"]:
        raise SystemExit(f"{now['benchmark']} has no medians for a history")
    found = falls(now, entries(history))
    for line in found:
        print(line)
    if not found:
        print(f"no median of {now['benchmark']} fell by {FALL:.0%} against {history}")
    if record:
        remember(history, now)
    return 1 if found else 0


def main(words: list[str]) -> int:
    """List, run, keep, compare; the exit code."""
    named = bool(words) and not words[0].startswith("-")  # then --help is the benchmark's
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", allow_abbrev=False, add_help=not named
    )
    parser.add_argument("name", nargs="?", help="a benchmark; without one all are listed")
    parser.add_argument("--out", type=Path, help="file for the figures as JSON")
    parser.add_argument("--history", type=Path, help="file of medians to compare with")
    parser.add_argument("--record", action="store_true", help="add the medians to --history")
    if not named:
        parser.parse_args(words)
        for name, about in benchmarks().items():
            print(f"{name:<19}{about}")
        return 0
    known, options = parser.parse_known_args(words)
    if known.name not in benchmarks():
        parser.error(f"no benchmark {known.name}; there are {', '.join(benchmarks())}")
    if known.record and known.history is None:
        parser.error("--record needs --history")
    if known.out is None and known.history is None:
        return subprocess.run(
            [sys.executable, str(FOLDER / f"{known.name}.py"), *options]
        ).returncode
    now = measured(known.name, options)
    if known.out is not None:
        known.out.write_text(json.dumps(now, indent=1) + "\n")
    return 0 if known.history is None else compare(now, known.history, known.record)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
