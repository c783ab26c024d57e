"""C source -> shared library, with the system's compiler or with zig's from PyPI.

Runs at install (`hatch_build.py` loads this file by its path, so of hnlpu it may import what imports
the standard library alone) and by `python -m hnlpu.run.kernels`.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

from hnlpu._compilers import find_compiler, find_zig
from hnlpu._programs import ask, clean_environment

FOLDER = Path(__file__).parent
LIBRARY = FOLDER / "_kernels.so"
OPTIONS = (
    "-O3", "-std=c11", "-D_GNU_SOURCE", "-fPIC", "-shared", "-fvisibility=hidden",
    "-ffp-contract=off",  # the vector unit's order of operations is part of the arithmetic
    "-fno-math-errno", "-g0", "-s",
)  # fmt: skip
LIBRARIES = ("-lm", "-lpthread")
SECONDS = 600


class CannotCompile(Exception):
    """No compiler here, or none that makes the library; says which and why."""


def digest() -> str:
    """SHA-256 of the C source and what it is compiled for, which the library carries too."""
    state = hashlib.sha256(f"{sys.platform} {platform.machine()} {' '.join(OPTIONS)}\0".encode())
    for path in sorted((*FOLDER.glob("*.c"), *FOLDER.glob("*.h"))):
        state.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return state.hexdigest()


def is_current(library: Path = LIBRARY) -> bool:
    """Whether the library is there and made from this source."""
    return library.is_file() and digest().encode() in library.read_bytes()


def can_compile() -> bool:
    """Whether this system is one that the source is for: its threads are POSIX's."""
    return os.name == "posix"


def system_compiler() -> list[str] | None:
    """The command of a C compiler that works: CC if it is set, else cc, gcc or clang of PATH."""
    found = find_compiler("c", zig=False).compiler
    return None if found is None else list(found.command)


def zig_compiler() -> list[str] | None:
    """The command of zig's C compiler, where the wheel `ziglang` is installed."""
    found = find_zig("c").compiler
    return None if found is None else list(found.command)


def compile_library(to: Path = LIBRARY, target: str | None = None) -> str:
    """Make the library, whole or not at all; returns the name of the compiler.

    With a `target`, such as x86_64-linux-gnu.2.28, zig alone compiles, for that system and glibc.
    Raises CannotCompile.
    """
    if not can_compile():
        raise CannotCompile("the source needs POSIX threads")
    commands = [c for c in (None if target else system_compiler(), zig_compiler()) if c is not None]
    problems = [] if commands else list(find_compiler("c").problems)
    for command in commands:
        aside = to.with_name(f".{to.name}.{os.getpid()}")
        source = f'-DSOURCE_DIGEST="{digest()}"'
        words = [
            *command,
            *OPTIONS,
            *(("-target", target) if target else ()),
            source,
            str(FOLDER / "kernels.c"),
            "-o",
            str(aside),
            *LIBRARIES,
        ]
        try:
            code, said = ask(words, _environment(command), FOLDER, SECONDS)
            if code == 0 and aside.is_file():
                aside.replace(to)
                return "ziglang" if Path(command[0]).stem == "zig" else Path(command[0]).name
            problems.append(f"{command[0]}: {(said or 'no message').splitlines()[0]}")
        finally:
            aside.unlink(missing_ok=True)
    if not commands:
        problems.append("no C compiler that works; pip install ziglang brings one")
    raise CannotCompile("; ".join(problems))


def _environment(command: list[str]) -> Mapping[str, str]:
    """What a compiler of this file's sees."""
    for search in (find_compiler("c", zig=False), find_zig("c")):
        if search.compiler is not None and list(search.compiler.command) == command:
            return search.compiler.environment
    return clean_environment([Path(command[0]).parent])
