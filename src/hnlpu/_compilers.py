"""Compilers of C and C++: CC and CXX where a user names them, else the first on PATH that works, else zig.

A compiler is believed when it has compiled and linked a few lines for this very processor: a broken
one, one of another processor (as CC often is beside embedded systems) and one that is too old are
passed over.  Imports the standard library and `hnlpu._programs` alone, as the build hook needs.
"""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hnlpu._programs import ask, cache_folder, candidates, clean_environment, first_line, wheel_file

Language = Literal["c", "c++"]
_NAMES = {"c": ("cc", "gcc", "clang"), "c++": ("g++", "c++", "clang++")}
_CHOSEN = {"c": "CC", "c++": "CXX"}
_TRIALS = {
    "c": (
        "trial.c",
        "#include <math.h>\n#include <pthread.h>\n#include <stdatomic.h>\nint trial(void) { return 0; }\n",
        ("-std=c11", "-fPIC", "-shared"),
    ),
    "c++": (
        "trial.cpp",
        "#include <atomic>\n#include <compare>\n#include <string>\n"
        "int main() { std::atomic<int> n{0}; return n + int(std::string().size()); }\n",
        ("-std=c++20",),
    ),
}
TRIAL_S = 120


@dataclass(frozen=True)
class Compiler:
    """A compiler that works: its command, what it calls itself, and the environment that it runs in."""

    command: tuple[str, ...]
    version: str
    environment: Mapping[str, str]

    @property
    def is_zig(self) -> bool:
        """Whether it is that of the wheel `ziglang`."""
        return Path(self.command[0]).stem == "zig"


@dataclass(frozen=True)
class CompilerSearch:
    """What a search found, and what it passed over, each with its reason."""

    compiler: Compiler | None
    problems: tuple[str, ...]


def find_compiler(language: Language, *, zig: bool = True) -> CompilerSearch:
    """The compiler of a language; tried once a process for each PATH.

    One that CC or CXX names comes first.  For C++ it is the only one: a choice is taken or refused.
    """
    variable = _CHOSEN[language]
    names = os.environ.get(variable, ""), os.environ.get("PATH", "")
    found = _system_compiler(language, *names)
    if found.compiler is None and zig and not (found.problems and language == "c++" and names[0]):
        other = find_zig(language)
        return CompilerSearch(other.compiler, (*found.problems, *other.problems))
    return found


@functools.cache
def _system_compiler(language: Language, chosen: str, _path: str) -> CompilerSearch:
    problems: list[str] = []
    if chosen.strip():
        variable = _CHOSEN[language]
        taken, why = _try_chosen(language, chosen)
        if taken is not None:
            return CompilerSearch(taken, ())
        problems.append(f"{variable}={chosen}: {why}")
        if language == "c++":
            return CompilerSearch(None, tuple(problems))
    for path in candidates(*_NAMES[language]):
        environment = clean_environment([Path(path).parent])
        problem = _trial(language, (path,), environment)
        if problem is None:
            return CompilerSearch(_compiler((path,), environment), tuple(problems))
        problems.append(f"{path}: {problem}")
    return CompilerSearch(None, tuple(problems))


def _try_chosen(language: Language, chosen: str) -> tuple[Compiler | None, str]:
    """A compiler that a variable names, or what is wrong with it."""
    try:
        words = shlex.split(chosen)
    except ValueError as error:
        return None, str(error)
    found = shutil.which(words[0]) if words else None
    if found is None:
        return None, "is not on PATH"
    path = str(Path(found).absolute())
    # a wrapper such as ccache finds the compiler where the user's shell would
    behind = os.get_exec_path() if len(words) > 1 else []
    environment = clean_environment([str(Path(path).parent), *behind])
    command = (path, *words[1:])
    problem = _trial(language, command, environment)
    return (_compiler(command, environment), "") if problem is None else (None, problem)


def _compiler(command: tuple[str, ...], environment: Mapping[str, str]) -> Compiler:
    _, said = ask([*command, "--version"], environment)
    return Compiler(command, (said.splitlines() or ["no version"])[0], environment)


def _trial(
    language: Language, command: tuple[str, ...], environment: Mapping[str, str]
) -> str | None:
    """What is wrong with a compiler; None where it compiles and links."""
    name, text, options = _TRIALS[language]
    with tempfile.TemporaryDirectory(prefix="hnlpu-") as folder:
        (Path(folder) / name).write_text(text, encoding="ascii")
        words = [*command, *options, name, "-o", "trial.out", "-lm", "-lpthread"]
        code, said = ask(words, environment, folder, TRIAL_S)
        if code:
            return f"does not compile ({first_line(said)})"
        made = Path(folder) / "trial.out"
        if not made.is_file():
            return "compiles nothing"
        if _machine(made) not in (None, _machine(Path(sys.executable))):
            return "compiles for another processor"
    return None


def _machine(path: Path) -> bytes | None:
    """Class and machine of an ELF file, None of any other."""
    try:
        with path.open("rb") as file:
            head = file.read(20)
    except OSError:
        return None
    return head[4:6] + head[18:20] if head.startswith(b"\x7fELF") else None


def find_zig(language: Language) -> CompilerSearch:
    """The compiler of the wheel `ziglang`; its first run compiles libraries of its own."""
    path = wheel_file("ziglang", f"ziglang/zig{'.exe' if os.name == 'nt' else ''}")
    if path is None:
        return CompilerSearch(None, ())
    return _zig(language, str(path))


@functools.cache
def _zig(language: Language, path: str) -> CompilerSearch:
    home = os.environ.get("XDG_CACHE_HOME") or Path(os.environ.get("HOME", "/nowhere"), ".cache")
    caches = os.environ.get("ZIG_GLOBAL_CACHE_DIR") or str(cache_folder(Path(home, "zig"), "zig"))
    environment = clean_environment([Path(path).parent], {"ZIG_GLOBAL_CACHE_DIR": caches})
    code, said = ask([path, "version"], environment)
    if code:
        return CompilerSearch(None, (f"{path}: {first_line(said)}",))
    # zig compiles for this very processor unless told otherwise; a wheel travels
    words = (path, "cc", "-mcpu=baseline") if language == "c" else (path, "c++")
    return CompilerSearch(Compiler(words, f"zig {said.splitlines()[0]}", environment), ())
