"""A trained small model as several chips in Verilator: every token is the emulator's, whatever befalls the links.

python benchmarks/machine_tokens.py checkpoints/stdlib-140k --chips 2        # half an hour or more
python benchmarks/machine_tokens.py checkpoints/stdlib-140k --chips 4 --keep /tmp/machines

Five prompts at once, 64 tokens each: wires of 4 cycles; wires of 12 cycles that refuse a symbol in 30 % of them,
with requests and answers withheld in 40 %; the same with 1 of 10^4 bits inverted; drawn tokens so. Then chips
that die and wires that break, with the cycle in which the first chip says so. With --keep FOLDER the build and
the compiled chips are kept there, and taken from there the next time.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import hnlpu
from hnlpu.errors import LinkFailed
from hnlpu.insight.verify import check_chip
from hnlpu.model.network import ops
from hnlpu.model.policy import make_policy
from hnlpu.run.emulate import ChipModel, hardwired
from hnlpu.silicon.hardwire import Build, open_build
from hnlpu.silicon.place import make_target
from hnlpu.silicon.rtl.chip import (
    ChipRequest,
    ChipShape,
    Instruction,
    Op,
    Operand,
    Program,
    Wires,
    Work,
    array_steps,
    build_chip,
    chip_shape,
    link_of,
    make_program,
    predict_machine_cycles,
    simulate_chip,
    write_chip,
)
from hnlpu.silicon.rtl.links import LinkShape

PROMPTS = ["import os\n\ndef ", "    for ", "try:\n", "    return ", "        self."]
CONTEXT = 256
LATENCY, STALL, ERRORS = 12, 30, 100_000
RUNS = (
    ("as it is", 0.0, 64, 0, Wires()),
    ("stalls", 0.0, 64, 40, Wires(LATENCY, STALL)),
    ("bit errors", 0.0, 64, 40, Wires(LATENCY, STALL, ERRORS)),
    ("drawn, bit errors", 0.8, 64, 40, Wires(LATENCY, STALL, ERRORS)),
)
"""Name, temperature, tokens, percent of stalls outside, and the wires."""
BREAKS_AT = 3_000
LOADS = ((1, 1), (4, 1), (1, 40), (4, 40))
"""Users, and positions that each has cached."""
PACED = 6
"""Tokens of each that are counted."""


def measure(
    checkpoint: Path, folder: Path, chips: int, lanes: int, link_lanes: int, paced: bool
) -> dict[str, Any]:
    """Sizes, tokens that were compared, and faults that were named."""
    place, machine = (
        folder / f"{checkpoint.name}-{chips}.build",
        folder / f"{checkpoint.name}-{chips}-{link_lanes}",
    )
    if not place.exists():
        policy, target = make_policy("default", activation_bits=8), make_target(chips=chips)
        hnlpu.build(checkpoint, place, policy, target)
    build = open_build(place)
    shape = chip_shape(build, context=CONTEXT, lanes=lanes, chips=chips)
    link = link_of(shape, link_lanes)  # of a wire of 4 cycles; what the runs do to it is worse
    if not (machine / "obj_chip" / "chip").exists():
        write_chip(build, machine, shape, link=link)
        build_chip(machine, timeout_s=7200)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    program = make_program(shape)
    told: dict[str, Any] = {
        "checkpoint": checkpoint.name, "grid": build.manifest.placement.grid, "lanes": lanes,
        "instructions": len(program.instructions),
        "beats_sent_a_token": sum(one.op == Op.SEND for one in program.instructions),
        "link": asdict(link), "frame_cycles": link.data_symbols,
        "port_cycles_a_token": port_cycles(program, shape, link),
        "compile_s": round(used.ru_utime + used.ru_stime, 1), "runs": [],
    }  # fmt: skip
    for name, temperature, most, stall, wires in () if paced else RUNS:
        found = check_chip(
            build, machine, shape, PROMPTS, max_tokens=most, temperature=temperature, seed=5,
            stalls=(stall,), wires=wires,
        )  # fmt: skip
        [(_, run)] = found.runs
        told["runs"].append(
            {"run": name, "fault": found.fault, "tokens": sum(map(len, run.tokens)),
             "cycles": run.cycles, "flipped": run.flipped, "again": run.again}
        )  # fmt: skip
        print(json.dumps(told["runs"][-1]), flush=True)
    told["pace"] = [pace(build, machine, shape, link, load) for load in LOADS]
    if not paced:
        told["breaks"] = breaks(build, machine, shape, link.given_up_after)
    return told


def port_cycles(program: Program, shape: ChipShape, link: LinkShape) -> float:
    """Cycles of frames that a token puts on the busiest link, its experts spread evenly."""
    ports = []
    for place in range(shape.chips):
        frames = 1.0 if place == 0 else 0.0  # a token's start
        for one in program.instructions:
            if one.op != Op.SEND or (one.first and place == 0):
                continue
            frames += 1.0 if one.both else share(program, shape, one, place)
        ports.append(frames * link.data_symbols)
    return max(ports)


def share(program: Program, shape: ChipShape, one: Instruction, place: int) -> float:
    """The part of all tokens for which a chip has what an instruction sends."""
    if one.operand == Operand.REGISTER:
        places = shape.expert_places
        return places.count(place) / len(places) if one.banked else 1.0
    read = program.reads[one.index]
    members = range(max(part.members[1] for part in shape.slices[read.matrix]))
    held = [shape.holders(read.matrix, read.rows(), n) >> place & 1 for n in members]
    return sum(held) / len(held)


def experts_of(
    model: ChipModel, tokens: tuple[int, ...]
) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Experts of each position, layer by layer, by rank."""
    steps = [step for step in model.body.steps if isinstance(step.op, ops.Project)]
    names = dict.fromkeys(str(s.args[1]) for s in steps if s.op.members == "chosen")
    found: dict[tuple[int, str], tuple[int, ...]] = {}

    def watch(step: ops.Step, position: int, results: tuple[Any, ...]) -> None:
        for name, value in zip(step.outs, results, strict=False):
            if name in names:
                found[position, name] = tuple(int(n) for n in value)

    model.interpreter.run(list(tokens), model.interpreter.start(), watch)
    return tuple(tuple(found[n, name] for name in names) for n in range(len(tokens)))


