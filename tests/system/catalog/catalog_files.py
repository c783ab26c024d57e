"""Files of the catalog with one thing changed."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def changed(folder: Path, kind: str, name: str, old: str, new: str) -> str:
    """Path of a copy of a catalog file with the first `old` replaced."""
    text = (resources.files("hnlpu.system.catalog") / kind / f"{name}.toml").read_text()
    assert old in text
    path = folder / "mine.toml"
    path.write_text(text.replace(old, new, 1))
    return str(path)


def line_of(path: str, text: str) -> int:
    """The first line of a file that holds `text`."""
    lines = Path(path).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)
