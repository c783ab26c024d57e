"""C source -> shared library, with the system's compiler or with zig's from PyPI.

Runs at install (`hatch_build.py` loads this file by its path, so it may import
nothing of hnlpu) and by `python -m hnlpu.kernels`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

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
    """The command of a C compiler on the path: CC if it is set, else cc, gcc or clang."""
    for name in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
        words = name.split()
        if words and shutil.which(words[0]):
            return words
    return None


def zig_compiler() -> list[str] | None:
    """The command of zig's C compiler, where the wheel `ziglang` is installed."""
    if importlib.util.find_spec("ziglang") is None:
        return None
    # zig compiles for this very processor unless told otherwise; a wheel travels
    return [sys.executable, "-m", "ziglang", "cc", "-mcpu=baseline"]


def compile_library(to: Path = LIBRARY) -> str:
    """Make the library, whole or not at all; returns the name of the compiler.

    Raises CannotCompile.
    """
    if not can_compile():
        raise CannotCompile("the source needs POSIX threads")
    commands = [c for c in (system_compiler(), zig_compiler()) if c is not None]
    problems = []
    for command in commands:
        aside = to.with_name(f".{to.name}.{os.getpid()}")
        source = f'-DSOURCE_DIGEST="{digest()}"'
        words = [
            *command,
            *OPTIONS,
            source,
            str(FOLDER / "kernels.c"),
            "-o",
            str(aside),
            *LIBRARIES,
        ]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS)
            if done.returncode == 0:
                aside.replace(to)
                return "ziglang" if "ziglang" in command else Path(command[0]).name
            problems.append(
                f"{command[0]}: {(done.stderr.strip() or 'no message').splitlines()[0]}"
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            problems.append(f"{command[0]}: {error}")
        finally:
            aside.unlink(missing_ok=True)
    raise CannotCompile(
        "; ".join(problems) or "no C compiler found; pip install ziglang brings one"
    )