def pace(
    build: Build, machine: Path, shape: ChipShape, link: LinkShape, load: tuple[int, int]
) -> dict[str, float]:
    """Cycles of a token in Verilator with so many users and cached positions, beside those that are predicted."""
    users, positions = load
    asked = [tuple((7 * n + 11 * k) % 256 for k in range(positions)) for n in range(users)]
    model = hardwired(build, numerics="chip").transformer
    assert isinstance(model, ChipModel)
    counted, predicted = list[int](), list[int]()
    for answer in (PACED + 1, 1):
        run = simulate_chip(machine, [ChipRequest(ids, answer) for ids in asked], wires=Wires())
        works = [
            Work(positions, len(made), experts=experts_of(model, (*ids, *made)))
            for ids, made in zip(asked, run.tokens, strict=True)
        ]
        counted.append(run.cycles)
        predicted.append(
            predict_machine_cycles(shape, array_steps(build), works, link, Wires().latency)
        )
    told = {"users": users, "positions": positions, "link_lanes": link.lanes}
    for name, (long, short) in (("measured", counted), ("predicted", predicted)):
        told[name] = round((long - short) / (PACED * users))
    told["difference"] = round(told["predicted"] / told["measured"] - 1, 4)
    print(json.dumps(told), flush=True)
    return told


def breaks(build: Build, machine: Path, shape: ChipShape, bound: int) -> list[dict[str, Any]]:
    """What the first chip says of each chip that dies and of each wire that breaks, and when."""
    requests = [ChipRequest((5, 9, 7), 0)]
    cuts = [(a, b) for a in range(shape.chips) for b in range(shape.chips) if a != b]
    wires = [Wires(dead=chip, at=BREAKS_AT) for chip in range(1, shape.chips)]
    wires += [Wires(cut=cut, at=BREAKS_AT) for cut in cuts]
    found = []
    for one in wires:
        what = f"chip {one.dead} dead" if one.dead is not None else f"wire {one.cut} cut"
        try:
            simulate_chip(machine, requests, wires=one, cycle_limit=BREAKS_AT + 4 * bound)
            said = "nothing"
        except LinkFailed as error:
            said = str(error)
        found.append({"what": what, "said": said})
        print(json.dumps(found[-1]), flush=True)
    return found


def main() -> None:
    """Print one line of JSON a checkpoint."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--chips", type=int, default=2)
    parser.add_argument("--lanes", type=int, default=16, help="of the vector unit")
    parser.add_argument("--link-lanes", type=int, default=16, help="of a link, each way")
    parser.add_argument("--pace", action="store_true", help="cycles of a token alone")
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = given.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        for checkpoint in given.checkpoints:
            told = measure(
                checkpoint, folder, given.chips, given.lanes, given.link_lanes, given.pace
            )
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
