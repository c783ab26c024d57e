"""A file that appears whole or not at all: whatever ends its writing, the old one stays."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import hnlpu
from hnlpu._whole import new_file
from hnlpu.errors import OutputFailed


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_at_once(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "page.html"
    for content in (b"one", b"two"):
        with new_file(path) as write:
            write(content)
        assert path.read_bytes() == content
        assert names(path.parent) == ["page.html"]


@pytest.mark.parametrize("before", [None, b"old"])
def test_an_error_before_the_end_changes_nothing(tmp_path: Path, before: bytes | None) -> None:
    path = tmp_path / "page.html"
    if before is not None:
        path.write_bytes(before)
    found = names(tmp_path)
    with pytest.raises(ZeroDivisionError), new_file(path) as write:
        write(bytes(1 // 0))
    assert names(tmp_path) == found
    assert before is None or path.read_bytes() == before


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(b"old")
    real = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        real(self, content[: len(content) // 2])
        if content:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return 0

    monkeypatch.setattr(Path, "write_bytes", full)
    refused = pytest.raises(OutputFailed, match=r"No space left on device.*free some space")
    with refused, new_file(path) as write:
        write(b"new and long")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["page.html"]


def test_a_place_that_cannot_be_written_is_known_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    worked = []
    refused = pytest.raises(OutputFailed, match=r"cannot be written .*choose another place")
    with refused, new_file(tmp_path / "file" / "page.html"):
        worked.append(1)
    assert worked == []


def test_a_kill_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(b"old")
    code = (
        "import os, signal, sys; from pathlib import Path; from hnlpu._whole import new_file\n"
        "with new_file(Path(sys.argv[1])) as write:\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        env={**os.environ, "PYTHONPATH": str(Path(hnlpu.__file__).parents[1])}, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
