"""A folder that appears whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hnlpu.errors import OutputExists, OutputFailed


@contextlib.contextmanager
def new_folder(out: Path, needed_bytes: float = 0) -> Iterator[Path]:
    """A folder beside `out` that is renamed to it when the block ends well, and removed otherwise.

    Raises OutputExists where `out` holds anything, OutputFailed where the system refuses to write
    or has less than `needed_bytes` left.
    """
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise OutputExists(f"{out}: exists already; remove it or choose another with --output")
        out.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(out.parent).free
        if free < needed_bytes:
            raise OutputFailed(
                f"{out}: the disk has {free / 1e9:.1f} GB free, this needs about "
                f"{needed_bytes / 1e9:.1f} GB; free some space or choose fewer tiles"
            )
        growing = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
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
