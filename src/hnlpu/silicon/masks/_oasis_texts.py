"""Strings of labels -> numbers: each string once in a file, in a table at its end.

A tile's fixed metal has half a million labels, and most of their strings come again in tiles of other
shapes, so strings are found again by a hash over bytes (FNV-1a) with open addressing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.silicon.embed import LabelTable
from hnlpu.silicon.masks._oasis_bytes import TEXTSTRING, Bytes, put_unsigned

Int64 = npt.NDArray[np.int64]
MOST_LENGTH_BYTES = 5  # of a string's length as a number


class TextNumbers:
    """The strings met so far and the numbers by which records of a file call them, from 0 on."""

    def __init__(self) -> None:
        self._count = 0
        self._text = np.empty(1 << 12, np.uint8)
        self._ends = np.zeros(1 << 10, np.int64)  # behind each string; [0] is 0
        self._slots = np.full(1 << 11, -1, np.int64)

    def of(self, table: LabelTable) -> Int64:
        """The numbers [n] of the strings of a table's labels; new strings get the next ones."""
        self._make_room(len(table), len(table.text))
        numbers = np.empty(len(table), np.int64)
        self._count = _number(
            table.text, table.ends, self._text, self._ends, self._slots, self._count, numbers
        )
        return numbers

    def records(self) -> bytes:
        """A TEXTSTRING record of each, in order."""
        ends = self._ends[: self._count + 1]
        room = int(ends[-1]) + (1 + MOST_LENGTH_BYTES) * self._count
        out = np.empty(room, np.uint8)
        return out[: _records(self._text, ends, out)].tobytes()

    def _make_room(self, strings: int, size: int) -> None:
        """For so many new strings and bytes, with half of the slots left free."""
        self._text = _grown(self._text, int(self._ends[self._count]) + size)
        self._ends = _grown(self._ends, self._count + strings + 1)
        least = 2 * (self._count + strings)
        if len(self._slots) < least:
            self._slots = np.full(2 << least.bit_length(), -1, np.int64)
            _enter_all(self._text, self._ends, self._slots, self._count)


def _grown(array: npt.NDArray[Any], least: int) -> npt.NDArray[Any]:
    if len(array) >= least:
        return array
    grown = np.empty(2 * least, array.dtype)
    grown[: len(array)] = array
    return grown


@njit(cache=True, nogil=True, inline="always")
def _hash(text: Bytes, first: Any, behind: Any) -> Any:
    value = np.uint64(14695981039346656037)
    for i in range(first, behind):
        value = (value ^ np.uint64(text[i])) * np.uint64(1099511628211)
    return value


@njit(cache=True, nogil=True, inline="always")
def _same(given: Bytes, first: Any, behind: Any, text: Bytes, ends: Int64, known: Any) -> Any:
    """Whether a given string is one of those known."""
    begin = ends[known]
    if ends[known + 1] - begin != behind - first:
        return False
    for i in range(behind - first):  # noqa: SIM110  NumPy would build an array
        if text[begin + i] != given[first + i]:
            return False
    return True


@njit(cache=True, nogil=True)
def _enter_all(text: Bytes, ends: Int64, slots: Int64, count: int) -> None:
    """Enter strings that all differ."""
    mask = np.uint64(len(slots) - 1)
    for n in range(count):
        slot = _hash(text, ends[n], ends[n + 1]) & mask
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = n


@njit(cache=True, nogil=True)
def _number(
    given: Bytes, given_ends: Int64, text: Bytes, ends: Int64, slots: Int64, count: int,
    numbers: Int64,
) -> int:  # fmt: skip
    """Fill `numbers`, add what is new; returns how many strings there are then."""
    mask = np.uint64(len(slots) - 1)
    first, known = 0, np.int64(-1)
    for n in range(len(given_ends)):
        behind = given_ends[n]
        known += 1  # most strings follow each other as they did in the table before
        if known >= count or not _same(given, first, behind, text, ends, known):
            slot = _hash(given, first, behind) & mask
            known = slots[slot]
            while known >= 0 and not _same(given, first, behind, text, ends, known):
                slot = (slot + np.uint64(1)) & mask
                known = slots[slot]
            if known < 0:
                begin = ends[count]
                for i in range(first, behind):
                    text[begin + i - first] = given[i]
                ends[count + 1] = begin + behind - first
                slots[slot] = known = np.int64(count)
                count += 1
        numbers[n] = known
        first = behind
    return count


@njit(cache=True, nogil=True)
def _records(text: Bytes, ends: Int64, out: Bytes) -> int:
    at = 0
    for n in range(len(ends) - 1):
        out[at] = TEXTSTRING
        at = put_unsigned(out, at + 1, ends[n + 1] - ends[n])
        for i in range(ends[n], ends[n + 1]):
            out[at] = text[i]
            at += 1
    return at
