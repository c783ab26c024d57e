"""Trained small models as whole chips in Verilator: every token is the emulator's.

python benchmarks/chip_tokens.py checkpoints/llama-90k checkpoints/gru-106k      # an hour, or minutes each
python benchmarks/chip_tokens.py --random mamba2 qwen3_moe --lanes 16            # random weights of these sizes

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

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "silicon" / "rtl")]

from network_chips import write_random  # noqa: E402

import hnlpu  # noqa: E402
from hnlpu.insight.verify import check_chip  # noqa: E402
from hnlpu.model.policy import make_policy  # noqa: E402
from hnlpu.silicon.hardwire import open_build  # noqa: E402
from hnlpu.silicon.rtl.chip import build_chip, chip_shape, make_program, write_chip  # noqa: E402

PROMPTS = ["import os\n\ndef ", "    for ", "try:\n", "    return ", "        self."]
NUMBERS = [
    [5, 9], [3, 4, 5, 6, 7], [9] * 12, [63, 19, 1, 0], list(range(40, 60)), [8], [2, 7], [31, 30, 29],
]  # fmt: skip
"""Prompts of models without a tokenizer."""
RANDOM: dict[str, dict[str, Any]] = {
    "mamba2": {
        "model_type": "mamba2", "vocab_size": 64, "hidden_size": 32, "expand": 2, "num_heads": 8,
        "head_dim": 8, "n_groups": 2, "state_size": 8, "conv_kernel": 4, "num_hidden_layers": 2,
        "eos_token_id": 0,
    },
    "qwen3_moe": {
        "model_type": "qwen3_moe", "vocab_size": 64, "hidden_size": 32, "intermediate_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
        "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
        "max_position_embeddings": 256, "rms_norm_eps": 1e-6, "eos_token_id": 0,
    },
}  # fmt: skip
CONTEXT = 256
STALLS = (0, 40)
RUNS = ((0.0, 64), (0.8, 100))
"""Temperature and tokens of each prompt."""


def processor_seconds() -> float:
    """Processor time of all programs that were called."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(checkpoint: Path, folder: Path, lanes: int | None) -> dict[str, Any]:
    """One checkpoint as a chip: its size, seconds, and tokens that were compared."""
    policy = make_policy("default", activation_bits=8)
    place, chip = folder / f"{checkpoint.name}.build", folder / f"{checkpoint.name}.chip"
    if not place.exists():
        hnlpu.build(checkpoint, place, policy)
    build = open_build(place)
    shape, began = chip_shape(build, context=CONTEXT, lanes=lanes), processor_seconds()
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
        prompts = PROMPTS if (checkpoint / "tokenizer.json").exists() else NUMBERS
        found = check_chip(
            build, chip, shape, prompts, max_tokens=most, temperature=temperature, stalls=STALLS
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
    parser.add_argument("checkpoints", type=Path, nargs="*")
    parser.add_argument("--random", nargs="*", default=[], choices=RANDOM, help="random weights")
    parser.add_argument(
        "--lanes", type=int, help="lanes of the vector unit (default: the chip's own)"
    )
    parser.add_argument("--chips", type=Path, help="folder that keeps builds and compiled chips")
    options = parser.parse_args()
    faults = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.chips or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for name in options.random:
            written.append(folder / name)
            if not written[-1].exists():
                write_random(RANDOM[name], written[-1], 0)
        for checkpoint in [*options.checkpoints, *written]:
            told = measure(checkpoint, folder, options.lanes)
            faults += sum(bool(run["fault"]) for run in told["runs"])
            print(json.dumps(told), flush=True)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
