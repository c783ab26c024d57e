"""A wheel that runs on other machines, made and tried:  make wheel

Builds the wheel with kernels for the oldest glibc that we promise, asks auditwheel whether they keep
that, installs the wheel into a new virtual environment, and runs `hnlpu demo` there, with the model in the
wheel: without a compiler, without the checkout, with an empty home folder.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "checkpoints" / "stdlib-140k"
GLIBC = "2_28"
"""That of Debian 10, RHEL 8 and Ubuntu 18.10, and of all that are newer."""
KERNELS = re.compile(r"^ok +C kernels +instruction sets", re.MULTILINE)


def run(*words: str | Path, env: Mapping[str, str] | None = None, cwd: Path = ROOT) -> str:
    """What a command prints; ends the script with what it said if it fails."""
    print("$", *words, flush=True)
    done = subprocess.run(
        [str(word) for word in words], env=env, cwd=cwd, check=False, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\n{words[0]}: exit code {done.returncode}")
    return done.stdout


def make(out: Path) -> Path:
    """The wheel, in `out`."""
    environment = os.environ | {"HNLPU_MANYLINUX": GLIBC}
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "-m", "pip", "wheel", ROOT, "--no-deps", "-w", folder, env=environment)
        (made,) = Path(folder).glob("hnlpu-*.whl")
        out.mkdir(parents=True, exist_ok=True)
        wheel = out / made.name
        wheel.write_bytes(made.read_bytes())
    return wheel


def judge(wheel: Path) -> None:
    """Ends the script unless the wheel's name promises the glibc, and auditwheel finds no newer one."""
    if f"-manylinux_{GLIBC}_" not in wheel.name:
        sys.exit(f"{wheel.name}: is not tagged manylinux_{GLIBC}")
    said = run(sys.executable, "-m", "auditwheel", "show", wheel)
    found = re.search(r'following platform tag:\s*"manylinux_(\d+)_(\d+)_', said)
    promised = tuple(map(int, GLIBC.split("_")))
    if found is None or tuple(map(int, found.groups())) > promised:
        sys.exit(f"{said}\n{wheel.name}: asks for more than manylinux_{GLIBC}")
    print(f"auditwheel: manylinux_{found[1]}_{found[2]}, within manylinux_{GLIBC}")


def try_out(wheel: Path) -> None:
    """Install into a new environment and let the small model talk there."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        venv.create(folder / "venv", with_pip=True)
        binaries, home = folder / "venv" / "bin", folder / "home"
        home.mkdir()
        run(binaries / "python", "-m", "pip", "install", "--quiet", wheel, cwd=folder)
        environment = {"PATH": str(binaries), "HOME": str(home), "LANG": "C.UTF-8"}

        def hnlpu(*words: str | Path) -> str:
            return run(binaries / "hnlpu", *words, env=environment, cwd=folder)

        said = hnlpu("doctor")
        if not KERNELS.search(said):
            sys.exit(f"{said}\nthe wheel's kernels are not used")
        print(hnlpu("demo", "-o", "demo"))
        build = folder / "demo" / MODEL.name
        hnlpu("verify", build, "--checkpoint", MODEL)  # the wheel's model is the checkout's
        text = hnlpu("generate", build, "--prompt", "def ", "--max-tokens", "16")
        here = [sys.executable, "-m", "hnlpu", "generate", build]
        expected = run(*here, "--prompt", "def ", "--max-tokens", "16")
        if not text or text != expected:
            sys.exit(f"the wheel says {text!r}, this checkout {expected!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    out = parser.parse_args().out
    wheel = make(out.resolve())
    judge(wheel)
    try_out(wheel)
    print(f"{wheel}: made, judged and tried")


if __name__ == "__main__":
    main()
