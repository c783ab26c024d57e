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
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import hnlpu
from hnlpu.errors import LinkFailed
from hnlpu.insight.verify import check_chip
from hnlpu.model.policy import make_policy
from hnlpu.silicon.hardwire import Build, open_build
from hnlpu.silicon.place import make_target
from hnlpu.silicon.rtl.chip import (
    ChipRequest,
    ChipShape,
    Op,
    Program,
    Wires,
    build_chip,
    chip_shape,
    link_of,
    make_program,
    simulate_chip,
    write_chip,
)
from hnlpu.silicon.rtl.links import LinkShape
from hnlpu.system.catalog import NetworkShape
from hnlpu.system.machine import Links, Load, open_network, simulate

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
CLOCK = 1e9
VALUE_BYTES = 2
"""Of a value as the simulator counts it where nobody says."""


def measure(checkpoint: Path, folder: Path, chips: int, lanes: int) -> dict[str, Any]:
    """Sizes, tokens that were compared, and faults that were named."""
    place, machine = (
        folder / f"{checkpoint.name}-{chips}.build",
        folder / f"{checkpoint.name}-{chips}",
    )
    if not place.exists():
        policy, target = make_policy("default", activation_bits=8), make_target(chips=chips)
        hnlpu.build(checkpoint, place, policy, target)
    build = open_build(place)
    shape = chip_shape(build, context=CONTEXT, lanes=lanes, chips=chips)
    link = link_of(shape)  # of a wire of 4 cycles; what the runs do to it is worse
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
    for name, temperature, most, stall, wires in RUNS:
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
    told["pace"] = [pace(build, machine, shape, link, users) for users in (1, shape.sequences)]
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
            read = program.reads[one.index]
            slices = shape.slices[read.matrix]
            members = range(max(part.members[1] for part in slices))
            held = [shape.holders(read.matrix, read.rows(), n) >> place & 1 for n in members]
            frames += 1.0 if one.both else sum(held) / len(held)
        ports.append(frames * link.data_symbols)
    return max(ports)


def pace(
    build: Build, machine: Path, shape: ChipShape, link: LinkShape, users: int
) -> dict[str, float]:
    """Cycles of a token in Verilator with so many users, beside those that the simulator of machines says.

    It divides the work between matrices over the chips; chips in RTL do all of it, each.
    """
    run = simulate_chip(machine, [ChipRequest((65,), 12)] * users, wires=Wires())
    model = NetworkShape("model", "model", build.network)
    rows, columns = build.manifest.placement.grid
    # a frame carries a beat of values, and comes when its last symbol has
    links = Links(
        shape.width * VALUE_BYTES / link.data_symbols * CLOCK,
        (Wires().latency + link.data_symbols) / CLOCK,
    )
    specification = replace(
        open_network(model, (rows, columns)).specification, slots=shape.sequences, clock=CLOCK,
        column_links=links, row_links=links, collective="direct", heads_per_cycle=shape.width / 64,
        attention_latency=1.0, vector_latency_cycles=1.0, pass_cycles=shape.activation_bits + 5,
        hbm_latency=0.0,
    )  # fmt: skip
    predicted = simulate(specification, model, Load(20, users))
    told = {
        "users": users, "cycles_a_token": round(run.cycles / (12 * users), 1),
        "simulated": round(CLOCK / predicted.tokens_per_second, 1),
    }  # fmt: skip
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
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = given.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        for checkpoint in given.checkpoints:
            print(json.dumps(measure(checkpoint, folder, given.chips, given.lanes)), flush=True)


if __name__ == "__main__":
    main()
