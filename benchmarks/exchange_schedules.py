"""Exchanges between chips in a million random orders of events, and in every order of a small machine.

python benchmarks/exchange_schedules.py                       # 10^6 schedules, minutes
python benchmarks/exchange_schedules.py --schedules 10000

The model is tests/silicon/rtl/exchange_model.py; docs/link.md has the argument that it checks.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "silicon" / "rtl")]

from exchange_model import LOCKED, WRONG, Machine, explore, schedules  # noqa: E402

DRAWN = (
    (Machine(), 0.45),
    (Machine(prompt=1), 0.45),
    (Machine(chips=3, sequences=3, arrays=2), 0.04),
    (Machine(chips=4, sequences=3, arrays=2, exchanges=1), 0.03),
    (Machine(chips=4, sequences=4, tokens=2), 0.03),
)
"""Machines, and their shares of the schedules; larger ones take longer."""
EXPLORED = (Machine(sequences=1, tokens=5), Machine(exchanges=1, tokens=2, prompt=1))


def main() -> None:
    """Print a line of JSON a machine; exit code 1 where something is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--schedules", type=int, default=1_000_000)
    given = parser.parse_args()
    wrong = False
    for seed, (machine, share) in enumerate(DRAWN):
        each = max(1, round(share * given.schedules))
        began = time.process_time()
        found, done, actions = schedules(machine.begin(), machine.numbers, each, seed)
        wrong |= bool(found)
        told = {"machine": vars(machine), "schedules": done, "actions": actions}
        print(json.dumps(told | said(found, began)), flush=True)
    for machine in EXPLORED:
        began = time.process_time()
        found, states, final = explore(machine)
        wrong |= bool(found)
        told = {"machine": vars(machine), "states": states, "final": final}
        print(json.dumps(told | said(found, began)), flush=True)
    sys.exit(int(wrong))


def said(found: int, began: float) -> dict[str, object]:
    """What is wrong, and seconds of processor time."""
    wrong = "nothing can go on" if found == LOCKED else WRONG.get(found, "")
    return {"wrong": wrong, "seconds": round(time.process_time() - began, 1)}


if __name__ == "__main__":
    main()
