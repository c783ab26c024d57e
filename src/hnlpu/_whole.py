"""Folders and files that appear whole or not at all.

A folder grows beside its place under a hidden name, locked by its process.  The lock goes with the process
however that ends, so what nobody has locked was left behind, and the next to grow there removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path

from hnlpu.errors import BuildInProgress, OutputExists, OutputFailed

RANDOM_CHARACTERS = 8  # behind the prefix of a temporary folder


@contextlib.contextmanager
def new_folder(out: Path, needed_bytes: float = 0) -> Iterator[Path]:
    """A folder beside `out` that is renamed to it when the block ends well, and removed otherwise.

    Raises OutputExists where `out` holds anything, OutputFailed where the system refuses to write
    or has less than `needed_bytes` left.
    """
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise OutputExists(f"{out}: exists already; remove it or choose another with `output`")
        out.parent.mkdir(parents=True, exist_ok=True)
        _remove_left(out)
        free = shutil.disk_usage(out.parent).free
        if free < needed_bytes:
            raise OutputFailed(
                f"{out}: the disk has {free / 1e9:.1f} GB free, this needs about "
                f"{needed_bytes / 1e9:.1f} GB; free some space or choose fewer tiles"
            )
        growing, lock = _locked_folder(out)
    except OSError as error:
        raise OutputFailed(f"{out}: cannot be created ({error.strerror})") from None
    try:
        yield growing
        growing.chmod(0o755)  # a temporary folder is closed to others
        if out.exists():
            out.rmdir()
        growing.rename(out)
    except OSError as error:
        raise OutputFailed(f"{error.filename or out}: {error.strerror}; nothing was kept") from None
    finally:
        shutil.rmtree(growing, ignore_errors=True)
        os.close(lock)


LOCK = "lock"


@contextlib.contextmanager
def working_folder(out: Path, worthless: Container[str] = ()) -> Iterator[Path]:
    """`out`.partial, in which one process keeps what it has done, so that it goes on after a kill.

    It stays where the block ends early and holds more than files of `worthless` names; who ends well
    empties it.  Raises OutputExists, OutputFailed, and BuildInProgress where another process works in it.
    """
    work = out.with_name(out.name + ".partial")
    try:
        work.mkdir(parents=True, exist_ok=True)
        if any(work.iterdir()) and not (work / LOCK).exists():
            raise OutputExists(
                f"{work}: is needed for what is unfinished and holds files; move it away"
            )
        lock = os.open(work / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise OutputFailed(f"{work}: cannot be created ({error.strerror})") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise BuildInProgress(
            f"{out}: another process is at work on it; wait for it to end"
        ) from None
    try:
        yield work
        with contextlib.suppress(OSError):
            work.rmdir()
    except OSError as error:
        raise OutputFailed(f"{error.filename or work}: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):  # nothing was done: no folder is left
            if all(path.name == LOCK or path.name in worthless for path in work.iterdir()):
                shutil.rmtree(work)
        os.close(lock)


def _growing_prefix(out: Path) -> str:
    return f".{out.name}.unfinished-"


def _locked_folder(out: Path) -> tuple[Path, int]:
    """A new folder beside `out`, and the open file that holds its lock."""
    while True:
        growing = Path(tempfile.mkdtemp(prefix=_growing_prefix(out), dir=out.parent))
        try:
            lock = os.open(growing, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue  # another process took it for left behind, before the lock
        taken = False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            taken = True
        except OSError:
            pass  # the disk knows no locks: nothing is ever removed from it either
        if not taken and growing.exists():
            return growing, lock
        os.close(lock)


def _remove_left(out: Path) -> None:
    """Remove folders that processes that are no more left beside `out`."""
    for left in out.parent.glob(glob.escape(_growing_prefix(out)) + "?" * RANDOM_CHARACTERS):
        # gone meanwhile, another user's, no folder, or locked by a process that is alive
        with contextlib.suppress(OSError):
            lock = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(lock)


def append_line(path: Path, line: str) -> None:
    """Add a line to a file of lines, the last of which a kill may have cut off."""
    with path.open("a+b") as stream:
        stream.seek(0, os.SEEK_END)
        if stream.tell():
            stream.seek(-1, os.SEEK_END)
            line = line if stream.read() == b"\n" else "\n" + line
        stream.write((line + "\n").encode())


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Callable[[bytes], None]]:
    """What puts all bytes of a file in its place at once; without a call, nothing changes there.

    Room beside `path` is taken first, so that a place that cannot be written is known before minutes
    of work.  Raises OutputFailed, then and at the call.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")

    def write(content: bytes) -> None:
        try:
            aside.write_bytes(content)
            aside.replace(path)
        except OSError as error:
            raise _unwritten(path, error, "free some space or choose") from None

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(b"")
    except OSError as error:
        raise _unwritten(path, error, "choose") from None
    try:
        yield write
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


@contextlib.contextmanager
def new_files(paths: Sequence[Path]) -> Iterator[Callable[[Mapping[Path, bytes]], None]]:
    """What writes several new files: room beside each is taken first, and nothing is overwritten.

    Raises OutputExists for a path that is taken, OutputFailed as `new_file` does.
    """
    for path in paths:
        if path.exists() or path.is_symlink():
            raise OutputExists(f"{path}: is there already; remove it or choose another name")
    if len({path.absolute() for path in paths}) != len(paths):
        raise OutputExists(f"{paths[0]}: two files of one name are to be written")
    with contextlib.ExitStack() as stack:
        writers = {path: stack.enter_context(new_file(path)) for path in paths}

        def write(contents: Mapping[Path, bytes]) -> None:
            for path, content in contents.items():
                writers[path](content)

        yield write


def _unwritten(path: Path, error: OSError, remedy: str) -> OutputFailed:
    return OutputFailed(
        f"{path}: cannot be written ({error.strerror}); {remedy} another place with `output`"
    )
