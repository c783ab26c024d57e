"""Where drawn mask files go: into new files of a folder, or beside the files that are there.

    NewFiles    name -> a file to write
    SameFiles   name -> what compares every byte written with the file of that name

A file is compared as it is drawn, a piece at a time: memory does not grow with it.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import numpy as np

PIECE_BYTES = 2**20


class Output(Protocol):
    """A folder that files are drawn for, each once."""

    @property
    def names(self) -> set[str]:
        """Those of the files so far."""

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A file to write front to back, or at places that were written before."""


class NewFiles:
    """Files of a new folder."""

    def __init__(self, folder: Path):
        self._folder = folder
        self.names: set[str] = set()

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Raises OSError where it cannot be made."""
        self.names.add(name)
        return (self._folder / name).open("wb")


class SameFiles:
    """Files that must have the bytes that are drawn; `differing` holds (name, first byte) of others."""

    def __init__(self, folder: Path):
        self._folder = folder
        self.names: set[str] = set()
        self.differing: list[tuple[str, int]] = []

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Raises OSError where it cannot be read."""
        self.names.add(name)
        return cast("BinaryIO", _Comparing(self._folder / name, name, self.differing))


class _Comparing(io.RawIOBase):
    """Takes what is written for a file, and on closing tells where the file differs.

    What is written again at the same place counts as it was written last.
    """

    def __init__(self, path: Path, name: str, differing: list[tuple[str, int]]):
        self._file = path.open("rb", buffering=0)
        self._name, self._differing = name, differing
        self._at = self._end = 0
        self._pieces: dict[tuple[int, int], int] = {}  # that differ: the first byte that does

    def write(self, data: Any, /) -> int:
        given = memoryview(data).cast("B")
        first, behind = self._at, self._at + len(given)
        for piece in [(a, b) for a, b in self._pieces if first <= a and b <= behind]:
            del self._pieces[piece]
        for at in range(0, len(given), PIECE_BYTES):
            self._compare(first + at, given[at : at + PIECE_BYTES])
        self._at = behind
        self._end = max(self._end, behind)
        return len(given)

    def _compare(self, at: int, given: memoryview) -> None:
        found = os.pread(self._file.fileno(), len(given), at)
        if found != given:
            both = [np.frombuffer(each, np.uint8)[: len(found)] for each in (given, found)]
            differing = np.flatnonzero(both[0] != both[1])
            first = int(differing[0]) if len(differing) else len(found)
            self._pieces[at, at + len(given)] = at + first

    def seek(self, at: int, whence: int = os.SEEK_SET, /) -> int:
        self._at = at + (0, self._at, self._end)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            size = os.fstat(self._file.fileno()).st_size
            places = [*self._pieces.values(), *([self._end] if size > self._end else [])]
            if places:
                self._differing.append((self._name, min(places)))
            self._file.close()
        super().close()


def write_lines(file: BinaryIO, lines: Iterable[str]) -> None:
    """Lines of ASCII, in pieces of about `PIECE_BYTES`."""
    held: list[str] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size >= PIECE_BYTES:
            file.write("".join(held).encode("ascii"))
            held, size = [], 0
    file.write("".join(held).encode("ascii"))
