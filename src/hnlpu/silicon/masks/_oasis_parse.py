"""The inner loop of the OASIS reader: records of a cell -> rectangles, rows, labels, placements.

Handles PAD, XYABSOLUTE, XYRELATIVE, PLACEMENT, TEXT, RECTANGLE and PROPERTY (skipped) with all twelve repetitions; stops at any other record for the caller to look at.  What
is repeated at a list of gaps on a grid along x or y (types 5 and 7: most of a mask) stays the row
that it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.silicon.masks._oasis_numbers import (
    Bytes,
    Int64,
    Integer,
    repetition,
    signed,
    skip_property,
    unsigned,
)

Int32 = npt.NDArray[np.int32]

# why `parse` returned
OTHER_RECORD, NO_ROOM, TRUNCATED, UNSUPPORTED, ENDED, NO_LIST = 0, 1, 2, 3, 4, 5

# modal variables (SEMI P39, 10) and counters, by place in `state`
(RELATIVE, LAYER, DATATYPE, WIDTH, HEIGHT, GX, GY, PX, PY, TX, TY, TEXT_LAYER, TEXT_TYPE,
 CELL_AT, CELL_LENGTH, TEXT_AT, TEXT_LENGTH, LIST,
 RECTANGLES, RUNS, ROWS, COLUMNS, LABELS, PLACEMENTS) = range(24)  # fmt: skip
STATE_SIZE = 24
FARTHEST = 2**30
"""Coordinates and sizes reach so far (1 m), so that sums of two fit in 32 bits."""


@njit(cache=True, nogil=True)
def gather(data: Bytes, labels: Int64, text: Bytes) -> None:
    """Copy the strings of `labels` [n, 5] one behind the other into `text`."""
    end = 0
    for n in range(len(labels)):
        for i in range(labels[n, 2]):
            text[end] = data[labels[n, 1] + i]
            end += 1


@njit(cache=True, nogil=True, inline="always")
def _note_run(new: Int64, runs: Int64, count: Integer) -> None:
    """Enter `count` rectangles that were appended."""
    begin = new[RECTANGLES]
    key = new[LAYER] * 65536 + new[DATATYPE]
    run = new[RUNS]
    if run and runs[run - 1, 0] == key:
        runs[run - 1, 2] = begin + count
    else:
        runs[run, 0], runs[run, 1], runs[run, 2] = key, begin, begin + count
        new[RUNS] = run + 1
    new[RECTANGLES] = begin + count


@njit(cache=True, nogil=True, inline="always")
def _row(
    data: Bytes, at: Integer, begin: Integer, columns: Int32
) -> tuple[Integer, Integer, Integer, Integer]:
    """Columns of a list of gaps (type 5 or 7) into `columns` from `begin` on.

    Returns the position behind it, the step, how many columns there are or -1 for no room, and the
    last of them.
    """
    n, at = unsigned(data, at + 1)
    step, at = unsigned(data, at)
    n += 2
    column = np.int64(0)
    if at + n - 1 > len(data):
        at, n = np.int64(len(data) + 1), np.int64(0)
    elif n > len(columns) - begin:
        n = np.int64(-1)
    else:
        columns[begin] = 0
        for i in range(1, n):
            gap = np.int64(data[at])
            at += 1
            if gap > 127:
                gap, at = unsigned(data, at - 1)
                # beyond any mask: kept small, so that nothing overflows before it is refused
                gap = gap if gap < FARTHEST else np.int64(FARTHEST)
                if at + n - 1 - i > len(data):
                    at = np.int64(len(data) + 1)
                    break
            column += gap
            columns[begin + i] = column
    return at, step, n, column


@njit(cache=True, nogil=True, inline="always")
def _within(x: Integer, y: Integer, width: Integer, height: Integer) -> Any:
    """Whether a rectangle lies where coordinates of 32 bits reach."""
    return (abs(x) < FARTHEST) & (abs(y) < FARTHEST) & (width < FARTHEST) & (height < FARTHEST)


@njit(cache=True, nogil=True, inline="always")
def _reaches(start: Integer, step: Integer, last: Integer) -> Any:
    """Whether a row that begins at `start`, along x or y, ends within reach."""
    return step < FARTHEST and last < FARTHEST and start + step * last < FARTHEST


@njit(cache=True, nogil=True)
def _rectangles(
    data: Bytes, at: Integer, state: Int64, rectangles: Int32, runs: Int64,
    rows: Int64, columns: Int32,
) -> Integer:  # fmt: skip
    """Read rectangles alone or in rows (types 5 and 7), one record after the other.

    Most of a mask is such.  Returns where it stopped, with nothing changed, at what is anything
    else or wrong, for others to look at.
    """
    relative = state[RELATIVE]
    layer, datatype = state[LAYER], state[DATATYPE]
    width, height, x, y = state[WIDTH], state[HEIGHT], state[GX], state[GY]
    n, column, single, run = state[ROWS], state[COLUMNS], state[RECTANGLES], state[RUNS]
    behind = np.int64(at)
    while at + 2 < len(data) and data[at] == 20 and n < len(rows) and single < len(rectangles):
        info = data[at + 1]
        at += 2
        new_layer, new_type, new_x, new_y = layer, datatype, x, y
        new_width, new_height = width, height
        if info & 1:
            new_layer, at = unsigned(data, at)
        if info & 2:
            new_type, at = unsigned(data, at)
        if info & 64:
            new_width, at = unsigned(data, at)
        if info & 32:
            new_height, at = unsigned(data, at)
        elif info & 128:
            new_height = new_width
        if info & 16:
            new_x, at = signed(data, at)
            new_x += x if relative else 0
        if info & 8:
            new_y, at = signed(data, at)
            new_y += y if relative else 0
        if at > len(data) or not _within(new_x, new_y, new_width, new_height):
            break
        key = new_layer * 65536 + new_type
        count, step, last, list_at = np.int64(1), np.int64(0), np.int64(0), np.int64(-1)
        upright = False
        if info & 4:
            if at >= len(data) or (data[at] != 5 and data[at] != 7):
                break
            list_at, upright = np.int64(at), data[at] == 7
            at, step, count, last = _row(data, at, column, columns)
            start = new_y if upright else new_x
            if at > len(data) or count < 0 or not _reaches(start, step, last):
                break
        # one alone is a row of one among rows of its like: shapes stay in order
        if info & 4 or (
            n and rows[n - 1, 0] == key
            and rows[n - 1, 3] == new_width and rows[n - 1, 4] == new_height
        ):  # fmt: skip
            rows[n, 0], rows[n, 1], rows[n, 2], rows[n, 3] = key, new_x, new_y, new_width
            rows[n, 4] = new_height
            rows[n, 5], rows[n, 6] = 0 if upright else step, step if upright else 0
            rows[n, 7] = column if info & 4 else 0
            rows[n, 8] = column + count if info & 4 else 1
            column += count if info & 4 else 0
            n += 1
        else:
            if run and runs[run - 1, 0] == key:
                runs[run - 1, 2] = single + 1
            elif run < len(runs):
                runs[run, 0], runs[run, 1], runs[run, 2] = key, single, single + 1
                run += 1
            else:
                break
            rectangles[single, 0], rectangles[single, 1] = new_x, new_y
            rectangles[single, 2] = new_x + new_width
            rectangles[single, 3] = new_y + new_height
            single += 1
        if list_at >= 0:
            state[LIST] = list_at
        layer, datatype, x, y = new_layer, new_type, new_x, new_y
        width, height = new_width, new_height
        behind = np.int64(at)
    state[LAYER], state[DATATYPE] = layer, datatype
    state[WIDTH], state[HEIGHT], state[GX], state[GY] = width, height, x, y
    state[ROWS], state[COLUMNS], state[RECTANGLES], state[RUNS] = n, column, single, run
    return behind


@njit(cache=True, nogil=True)
def parse(
    data: Bytes, at: Integer, state: Int64, steps: Int64, rectangles: Int32, runs: Int64,
    rows: Int64, columns: Int32, labels: Int64, placements: Int64,
) -> tuple[Integer, Integer]:  # fmt: skip
    """Read records from `at`; returns why it stopped and where (at the record's start).

    Appends to rectangles [n, 4]; runs [n, 3] as layer * 65536 + datatype, first, behind last;
    rows [n, 9] as layer and type as above, x, y, width, height, dx, dy, first and behind last of
    `columns`; labels [n, 5] as layer and type, string's place and length, x, y; placements [n, 10]
    as name's place and length, and a row of things without size; a width of 1 marks a cell that is
    rotated, mirrored or scaled.  A place of -1 means that the length is a reference number.  columns[0] is 0, for what is not repeated.
    """
    before = np.empty(STATE_SIZE, np.int64)
    while at < len(data):
        if data[at] == 20:
            at = _rectangles(data, at, state, rectangles, runs, rows, columns)
            if at >= len(data):
                break
        first = at
        record = data[at]
        at += 1
        if record == 0:
            continue
        if record == 15 or record == 16:
            state[RELATIVE] = record - 15
            continue
        if record == 28:
            at = skip_property(data, at)
            if at > len(data):
                return TRUNCATED, first
            continue
        if record == 29:
            continue
        if record != 17 and record != 18 and record != 19 and record != 20:
            return OTHER_RECORD, first
        for i in range(STATE_SIZE):
            before[i] = state[i]
        why, at = _shape(
            data, at, record, before, state, steps,
            rectangles, runs, rows, columns, labels, placements,
        )  # fmt: skip
        if why != ENDED:
            for i in range(STATE_SIZE):
                state[i] = before[i]
            return why, first
    return ENDED, at


@njit(cache=True, nogil=True)
def _skip_real(data: Bytes, at: Integer) -> Any:
    """The position behind a real number (SEMI P39, 7.3); -1 for one of unknown kind."""
    if at >= len(data):
        return at + 1
    kind = data[at]
    at += 1
    if kind == 6:
        return at + 4
    if kind == 7:
        return at + 8
    if kind > 7:
        return -1
    for _ in range(2 if kind == 4 or kind == 5 else 1):
        if at < len(data):
            _, at = unsigned(data, at)
    return at


@njit(cache=True, nogil=True)
def _shape(
    data: Bytes, at: Integer, record: Integer, state: Int64, new: Int64, steps: Int64,
    rectangles: Int32, runs: Int64, rows: Int64, columns: Int32, labels: Int64, placements: Int64,
) -> tuple[Integer, Integer]:  # fmt: skip
    """One record behind its first byte: ENDED, or why it cannot be read, and where it ends.

    `state` is that before the record, `new` becomes that behind it.
    """
    if at >= len(data):
        return TRUNCATED, at
    info = data[at]
    at += 1
    turned = np.int64(0)
    if record == 20:
        if info & 1:
            new[LAYER], at = unsigned(data, at)
        if info & 2:
            new[DATATYPE], at = unsigned(data, at)
        if info & 64:
            new[WIDTH], at = unsigned(data, at)
        if info & 32:
            new[HEIGHT], at = unsigned(data, at)
        elif info & 128:
            new[HEIGHT] = new[WIDTH]
        x_at, y_at, has_x, has_y, repeated = GX, GY, info & 16, info & 8, info & 4
    elif record == 17 or record == 18:
        if info & 7:
            turned = np.int64(1)
        if info & 128:
            new[CELL_LENGTH], at = unsigned(data, at)
            new[CELL_AT] = -1
            if not info & 64:
                new[CELL_AT] = at
                at += new[CELL_LENGTH]
        if record == 18:
            for bit in (4, 2):  # magnification and angle
                if info & bit:
                    at = _skip_real(data, at)
                    if at < 0:
                        return UNSUPPORTED, at
        x_at, y_at, has_x, has_y, repeated = PX, PY, info & 32, info & 16, info & 8
    else:
        if info & 64:
            new[TEXT_LENGTH], at = unsigned(data, at)
            new[TEXT_AT] = -1
            if not info & 32:
                new[TEXT_AT] = at
                at += new[TEXT_LENGTH]
        if info & 1:
            new[TEXT_LAYER], at = unsigned(data, at)
        if info & 2:
            new[TEXT_TYPE], at = unsigned(data, at)
        x_at, y_at, has_x, has_y, repeated = TX, TY, info & 16, info & 8, info & 4
    if has_x:
        value, at = signed(data, at)
        new[x_at] = value + (state[x_at] if state[RELATIVE] else 0)
    if has_y:
        value, at = signed(data, at)
        new[y_at] = value + (state[y_at] if state[RELATIVE] else 0)
    if at >= len(data) and (at > len(data) or repeated):
        return TRUNCATED, at
    x, y = new[x_at], new[y_at]
    if not _within(x, y, new[WIDTH], new[HEIGHT]):
        return UNSUPPORTED, at
    count, step, row_first, row_behind = np.int64(1), np.int64(0), np.int64(0), np.int64(1)
    in_row = repeated and record != 19 and (data[at] == 5 or data[at] == 7)
    upright = in_row and data[at] == 7
    if in_row:
        # the bulk of a mask: a row of vias
        new[LIST] = at
        row_first = new[COLUMNS]
        at, step, count, last = _row(data, at, row_first, columns)
        if at > len(data):
            return TRUNCATED, at
        if count < 0:
            return NO_ROOM, at
        new[COLUMNS] = row_behind = row_first + count
        if not _reaches(y if upright else x, step, last):
            return UNSUPPORTED, at
    elif repeated:
        if data[at] != 0:
            new[LIST] = at
            count, at = repetition(data, at, steps)
        elif new[LIST] < 0:
            return UNSUPPORTED, at
        else:
            count, _ = repetition(data, new[LIST], steps)
            at += 1
        if count == -1:
            return NO_LIST, at
        if count < 0:
            return UNSUPPORTED, at
        if at > len(data):
            return TRUNCATED, at
        for n in range(count):
            if not _within(x + steps[n, 0], y + steps[n, 1], 0, 0):
                return UNSUPPORTED, at
    else:
        steps[0, 0] = steps[0, 1] = 0
    if at > len(data):
        return TRUNCATED, at
    if record == 20 and in_row:
        n = new[ROWS]
        if n >= len(rows):
            return NO_ROOM, at
        rows[n, 0] = new[LAYER] * 65536 + new[DATATYPE]
        rows[n, 1], rows[n, 2], rows[n, 3], rows[n, 4] = x, y, new[WIDTH], new[HEIGHT]
        rows[n, 5], rows[n, 6] = 0 if upright else step, step if upright else 0
        rows[n, 7], rows[n, 8] = row_first, row_behind
        new[ROWS] = n + 1
    elif record == 20:
        begin = new[RECTANGLES]
        if begin + count > len(rectangles) or new[RUNS] >= len(runs):
            return NO_ROOM, at
        width, height = new[WIDTH], new[HEIGHT]
        for n in range(count):
            rectangles[begin + n, 0] = x + steps[n, 0]
            rectangles[begin + n, 1] = y + steps[n, 1]
            rectangles[begin + n, 2] = x + steps[n, 0] + width
            rectangles[begin + n, 3] = y + steps[n, 1] + height
        _note_run(new, runs, count)
    elif record == 17 or record == 18:
        count = np.int64(1) if in_row else count
        begin = new[PLACEMENTS]
        if begin + count > len(placements):
            return NO_ROOM, at
        for n in range(count):
            to = placements[begin + n]
            to[0], to[1] = new[CELL_AT], new[CELL_LENGTH]
            to[2] = x + (0 if in_row else steps[n, 0])
            to[3] = y + (0 if in_row else steps[n, 1])
            to[4], to[5] = turned, 0
            to[6], to[7] = 0 if upright else step, step if upright else 0
            to[8], to[9] = row_first, row_behind
        new[PLACEMENTS] = begin + count
    else:
        begin = new[LABELS]
        if begin + count > len(labels):
            return NO_ROOM, at
        for n in range(count):
            labels[begin + n, 0] = new[TEXT_LAYER] * 65536 + new[TEXT_TYPE]
            labels[begin + n, 1] = new[TEXT_AT]
            labels[begin + n, 2] = new[TEXT_LENGTH]
            labels[begin + n, 3] = x + steps[n, 0]
            labels[begin + n, 4] = y + steps[n, 1]
        new[LABELS] = begin + count
    return ENDED, at
