"""Numbers, repetitions and properties of OASIS (SEMI P39), for the reader's inner loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit

Bytes = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]
Integer = Any
"""An integer of the inner loops: 64 bits, of NumPy's type or of Python's."""


@njit(cache=True, nogil=True, inline="always")
def unsigned(data: Bytes, at: Integer) -> tuple[Integer, Integer]:
    """A number and the position behind it; past the end the position is beyond the data."""
    value = np.int64(0)
    shift = 0
    while at < len(data):
        byte = np.int64(data[at])
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 42:  # beyond any coordinate, and sums with it stay within 64 bits
            break
    return value, len(data) + 1


@njit(cache=True, nogil=True, inline="always")
def signed(data: Bytes, at: Integer) -> tuple[Integer, Integer]:
    value, at = unsigned(data, at)
    return (-(value >> 1) if value & 1 else value >> 1), at


@njit(cache=True, nogil=True)
def delta(data: Bytes, at: Integer) -> tuple[Integer, Integer, Integer]:
    """A g-delta: x, y and the position behind it (SEMI P39, 7.5.5)."""
    value, at = unsigned(data, at)
    if value & 1:
        y, at = signed(data, at)
        x = value >> 2
        return (-x if value & 2 else x), y, at
    size = value >> 4
    way = (value >> 1) & 7
    x = size if way in (0, 4, 7) else (-size if way in (2, 5, 6) else 0)
    y = size if way in (1, 4, 5) else (-size if way in (3, 6, 7) else 0)
    return x, y, at


@njit(cache=True, nogil=True)
def repetition(data: Bytes, at: Integer, steps: Int64) -> tuple[Integer, Integer]:
    """Read a repetition into `steps` [n, 2].

    Returns its length (-1: no room, -2: unknown kind) and the position behind it.
    """
    kind, at = unsigned(data, at)
    room = len(steps)
    if kind == 1 or kind == 8:
        n, at = unsigned(data, at)
        m, at = unsigned(data, at)
        n, m = n + 2, m + 2
        if n > room or m > room or n * m > room:
            return -1, at
        if kind == 1:
            ax, at = unsigned(data, at)
            by, at = unsigned(data, at)
            ay = bx = np.int64(0)
        else:
            ax, ay, at = delta(data, at)
            bx, by, at = delta(data, at)
        for j in range(m):
            for i in range(n):
                steps[j * n + i, 0] = i * ax + j * bx
                steps[j * n + i, 1] = i * ay + j * by
        return n * m, at
    if kind == 2 or kind == 3 or kind == 9:
        n, at = unsigned(data, at)
        n += 2
        if n > room:
            return -1, at
        dx = dy = np.int64(0)
        if kind == 2:
            dx, at = unsigned(data, at)
        elif kind == 3:
            dy, at = unsigned(data, at)
        else:
            dx, dy, at = delta(data, at)
        for i in range(n):
            steps[i, 0], steps[i, 1] = i * dx, i * dy
        return n, at
    if kind > 11 or kind == 0:
        return -2, at
    n, at = unsigned(data, at)
    n += 2
    if n > room:
        return -1, at
    grid = np.int64(1)
    if kind == 5 or kind == 7 or kind == 11:
        grid, at = unsigned(data, at)
    steps[0, 0] = steps[0, 1] = 0
    if kind == 4 or kind == 5:
        x = np.int64(0)
        for i in range(1, n):
            # one byte is the rule; the loop is for gaps above 127
            if at < len(data) and data[at] < 128:
                gap = np.int64(data[at])
                at += 1
            else:
                gap, at = unsigned(data, at)
            x += gap * grid
            steps[i, 0], steps[i, 1] = x, 0
    elif kind == 6 or kind == 7:
        y = np.int64(0)
        for i in range(1, n):
            gap, at = unsigned(data, at)
            y += gap * grid
            steps[i, 0], steps[i, 1] = 0, y
    else:
        x = y = np.int64(0)
        for i in range(1, n):
            dx, dy, at = delta(data, at)
            x += dx * grid
            y += dy * grid
            steps[i, 0], steps[i, 1] = x, y
    return n, at


@njit(cache=True, nogil=True)
def skip_property(data: Bytes, at: Integer) -> Integer:
    if at >= len(data):
        return len(data) + 1
    info = data[at]
    at += 1
    if info & 4:  # C: the name follows, as a string or, with N, as a number
        length, at = unsigned(data, at)
        at += 0 if info & 2 else length
    if info & 8:  # V: the values of the property before
        return at
    count = np.int64(info >> 4)
    if count == 15:
        count, at = unsigned(data, at)
    for _ in range(count):
        kind, at = unsigned(data, at)
        if kind == 6:
            at += 4
        elif kind == 7:
            at += 8
        else:
            length, at = unsigned(data, at)
            if kind in (4, 5):  # a ratio: numerator and denominator
                length, at = unsigned(data, at)
            elif kind in (10, 11, 12):
                at += length
        if at > len(data):
            return at
    return at
