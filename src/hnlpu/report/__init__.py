"""One self-contained HTML page about a build."""

from pathlib import Path


def report(
    directory: str | Path,
    output: str | Path | None = None,
    *,
    checkpoint: str | Path | None = None,
    text: str | None = None,
    prompt: str | None = None,
) -> Path:
    raise NotImplementedError


__all__ = ["report"]
