"""Programs of others: found by path, tried before they are believed, run in an environment of their own.

    names, PATH ──► candidates ──► the first that passes a trial ──► its own path, its own environment

What a user's shell sets for other work (VERILATOR_ROOT, MAKEFLAGS, CXXFLAGS, CPATH, PERL5LIB,
PYTHONPATH, LD_PRELOAD ...) must not change what comes out, so a program sees what `KEPT` names and
nothing else.  This file imports the standard library alone: the build hook uses it before anything
is installed.
"""

from __future__ import annotations

import atexit
import importlib.metadata
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

KEPT = (
    "HOME", "USER", "LOGNAME", "TMPDIR", "TZ",
    # where caches lie
    "XDG_CACHE_HOME", "YOWASP_CACHE_DIR", "ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR", "CCACHE_DIR",
    # where a system without /usr/include has its headers
    "SDKROOT", "DEVELOPER_DIR", "MACOSX_DEPLOYMENT_TARGET", "CONDA_BUILD_SYSROOT",
)  # fmt: skip
"""Variables that programs see; those of Nix's compilers (NIX_...) as well."""
SYSTEM_FOLDERS = ("/usr/local/bin", "/usr/bin", "/bin")
_PLAIN = re.compile(r"[A-Za-z0-9_./+-]*")


def clean_environment(
    first: Sequence[str | Path] = (), more: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What a program sees: `KEPT`, a PATH of the folders `first`, the system's and then the user's.

    Messages are in English, as they are read.  Whoever names a compiler by CC or CXX has its libraries
    found by LD_LIBRARY_PATH, as it and what it makes may need.  `more` is added.
    """
    libraries = ("LD_LIBRARY_PATH",) if os.environ.get("CXX") or os.environ.get("CC") else ()
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in (*KEPT, *libraries) or name.startswith("NIX_")
    }
    folders = [*map(str, first), *SYSTEM_FOLDERS, *_path_folders()]
    path = os.pathsep.join(dict.fromkeys(folders))
    return {**kept, "PATH": path, "LC_ALL": "C.UTF-8", **(more or {})}


def _path_folders() -> list[str]:
    """Folders of PATH; a relative one would be another one wherever a program runs."""
    return [folder for folder in os.get_exec_path() if Path(folder).is_absolute()]


def candidates(*names: str) -> Iterator[str]:
    """Paths of executables of these names, all of the first name before the second's, as PATH has them."""
    found = set()
    for name in names:
        for folder in _path_folders():
            path = str(Path(folder) / name)
            if path not in found and Path(path).is_file() and os.access(path, os.X_OK):
                found.add(path)
                yield path


def wheel_file(package: str, path: str) -> Path | None:
    """A file that an installed wheel brought, and None where the wheel is not installed.

    By the wheel's own list, not by import: a folder of the same name where the user stands is no wheel.
    """
    try:
        return Path(str(importlib.metadata.distribution(package).locate_file(path)))
    except importlib.metadata.PackageNotFoundError:
        return None


def run_program(
    command: Sequence[str | Path], folder: str | Path, timeout_s: float,
    environment: Mapping[str, str] | None = None, given: str | None = None,
) -> subprocess.CompletedProcess[str] | None:  # fmt: skip
    """Run a command in a folder with its output as text; None where it took longer than allowed.

    All that it started ends with it, at its time limit and at an interrupt.  `given` is what it reads.
    Raises OSError where it cannot be started.
    """
    with subprocess.Popen(
        command, cwd=folder, env=dict(environment or clean_environment()),
        stdin=subprocess.DEVNULL if given is None else subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, encoding="utf-8", errors="backslashreplace",
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            out, err = process.communicate(given, timeout_s)
        except BaseException as error:
            _end(process)
            if isinstance(error, subprocess.TimeoutExpired):
                return None
            raise
        return subprocess.CompletedProcess(command, process.returncode, out, err)


def _end(process: subprocess.Popen[str]) -> None:
    """Kill a process and all of its session; a compiler below make holds the pipes open."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (AttributeError, OSError):
        process.kill()
    process.communicate()


def ask(
    command: Sequence[str | Path], environment: Mapping[str, str] | None = None,
    folder: str | Path = "/", timeout_s: float = 60, given: str | None = None,
) -> tuple[int, str]:  # fmt: skip
    """Exit code and all that a program says, of a program that may be broken: then 127 and why."""
    try:
        ran = run_program(command, folder, timeout_s, environment, given)
    except OSError as error:
        return 127, f"{error.strerror or error}"
    if ran is None:
        return 124, f"no answer within {timeout_s:.0f} s"
    return ran.returncode, (ran.stdout + ran.stderr).strip()


def first_line(text: str) -> str:
    """The line of a program's words that says what went wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [
        line
        for line in lines
        if ("rror" in line or "%Warning" in line or "no end" in line) and "Exiting" not in line
    ]
    return (telling or lines or ["no output"])[0]


def is_plain(path: str | Path) -> bool:
    """Whether make and its shell take a path as it is: letters of ASCII, digits, no spaces."""
    return _PLAIN.fullmatch(str(path)) is not None


def plain_folder(prefix: str) -> Path | None:
    """A new folder whose path is plain, removed at exit; None where no place for one is."""
    for parent in (tempfile.gettempdir(), "/tmp", "/var/tmp"):  # noqa: S108  mkdtemp makes it
        if is_plain(os.path.realpath(parent)):
            try:
                folder = tempfile.mkdtemp(prefix=prefix, dir=os.path.realpath(parent))
            except OSError:
                continue
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            return Path(folder)
    return None


def cache_folder(wanted: Path, name: str) -> Path:
    """`wanted`, or where nobody can write to it, a folder of this user's among temporary files."""
    if _writable(wanted):
        return wanted
    stand_in = Path(tempfile.gettempdir()) / f"hnlpu-{name}-{os.getuid()}"
    try:
        stand_in.mkdir(mode=0o700, exist_ok=True)
        found = stand_in.lstat()
    except OSError:
        found = None
    # code is loaded from it: nobody else may have put it there
    own = found and stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    if found and own and not found.st_mode & 0o022:
        return stand_in
    return Path(tempfile.mkdtemp(prefix=f"hnlpu-{name}-"))


def _writable(folder: Path) -> bool:
    """Whether a folder can be written to, or made."""
    for path in (folder, *folder.parents):
        if path.exists():
            return path.is_dir() and os.access(path, os.W_OK | os.X_OK)
    return False
