"""The training text: what every Python installation carries.

Documents are the source files of the standard library and the help texts of
``pydoc_data.topics``.  Left out: tests, bundled wheels and generated tables
(``encodings`` code pages, ``_sysconfigdata``), which teach a model nothing.
A fixed list of modules is held out for scoring and never trained on.

Needs nothing but the standard library, so that the demo can write the
held-out text on any machine:  ``python training/corpus.py --held-out FILE``.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HELD_OUT = (
    "calendar.py",
    "colorsys.py",
    "configparser.py",
    "csv.py",
    "difflib.py",
    "fractions.py",
    "ftplib.py",
    "graphlib.py",
    "heapq.py",
    "html/parser.py",
    "json/decoder.py",
    "sched.py",
    "shlex.py",
    "statistics.py",
    "tarfile.py",
    "textwrap.py",
    "trace.py",
)
_SKIPPED_FOLDERS = {
    "site-packages", "dist-packages", "test", "tests", "idle_test", "encodings",
    "_bundled", "__pycache__", "pydoc_data",
}  # fmt: skip
_SKIPPED_PREFIXES = ("_sysconfigdata", "_sysconfig_vars", "__phello__")


@dataclass(frozen=True)
class Document:
    """One text with the name it is known by (a path in the library, or a help topic)."""

    name: str
    text: str


def library() -> Path:
    """Folder of the running interpreter's standard library."""
    return Path(sysconfig.get_path("stdlib"))


def training_documents() -> list[Document]:
    """Every document that is not held out, sorted by name."""
    return sorted((*_sources(), *_topics()), key=lambda d: d.name)


def held_out_documents() -> list[Document]:
    """The held-out modules, in the order of `HELD_OUT`.

    Raises FileNotFoundError when the installation lacks one of them.
    """
    root = library()
    return [Document(name, (root / name).read_text("utf-8")) for name in HELD_OUT]


def digest(documents: list[Document]) -> str:
    """SHA-256 over names and texts: the identity of a corpus in the model card."""
    h = hashlib.sha256()
    for d in documents:
        for part in (d.name, d.text):
            raw = part.encode()
            h.update(len(raw).to_bytes(8, "little") + raw)
    return h.hexdigest()


def _sources() -> Iterator[Document]:
    root = library()
    held_out = set(HELD_OUT)
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if _SKIPPED_FOLDERS & set(name.split("/")[:-1]) or name in held_out:
            continue
        if path.name.startswith(_SKIPPED_PREFIXES):
            continue
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        if text.strip():
            yield Document(name, text)


def _topics() -> Iterator[Document]:
    from pydoc_data.topics import topics

    for name, text in topics.items():
        yield Document(f"topics/{name}", text)


def excerpt(documents: list[Document], size_bytes: int, seed: int = 0) -> str:
    """One contiguous run of whole lines from every document, `size_bytes` in all.

    Each document contributes in proportion to its size; the place is drawn
    from `seed`.  Used where scoring the whole held-out text takes too long.
    """
    rng = random.Random(seed)
    total = sum(len(d.text) for d in documents)
    parts = []
    for d in documents:
        share = max(1, round(size_bytes * len(d.text) / total))
        start = rng.randrange(max(1, len(d.text) - share))
        start = d.text.rfind("\n", 0, start) + 1
        parts.append(d.text[start : start + share].rsplit("\n", 1)[0] + "\n")
    return "".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--held-out", type=Path, required=True, help="file to write")
    parser.add_argument("--bytes", type=int, help="only an excerpt of about this many bytes")
    args = parser.parse_args()
    documents = held_out_documents()
    text = excerpt(documents, args.bytes) if args.bytes else "".join(d.text for d in documents)
    args.held_out.parent.mkdir(parents=True, exist_ok=True)
    args.held_out.write_text(text, "utf-8")
    print(f"{args.held_out}: {len(text.encode()):,} bytes of {len(documents)} held-out modules")


if __name__ == "__main__":
    main()
