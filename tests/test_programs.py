"""Programs of others: their environment, where they are looked for, and that they end."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from decoys import BROKEN, HOSTILE, write_decoys
from hnlpu._programs import (
    ask,
    cache_folder,
    candidates,
    clean_environment,
    first_line,
    is_plain,
    run_program,
    wheel_file,
)


def test_nothing_that_a_shell_sets_for_other_work_reaches_a_program(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in (*HOSTILE, "LD_PRELOAD", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH"):
        monkeypatch.setenv(name, "/nowhere")
    for name in ("CC", "CXX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PATH", os.pathsep.join(["relative", "/own/bin", "/usr/bin"]))
    found = clean_environment(["/first"], {"MORE": "1"})
    assert "/nowhere" not in found.values()
    assert found["TMPDIR"] == str(tmp_path)
    assert found["MORE"] == "1"
    assert found["PATH"].split(os.pathsep) == [
        "/first", "/usr/local/bin", "/usr/bin", "/bin", "/own/bin",
    ]  # fmt: skip


def test_libraries_come_with_a_compiler_that_the_user_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/gcc/lib64")
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("CXX", "/opt/gcc/bin/g++")
    assert clean_environment()["LD_LIBRARY_PATH"] == "/opt/gcc/lib64"


def test_candidates_are_executables_in_the_order_of_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    one, two = (write_decoys(tmp_path / n, BROKEN, "a", "b") for n in ("one", "two"))
    (one / "a").chmod(0o644)
    (tmp_path / "three" / "a").mkdir(parents=True)
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, (one, tmp_path / "three", two, one))))
    assert list(candidates("b", "a")) == [f"{one}/b", f"{two}/b", f"{two}/a"]


def test_a_folder_where_the_user_stands_is_no_wheel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "no_such_wheel").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert wheel_file("no-such-wheel", "no_such_wheel") is None
    numpy = wheel_file("numpy", "numpy/__init__.py")
    assert numpy is not None
    assert numpy.is_file()


def test_what_a_program_started_ends_with_it(tmp_path: Path) -> None:
    # the child holds the pipes for a minute
    words = ["/bin/sh", "-c", "sleep 60 & echo $! > child; wait"]
    began = time.monotonic()
    assert run_program(words, tmp_path, 1) is None
    assert time.monotonic() - began < 20
    child = int((tmp_path / "child").read_text())
    for _ in range(50):
        if not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text():
            break
        time.sleep(0.1)
    else:
        pytest.fail("the child runs on")


def test_a_broken_program_answers_with_why(tmp_path: Path) -> None:
    broken = write_decoys(tmp_path, BROKEN, "broken") / "broken"
    assert ask([broken]) == (1, "a decoy of broken")
    assert ask([tmp_path / "none"]) == (127, "No such file or directory")
    assert ask(["/bin/sleep", "9"], timeout_s=0.2)[0] == 124
    assert ask([sys.executable, "-c", "print(input())"], given="told") == (0, "told")


def test_the_telling_line() -> None:
    assert (
        first_line("compiling\nfile.cpp:1: error: no\nmake: *** Error 1") == "file.cpp:1: error: no"
    )
    assert first_line("\n  said\nmore") == "said"
    assert first_line("") == "no output"


def test_plain_paths() -> None:
    assert is_plain("/usr/lib/gcc-12/g++_x.so")
    assert not any(map(is_plain, ("/my files", "/Ünits", "/a$b", "/a'b", "/a#b", "/a:b")))


def test_a_cache_that_cannot_be_written_has_a_stand_in_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache_folder(tmp_path / "new" / "cache", "x") == tmp_path / "new" / "cache"
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "file").write_text("no folder")
    stand_in = cache_folder(tmp_path / "file" / "cache", "x")
    assert stand_in == tmp_path / f"hnlpu-x-{os.getuid()}"
    assert stand_in.stat().st_mode & 0o777 == 0o700
    stand_in.chmod(0o777)  # another user could have put code there
    assert cache_folder(tmp_path / "file" / "cache", "x") not in (stand_in, tmp_path / "file")
