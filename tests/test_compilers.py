"""Which compiler of C and C++ is taken: one that works, for this processor."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from decoys import BROKEN, OLD, write_decoys
from hnlpu import _compilers
from hnlpu._compilers import find_compiler, find_zig

ELSEWHERE = """\
#!/bin/sh
while [ $# -gt 1 ]; do [ "$1" = -o ] && out="$2"; shift; done
[ -n "$out" ] && cp {made} "$out"
exit 0
"""
c, cpp = (
    pytest.mark.skipif(find_compiler(language, zig=False).compiler is None, reason="no compiler")
    for language in ("c", "c++")
)


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CC", "CXX"):
        monkeypatch.delenv(name, raising=False)


@c
@pytest.mark.parametrize("text", [BROKEN, OLD], ids=["broken", "old"])
def test_what_does_not_compile_is_passed_over_and_told(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = find_compiler("c").compiler
    write_decoys(tmp_path, text, "cc")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    found = find_compiler("c")
    assert found.compiler is not None
    assert real is not None
    assert found.compiler.command == real.command
    assert found.problems[0].startswith(f"{tmp_path}/cc: ")


@pytest.mark.skipif(sys.platform != "linux", reason="ELF")
def test_a_compiler_for_another_processor_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = bytearray(Path(sys.executable).read_bytes()[:64])
    head[18] ^= 0xFF  # e_machine
    (tmp_path / "made").write_bytes(head)
    write_decoys(tmp_path, ELSEWHERE.format(made=tmp_path / "made"), "cc", "chosen")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    assert find_compiler("c").problems[0] == f"{tmp_path}/cc: compiles for another processor"
    monkeypatch.setenv("CC", str(tmp_path / "chosen"))
    first = find_compiler("c").problems[0]
    assert first == f"CC={tmp_path}/chosen: compiles for another processor"


@c
def test_cc_is_taken_with_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    real = find_compiler("c").compiler
    assert real is not None
    monkeypatch.setenv("CC", f"{real.command[0]} -pipe")
    found = find_compiler("c").compiler
    assert found is not None
    assert found.command == (real.command[0], "-pipe")


@cpp
@pytest.mark.parametrize("chosen", ["/nowhere/g++", "g++ 'unclosed", "false"])
def test_cxx_is_taken_or_refused_and_never_replaced(
    chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", chosen)
    found = find_compiler("c++")
    assert found.compiler is None
    assert found.problems[0].startswith(f"CXX={chosen}: ")


def test_zig_where_the_system_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_zig("c").compiler is None:
        pytest.skip("no ziglang")
    monkeypatch.setenv("PATH", str(tmp_path))
    for language in ("c", "c++"):
        found = find_compiler(language).compiler
        assert found is not None
        assert found.is_zig
        assert found.version.startswith("zig ")


def test_no_compiler_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_compilers, "wheel_file", lambda *_: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_compiler("c++") == _compilers.CompilerSearch(None, ())


@cpp
def test_a_compiler_is_tried_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    count = tmp_path / "count"
    real = shutil.which("g++") or shutil.which("c++") or shutil.which("clang++")
    write_decoys(tmp_path, f'#!/bin/sh\necho x >> {count}\nexec {real} "$@"\n', "g++")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    find_compiler("c++")
    before = count.read_text()
    found = find_compiler("c++").compiler
    assert found is not None
    assert found.command == (f"{tmp_path}/g++",)
    assert count.read_text() == before
