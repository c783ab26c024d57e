"""The folder in which a build grows: `DIR.partial`, renamed to `DIR` when complete.

    DIR.partial/lock               held by the one process that builds
    DIR.partial/journal/plan.json  what is being built, from which bytes
    DIR.partial/journal/NAME.json  a finished file: its digest and records
    DIR.partial/build/...          finished files under their names, others as *.part
    DIR.partial/replaced/          for a moment, the build that stood at DIR before

A killed build leaves this folder; the next one with the same plan reuses the
finished files.  Nothing ever stands at DIR but a complete build.  The lock is
the first thing made and the last one removed, so a folder of that name
without it is somebody else's.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hnlpu.errors import BuildInProgress, HnlpuError, OutputExists, OutputFailed
from hnlpu.silicon.hardwire._manifest import MANIFEST, canonical_json, read_manifest

_LOCK = "lock"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb", buffering=0) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_output(out: Path) -> None:
    """Refuse an output path that holds anything but a build or nothing.

    Raises OutputExists.  A build that holds files of the user's own is
    refused too: replacing it would lose them.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise OutputExists(f"{out}: is a file; choose a folder for the build")
    if not any(out.iterdir()):
        return
    try:
        manifest = read_manifest(out)
    except HnlpuError:
        raise OutputExists(
            f"{out}: exists and is not a sound build; choose another folder or remove it"
        ) from None
    known = {MANIFEST, *manifest.files}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if (path.is_symlink() or not path.is_dir()) and name not in known:
            raise OutputExists(f"{out}: holds {name}, which is not part of the build; move it away")


class Staging:
    """A locked staging folder for one plan; use through `staging`."""

    def __init__(self, folder: Path, out: Path):
        self._folder = folder
        self._out = out
        self._journal = folder / "journal"
        self._build = folder / "build"
        self._replaced = folder / "replaced"
        self._put_back()

    @property
    def folder(self) -> Path:
        """Where finished files lie under their names."""
        return self._build

    def finished(self, name: str) -> dict[str, Any] | None:
        """The journal's entry of file `name` if the file is there and matches it."""
        try:
            entry: dict[str, Any] = json.loads(self._entry(name).read_bytes())
            if file_sha256(self._build / name) == entry["file"]["sha256"]:
                return entry
        except (OSError, ValueError, KeyError, TypeError):
            pass  # unfinished or unreadable: it is made again
        return None

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Path of a temporary file that becomes `name` when the block ends well."""
        final = self._build / name
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = final.with_name(final.name + ".part")
        yield temporary
        temporary.replace(final)

    def finish(self, name: str, records: dict[str, Any]) -> dict[str, Any]:
        """Enter file `name` with its digest and `records` in the journal."""
        path = self._build / name
        file = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
        entry = {"file": file, "records": records}
        self._write(self._entry(name), entry)
        return entry

    def resume_or_clear(self, plan: Any) -> None:
        """Keep what an earlier run of the same plan finished, drop anything else."""
        path = self._journal / "plan.json"
        with contextlib.suppress(OSError):
            if path.read_bytes() == canonical_json(plan):
                return
        self._clear()
        self._journal.mkdir()
        self._build.mkdir()
        self._write(path, plan)

    def publish(self) -> None:
        """Put the finished build in its place; raises OutputExists as `check_output`."""
        for leftover in self._build.rglob("*.part"):
            leftover.unlink()
        check_output(self._out)
        if self._out.exists():
            self._out.rename(self._replaced)
        self._build.rename(self._out)
        self.discard()

    def _put_back(self) -> None:
        """Undo half a replacement: the build that stood there before is the user's only one."""
        if self._replaced.exists():
            if self._out.exists():
                shutil.rmtree(self._replaced)
            else:
                self._replaced.rename(self._out)

    def discard(self) -> None:
        """Remove the folder and all it holds, as far as the system lets us."""
        with contextlib.suppress(OSError):
            self._put_back()
            self._clear()
            (self._folder / _LOCK).unlink()
            self._folder.rmdir()

    def _clear(self) -> None:
        for child in self._folder.iterdir():
            if child.is_dir() and not child.is_symlink():
                shutil.rmtree(child)
            elif child.name != _LOCK:
                child.unlink()

    def _entry(self, name: str) -> Path:
        return self._journal / (name.replace("/", "--") + ".json")

    def _write(self, path: Path, values: Any) -> None:
        temporary = path.with_name(path.name + ".part")
        temporary.write_bytes(canonical_json(values))
        temporary.replace(path)


@contextlib.contextmanager
def staging(out: Path) -> Iterator[Staging]:
    """The locked staging folder of `out`.

    An error of the user's making or of the operating system removes it; an
    interruption leaves it for the next run.  Raises BuildInProgress,
    OutputExists, OutputFailed.
    """
    folder = out.with_name(out.name + ".partial")
    made_parents = _missing_parents(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()) and not (folder / _LOCK).exists():
            raise OutputExists(f"{folder}: is needed for building and holds files; move it away")
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        _remove(made_parents)
        raise OutputFailed(f"{out}: cannot be created ({error.strerror})") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            same = os.fstat(lock).st_ino == (folder / _LOCK).stat().st_ino
        except OSError:
            same = False
        if not same:
            raise BuildInProgress(f"{out}: another process is building it; wait for it to end")
        try:
            stage = Staging(folder, out)
        except OSError as error:
            raise OutputFailed(f"{error.filename or out}: {error.strerror}") from None
        try:
            yield stage
        except OSError as error:
            stage.discard()
            _remove(made_parents)
            raise OutputFailed(
                f"{error.filename or out}: {error.strerror}; nothing was kept"
            ) from None
        except HnlpuError:
            stage.discard()
            _remove(made_parents)
            raise
    finally:
        os.close(lock)


def _missing_parents(path: Path) -> list[Path]:
    """Parents of `path` that do not exist yet, innermost first."""
    return [parent for parent in path.parents if not parent.exists()]


def _remove(folders: list[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()
