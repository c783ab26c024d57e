"""Paths as users write them."""

from __future__ import annotations

from pathlib import Path

from hnlpu.errors import InvalidInput


def absolute(path: str | Path) -> Path:
    """`path` with `~` expanded and links followed; it need not exist.

    Raises InvalidInput for a path that the operating system cannot look up:
    an unknown user's home, a name that is too long, a folder closed to us.
    """
    try:
        found = Path(path).expanduser().resolve()
        found.exists()
    except (OSError, RuntimeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidInput(f"{path}: not a usable path ({reason})") from None
    return found
