"""Requests through a simulated chip -> their tokens."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hnlpu._programs import first_line
from hnlpu.errors import InvalidInput, LinkFailed, ToolFailed
from hnlpu.silicon.rtl._compiler import require_simulator, verilate
from hnlpu.silicon.rtl._tools import run_tool

LINK_FAILED = 4
"""Exit code of the bench where a chip says that a link failed."""
MOST_REQUESTS = 256
"""Tags have eight bits."""


@dataclass(frozen=True)
class ChipRequest:
    """A prompt as token ids, most tokens to make (0: no bound), 1 / temperature, seed.

    Of signals the prompt has the numbers of each position, as words of 32 bits.
    """

    prompt: tuple[int, ...] | tuple[tuple[int, ...], ...]
    most: int = 0
    inverse: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Wires:
    """What passes between the chips of a machine, and what befalls it.

    A symbol takes `latency` cycles and is refused in `stall` percent of them; `errors` of 10^9 bits are
    inverted.  From cycle `at` on, chip `dead` puts zeros on all its wires, or the wire of `cut`, from one place
    to another, carries zeros.
    """

    latency: int = 4
    stall: int = 0
    errors: int = 0
    dead: int | None = None
    cut: tuple[int, int] | None = None
    at: int = 0

    def arguments(self) -> list[str]:
        """As the bench of a machine takes them."""
        given = {"latency": self.latency, "link_stall": self.stall, "errors": self.errors}
        if self.dead is not None:
            given |= {"dead": self.dead, "at": self.at}
        if self.cut is not None:
            given |= {"cut": self.cut[0], "to": self.cut[1], "at": self.at}
        return [f"{name}={number}" for name, number in given.items()]


@dataclass(frozen=True)
class ChipRun:
    """Tokens by request, cycles from reset to the last one, and seconds of simulation.

    The last token of a request may be an end of text.  Of several chips, `flipped` bits of links were inverted,
    and frames were sent anew `again` times.
    """

    tokens: tuple[tuple[int, ...], ...]
    refused: tuple[bool, ...]
    cycles: int
    seconds: float
    flipped: int = 0
    again: int = 0


def _words(position: int | tuple[int, ...]) -> str:
    return str(position) if isinstance(position, int) else " ".join(map(str, position))


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


def expect_tags(requests: int) -> None:
    """Raise InvalidInput for more requests than there are tags."""
    if requests > MOST_REQUESTS:
        raise InvalidInput(f"{requests} requests: a run takes {MOST_REQUESTS} at most")


def simulate_chip(
    folder: str | Path,
    requests: Sequence[ChipRequest],
    *,
    stall: int = 0,
    seed: int = 1,
    cycle_limit: int = 10_000_000,
    timeout_s: float = 3600,
    trace: Path | None = None,
    wires: Wires | None = None,
) -> ChipRun:
    """Run a compiled chip; `stall` is the percentage of cycles without in_valid and out_ready.

    `trace` is a file for waveforms (VCD) of the chip and its core, two times a cycle; `wires` are those between
    several chips, and not None for them alone.

    Raises LinkFailed where a chip says that a link failed, ToolFailed where it does not end, with the state of
    the handshakes, or answers under other tags, and InvalidInput for more requests than there are tags.
    """
    expect_tags(len(requests))
    folder = Path(folder)
    path = folder / "bench" / "requests.txt"
    lines = [
        f"{tag} {one.seed} {one.inverse} {one.most} {len(one.prompt)} "
        + " ".join(_words(position) for position in one.prompt)
        for tag, one in enumerate(requests)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = ["./obj_chip/chip", "bench/requests.txt"]
    if wires is not None:
        command += [f"stall={stall}", f"limit={cycle_limit}", f"seed={seed}", *wires.arguments()]
    else:
        command += [str(stall), str(cycle_limit), str(seed)]
        command += [] if trace is None else [str(trace)]
    ran = run_tool(command, folder, timeout_s)
    if ran is None:
        raise ToolFailed(f"the simulation took more than {timeout_s:.0f} s")
    if ran.returncode == LINK_FAILED:
        raise LinkFailed(f"the machine: {first_line(ran.stderr)}")
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
        told.get("flipped", 0),
        told.get("again", 0),
    )
