"""`hnlpu doctor`: what is here and works, what is not, and the line that installs it.

What is reported was run: a package is imported, a program is called with a line of work.  The path and
the version are those of what ran, not of a list of what is installed.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import typer

from hnlpu.cli._app import app
from hnlpu.cli._options import Json
from hnlpu.cli._output import out, print_json

State = Literal["ok", "missing", "broken"]
IMPORT_S = 180


@dataclass(frozen=True)
class Finding:
    """One thing looked for: whether it is `needed` for the main job, and how to get it.

    `state` tells what is not there from what is there and does not work; `path` is what ran.
    """

    name: str
    ok: bool
    needed: bool
    detail: str
    remedy: str = ""
    path: str = ""
    state: State = "ok"


@dataclass(frozen=True)
class _Package:
    """An optional package: its module, what it is for, how to get it, and a line of work for it."""

    name: str
    module: str
    use: str
    remedy: str
    work: str = ""


_OPTIONAL = (
    _Package(
        "torch", "torch", "training and the reference in tests", "pip install torch==2.13.0",
        "assert int(m.ones(2).sum()) == 2",
    ),
    _Package(
        "transformers", "transformers", "the independent reference in tests",
        "pip install transformers",
    ),
    _Package(
        "klayout", "klayout.db", "judging masks: DRC and netlists", "pip install 'hnlpu[masks]'",
        "assert m.Region(m.Box(0, 0, 10, 90)).width_check(20).count() == 1",
    ),
    _Package("gdstk", "gdstk", "a second reader of masks", "pip install gdstk"),
    _Package(
        "pyslang", "pyslang", "linting RTL", "pip install pyslang",
        "assert m.syntax.SyntaxTree.fromText('module t; endmodule')",
    ),
    _Package("fastapi", "fastapi", "serving", "pip install 'hnlpu[serve]'"),
    _Package("uvicorn", "uvicorn", "serving", "pip install 'hnlpu[serve]'"),
    _Package(
        "llguidance", "llguidance", "answers under a schema", "pip install 'hnlpu[serve]'"
    ),
    _Package("optuna", "optuna", "exploring machines", "pip install 'hnlpu[explore]'"),
    _Package("typst", "typst", "charts as PDF and PNG", "pip install 'hnlpu[charts]'"),
    _Package("onnx", "onnx", "networks of your own in ONNX", "pip install 'hnlpu[onnx]'"),
    _Package("ray", "ray", "drawing and exploring on a cluster", "pip install 'hnlpu[cluster]'"),
)  # fmt: skip
_IMPORT = """\
import importlib, json, sys
sys.path[:] = json.loads(sys.argv[1])
m = importlib.import_module(sys.argv[2])
exec(sys.argv[3])
top = sys.modules[sys.argv[2].split(".")[0]]
print(json.dumps([str(vars(top).get("__version__") or ""), str(getattr(top, "__file__", ""))]))
"""


def examine() -> list[Finding]:
    """Everything that `hnlpu doctor` prints."""
    return [
        *_machine(), *_required(), *_kernels(), _gpu(), *_optional(), *_tools(), _browser(), _hub(),
    ]  # fmt: skip


def _machine() -> Iterator[Finding]:
    yield Finding(
        "python",
        True,
        True,
        f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        path=sys.executable,
    )
    yield Finding("cores", True, True, f"{os.cpu_count()}")
    memory = _memory_gb()
    if memory is not None:
        yield Finding("memory", True, True, f"{memory:.1f} GB")


def _memory_gb() -> float | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (ValueError, OSError, AttributeError):
        return None


def _required() -> Iterator[Finding]:
    for requirement in importlib.metadata.requires("hnlpu") or []:
        if "extra ==" in requirement:
            continue
        name = requirement.split(";")[0].strip()
        for sign in "<>=!~[ ":
            name = name.split(sign)[0]
        yield _imported(name, f"pip install '{requirement}'")


def _imported(name: str, remedy: str) -> Finding:
    """A package of the main job, imported here: it is used anyway."""
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, False, True, "not installed", remedy, state="missing")
    module = _MODULES.get(name, name.replace("-", "_"))
    try:
        found = importlib.import_module(module)
    except Exception as error:
        return Finding(name, False, True, f"{version}: {_first(error)}", remedy, state="broken")
    said = str(vars(found).get("__version__") or version)
    return Finding(name, True, True, said, path=str(getattr(found, "__file__", "")))


_MODULES = {"pillow": "PIL"}
"""Modules that are not named as their packages."""


def _first(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"


def _kernels() -> Iterator[Finding]:
    """Which kernels run here, tried out on a small matrix, not guessed."""
    try:
        import numpy as np

        from hnlpu.run.emulate import ways_to_sum
        from hnlpu.run.kernels import load
        from hnlpu.silicon.hardwire import Digit, HardwiredMatrix, row_facts

        random = np.random.default_rng(0)
        digit = Digit(
            random.integers(0, 256, (8, 2, 16), dtype=np.uint8),
            random.integers(120, 124, (8, 2), dtype=np.uint8),
        )
        matrix = HardwiredMatrix((digit,), row_facts((digit,)).row_exponents, None)
        x = random.integers(-128, 128, (2, 64), dtype=np.int32)
        expected = x.astype(np.int64) @ matrix.integers().T
        for name, way in ways_to_sum().items():
            right = bool(np.array_equal(way(matrix, x), expected))
            yield Finding(
                f"kernel: {name}", right, True, "exact" if right else "gives wrong sums",
                "python -m hnlpu.run.kernels", state="ok" if right else "broken",
            )  # fmt: skip
    except Exception as error:
        yield Finding(
            "kernels", False, True, f"do not run: {error}", "pip install --force-reinstall numba",
            state="broken",
        )  # fmt: skip
        return
    yield Finding("vector units", True, False, f"LLVM target {_cpu()}")
    library, reason = load()
    yield Finding(
        "C kernels", library is not None, False,
        f"instruction sets {', '.join(library.instructions)}" if library
        else f"none, Numba's stand in (slower): {reason}",
        "python -m hnlpu.run.kernels", state="ok" if library is not None else "missing",
    )  # fmt: skip


def _gpu() -> Finding:
    """What `--device cuda` would find: tried out, in the interpreter where there is no GPU."""
    name, remedy = "GPU kernels", "pip install 'hnlpu[gpu]'"
    if any(importlib.util.find_spec(package) is None for package in ("torch", "triton")):
        return Finding(
            name, False, False, "need torch and triton: for --device cuda", remedy, state="missing"
        )
    try:
        words = [sys.executable, "-m", "hnlpu.run.kernels.try_gpu"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(name, False, False, f"do not run: {error}", remedy, state="broken")
    said = (done.stdout or done.stderr or "no message").strip().splitlines()[-1]
    works = done.returncode == 0
    return Finding(name, works, False, said, remedy, state="ok" if works else "broken")


def _cpu() -> str:
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    known = ("avx512vnni", "avx512f", "avx2", "neon", "sve")
    used = [f for f in known if features.get(f)]
    return f"{binding.get_host_cpu_name()} ({', '.join(used) or 'baseline'})"


def _optional() -> Iterator[Finding]:
    """Optional packages, each imported by a Python of its own: some take seconds, and one may crash."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(_package, _OPTIONAL)


