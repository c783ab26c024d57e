"""NEON, and zig's compiler, where the tools are: the same check in C under an emulator."""

import shutil
import subprocess
from pathlib import Path

import pytest

from hnlpu.run.kernels import _compile

CHECK = Path(__file__).with_name("cross_check.c")
QEMU = shutil.which("qemu-aarch64")
ZIG = _compile.zig_compiler()
SYSTEM = _compile.system_compiler()
OPTIONS = [o for o in _compile.OPTIONS if o not in ("-shared", "-fPIC", "-fvisibility=hidden")]


def compiled(command, to):
    words = [*command, *OPTIONS, "-Wall", "-Wextra", "-Werror", "-Wno-psabi", "-I",
             str(_compile.FOLDER), str(CHECK), "-o", str(to), *_compile.LIBRARIES]  # fmt: skip
    subprocess.run(words, check=True, capture_output=True, text=True, timeout=300)
    return to


def says(command):
    return subprocess.run(command, capture_output=True, text=True, timeout=300).stdout


@pytest.mark.skipif(SYSTEM is None, reason="no system compiler")
def test_the_check_itself_passes_here(tmp_path):
    assert says([compiled(SYSTEM, tmp_path / "check")]).endswith("portable agree\n")


@pytest.mark.skipif(SYSTEM is None, reason="no system compiler")
def test_the_check_finds_a_wrong_kernel(tmp_path):
    wrong = tmp_path / "source"
    shutil.copytree(_compile.FOLDER, wrong, ignore=lambda *_: ["__pycache__", "_kernels.so"])
    path = wrong / "portable.h"
    text = path.read_text()
    assert text.count("w.odd[i] * x[16 + i]") == 1
    path.write_text(text.replace("w.odd[i] * x[16 + i]", "w.odd[i] * x[15 + i]"))
    check = tmp_path / "check"
    words = [*SYSTEM, *OPTIONS, "-I", str(wrong), str(CHECK), "-o", str(check)]
    subprocess.run([*words, *_compile.LIBRARIES], check=True, capture_output=True)
    assert says([check]) == "portable: digits differs\n"


@pytest.mark.skipif(ZIG is None or QEMU is None, reason="needs ziglang and qemu-aarch64")
def test_neon_under_an_emulator(tmp_path):
    command = [word for word in ZIG if not word.startswith("-mcpu")]
    check = compiled([*command, "-target", "aarch64-linux-musl", "-static"], tmp_path / "check")
    assert says([QEMU, check]) == "neon portable agree\n"
