"""Every byte of a strict OASIS file belongs to its head, a cell that is listed, a table or END.

Tiles are read one by one by their offsets, but other tools read a file from front to back: what
stood between the cells would be metal to them, and nothing to us.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from hnlpu.silicon.masks._oasis_bytes import PROPERTY
from hnlpu.silicon.masks._oasis_names import TABLES, NameTables
from hnlpu.silicon.masks._oasis_numbers import skip_property
from hnlpu.silicon.masks._oasis_write import END_BYTES, CellPlace

LARGEST_HEAD = 2**20
PAD = 0


def unlisted_bytes(file: int, tables: NameTables, cells: Mapping[str, CellPlace]) -> str | None:
    """What of a file, open for reading, is in none of `cells` and no record of names; None if nothing.

    Raises DamagedMasks for tables that cannot be read.
    """
    spans = tables.spans(place.offset for place in cells.values())
    own_end = os.fstat(file).st_size - END_BYTES
    parts = [(place.offset, place.offset + place.bytes) for place in cells.values()]
    parts = sorted([*parts, *spans.values(), (own_end, own_end)])
    for (_, end), (start, _) in pairwise(parts):
        if end != start:
            between = sorted((end, start))
            return f"bytes {between[0]} to {between[1]} do not belong to one cell or table"
    first = parts[0][0]
    if not tables.head_bytes <= first <= LARGEST_HEAD or not _only_properties(
        os.pread(file, first, 0), tables.head_bytes
    ):
        return f"its first {first} bytes hold more than properties of the file"
    for table, (start, behind) in spans.items():
        if tables.holds_more(table, start, behind):
            return f"its {TABLES[table]} table, at {start}, holds more than names"
    return None


def _only_properties(head: bytes, at: int) -> bool:
    """Whether all behind START, which ends at `at`, are properties of the file."""
    data = np.frombuffer(head, np.uint8)
    while at < len(data):
        if data[at] == PROPERTY:
            at = int(skip_property(data, at + 1))
        elif data[at] in (PAD, PROPERTY + 1):
            at += 1
        else:
            return False
    return at == len(data)