def _package(of: _Package) -> Finding:
    try:
        version = importlib.metadata.version(of.name)
    except importlib.metadata.PackageNotFoundError:
        detail = f"not installed: for {of.use}"
        return Finding(of.name, False, False, detail, of.remedy, state="missing")
    words = [sys.executable, "-c", _IMPORT, json.dumps(sys.path), of.module, of.work]
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, errors="backslashreplace", timeout=IMPORT_S,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        said, path = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    except (ValueError, IndexError):
        problem = (done.stderr.strip().splitlines() or [f"ends with {done.returncode}"])[-1]
    else:
        return Finding(of.name, True, False, said or version, path=path)
    return Finding(of.name, False, False, f"{version}: {problem}", of.remedy, state="broken")


def _tools() -> Iterator[Finding]:
    """Programs of others, each run on a line of work."""
    from hnlpu._compilers import find_compiler
    from hnlpu.silicon.rtl import examine_tools

    for tool in examine_tools():
        if tool.problem:
            state: State = "broken" if tool.path else "missing"
            detail = f"{tool.problem}: for {tool.use}"
            yield Finding(tool.name, False, False, detail, tool.remedy, state=state)
        else:
            yield Finding(tool.name, True, False, tool.version, path=tool.path)
    yield _zig()
    name, remedy, found = "C compiler", "pip install ziglang", find_compiler("c")
    said = "; ".join(found.problems)
    if found.compiler is None:
        state = "broken" if said else "missing"
        detail = f"{said or 'not installed'}: for the C kernels"
        yield Finding(name, False, False, detail, remedy, state=state)
        return
    version = found.compiler.version + (f"; passed over {said}" if said else "")
    yield Finding(name, True, False, version, path=found.compiler.command[0])


