"""Requests through a simulated chip -> their tokens."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hnlpu._programs import first_line
from hnlpu.errors import InvalidInput, ToolFailed
from hnlpu.silicon.rtl._compiler import require_simulator, verilate
from hnlpu.silicon.rtl._tools import run_tool

MOST_REQUESTS = 256
"""Tags have eight bits."""


@dataclass(frozen=True)
class ChipRequest:
    """A prompt as token ids, most tokens to make (0: no bound), 1 / temperature, seed."""

    prompt: tuple[int, ...]
    most: int = 0
    inverse: int = 0
    seed: int = 0


@dataclass(frozen=True)
class ChipRun:
    """Tokens by request, cycles from reset to the last one, and seconds of simulation.

    The last token of a request may be an end of text.
    """

    tokens: tuple[tuple[int, ...], ...]
    refused: tuple[bool, ...]
    cycles: int
    seconds: float


def build_chip(folder: str | Path, timeout_s: float = 1200) -> float:
    """Compile the bench that `write_chip` put into `folder`; seconds that it took.

    Raises ToolMissing, ToolFailed.
    """
    require_simulator()
    folder, began = Path(folder), time.monotonic()
    traced = "--trace" in (folder / "bench" / "chip.f").read_text(encoding="utf-8")
    built = verilate("bench/chip.f", folder, timeout_s, plain=not traced)
    if built is None:
        raise ToolFailed(f"Verilator took more than {timeout_s:.0f} s")
    if built.returncode:
        raise ToolFailed(f"Verilator: {first_line(built.stderr)}")
    return time.monotonic() - began


def simulate_chip(
    folder: str | Path,
    requests: Sequence[ChipRequest],
    *,
    stall: int = 0,
    seed: int = 1,
    cycle_limit: int = 10_000_000,
    timeout_s: float = 3600,
    trace: Path | None = None,
) -> ChipRun:
    """Run a compiled chip; `stall` is the percentage of cycles without in_valid and out_ready.

    `trace` is a file for waveforms (VCD) of the chip and its core, two times a cycle.

    Raises ToolFailed where it does not end, with the state of the handshakes, or answers under other
    tags, and InvalidInput for more requests than there are tags.
    """
    if len(requests) > MOST_REQUESTS:
        raise InvalidInput(f"{len(requests)} requests: a run takes {MOST_REQUESTS} at most")
    folder = Path(folder)
    path = folder / "bench" / "requests.txt"
    lines = [
        f"{tag} {one.seed} {one.inverse} {one.most} {len(one.prompt)} "
        + " ".join(map(str, one.prompt))
        for tag, one in enumerate(requests)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = ["./obj_chip/chip", "bench/requests.txt", str(stall), str(cycle_limit), str(seed)]
    command += [] if trace is None else [str(trace)]
    ran = run_tool(command, folder, timeout_s)
    if ran is None:
        raise ToolFailed(f"the simulation took more than {timeout_s:.0f} s")
    if ran.returncode:
        raise ToolFailed(f"the chip: {first_line(ran.stderr + ran.stdout)}")
    told = json.loads(ran.stdout.splitlines()[-1])
    found = told["answers"]
    tags = [str(tag) for tag in range(len(requests))]
    if sorted(found) != sorted(tags):
        raise ToolFailed(f"the chip: tags {', '.join(found)} have answers, not {', '.join(tags)}")
    answers = [found[tag] for tag in tags]
    return ChipRun(
        tuple(tuple(answer["tokens"]) for answer in answers),
        tuple(bool(answer["refused"]) for answer in answers),
        told["cycles"],
        told["seconds"],
    )
