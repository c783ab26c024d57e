"""Trained small models as whole chips in Verilator: every token is the emulator's.

python benchmarks/chip_tokens.py checkpoints/llama-90k checkpoints/gru-106k      # an hour, or minutes each

For each checkpoint: five prompts at once, the likeliest tokens (64 a prompt) and drawn ones (100 a prompt
at temperature 0.8), each at full speed and with in_valid and out_ready withheld 40 % of the time.  With
--chips FOLDER builds and compiled chips are kept there, and taken from there the next time.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

import hnlpu
from hnlpu.insight.verify import check_chip
from hnlpu.model.policy import make_policy
from hnlpu.silicon.hardwire import open_build
from hnlpu.silicon.rtl.chip import build_chip, chip_shape, make_program, write_chip

PROMPTS = ["import os\n\ndef ", "    for ", "try:\n", "    return ", "        self."]
CONTEXT = 256
STALLS = (0, 40)
RUNS = ((0.0, 64), (0.8, 100))
"""Temperature and tokens of each prompt."""


def processor_seconds() -> float:
    """Processor time of all programs that were called."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(checkpoint: Path, folder: Path) -> dict[str, Any]:
    """One checkpoint as a chip: its size, seconds, and tokens that were compared."""
    policy = make_policy("default", activation_bits=8)
    place, chip = folder / f"{checkpoint.name}.build", folder / f"{checkpoint.name}.chip"
    if not place.exists():
        hnlpu.build(checkpoint, place, policy)
    build = open_build(place)
    shape, began = chip_shape(build, context=CONTEXT), processor_seconds()
    if not (chip / "obj_chip" / "chip").exists():
        write_chip(build, chip, shape)
        build_chip(chip, timeout_s=7200)
    program = make_program(shape)
    compiled = processor_seconds() - began
    told: dict[str, Any] = {
        "checkpoint": checkpoint.name, "compile_s": round(compiled, 1), "runs": [],
        "arrays": len(build.shapes()), "instructions": len(program.instructions),
    }  # fmt: skip
    for temperature, most in RUNS:
        found = check_chip(
            build, chip, shape, PROMPTS, max_tokens=most, temperature=temperature, stalls=STALLS
        )
        for stall, run in found.runs:
            told["runs"].append({
                "temperature": temperature, "stalls": stall, "tokens": sum(map(len, run.tokens)),
                "prompt_tokens": sum(len(answer.prompt) for answer in found.answers),
                "cycles": run.cycles, "seconds": round(run.seconds, 1), "fault": found.fault,
            })  # fmt: skip
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--chips", type=Path, help="folder that keeps builds and compiled chips")
    options = parser.parse_args()
    faults = 0
    with tempfile.TemporaryDirectory() as name:
        folder = options.chips or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        for checkpoint in options.checkpoints:
            told = measure(checkpoint, folder)
            faults += sum(bool(run["fault"]) for run in told["runs"])
            print(json.dumps(told), flush=True)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