def _zig() -> Finding:
    from hnlpu._compilers import find_zig

    name, use = "ziglang", "a compiler where the system has none"
    remedy, found = "pip install ziglang", find_zig("c")
    if found.compiler is not None:
        return Finding(name, True, False, found.compiler.version, path=found.compiler.command[0])
    detail = f"{'; '.join(found.problems) or 'not installed'}: for {use}"
    return Finding(
        name, False, False, detail, remedy, state="broken" if found.problems else "missing"
    )


def _browser() -> Finding:
    from hnlpu._programs import ask, candidates

    name, remedy = "browser", "apt-get install chromium chromium-driver"
    problems = []
    for path in candidates("chromium", "google-chrome"):
        code, said = ask([path, "--version"])
        if code == 0 and said:
            return Finding(name, True, False, _version_line(said), path=path)
        problems.append(f"{path}: {(said.splitlines() or [f'ends with {code}'])[0]}")
    detail = f"{'; '.join(problems) or 'not found'}: for the report's tests"
    return Finding(name, False, False, detail, remedy, state="broken" if problems else "missing")


def _version_line(said: str) -> str:
    """The line with a version: a browser's start script may complain before or behind it."""
    lines = said.splitlines()
    return next((line for line in lines if re.search(r"\d+\.\d+\.\d+", line)), lines[-1])


def _hub() -> Finding:
    """Where files of the Hub come from; nothing is asked of it here."""
    hub = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    mode = "from its cache alone" if os.environ.get("HF_HUB_OFFLINE") == "1" else "not asked now"
    there = next(path for path in (hub, *hub.parents) if path.exists())
    able = os.access(there, os.W_OK)
    detail = f"{mode}, cache at {hub}{'' if able else ', which cannot be written to'}"
    remedy = "set HF_HOME to a folder that can be written to"
    return Finding("Hub", able, False, detail, remedy, str(hub), "ok" if able else "broken")


@app.command()
def doctor(json: Json = False) -> None:
    """What is installed, what this machine can use, and what is missing."""
    findings = examine()
    if json:
        print_json([finding.__dict__ for finding in findings])
    else:
        for finding in findings:
            absent = finding.state == "missing" and not finding.needed
            mark = "optional" if absent else finding.state
            where = f"  {finding.path}" if finding.path else ""
            out.print(f"{mark:<9} {finding.name:<17} {finding.detail}{where}", markup=False)
            if not finding.ok and finding.remedy:
                out.print(f"{'':<9} {'':<17} install: {finding.remedy}", markup=False)
    if any(f.needed and not f.ok for f in findings):
        raise typer.Exit(1)
