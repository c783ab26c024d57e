"""Pin labels in columns: a tile's fixed metal has half a million of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit

LayerKey = tuple[int, int]
"""GDS layer and datatype."""
Int64 = npt.NDArray[np.int64]
Whole = npt.NDArray[np.integer]
MOST_DIGITS = 10  # of a number in a pin's name


class Label(NamedTuple):
    """A pin's name at a point of its metal."""

    layer: LayerKey
    text: str
    x: int
    y: int


@dataclass(frozen=True, eq=False)
class LabelTable(Sequence[Label]):
    """Labels in columns: int64 [n, 3] of layer * 65536 + type, x, y; and their strings.

    Strings lie one behind the other in `text`; `ends` [n] says where each ends.
    """

    places: Int64
    text: npt.NDArray[np.uint8]
    ends: Int64

    def __len__(self) -> int:
        return len(self.places)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelTable) and all(
            np.array_equal(mine, its)
            for mine, its in (
                (self.places, other.places), (self.text, other.text), (self.ends, other.ends),
            )
        )  # fmt: skip

    __hash__ = None  # type: ignore[assignment]  # it holds arrays

    def __iter__(self) -> Iterator[Label]:
        raw, start = self.text.tobytes().decode("latin-1"), 0
        for (key, x, y), end in zip(self.places.tolist(), self.ends.tolist(), strict=True):
            yield Label((key >> 16, key & 65535), raw[start:end], x, y)
            start = end

    @overload
    def __getitem__(self, index: int) -> Label: ...

    @overload
    def __getitem__(self, index: slice) -> list[Label]: ...

    def __getitem__(self, index: int | slice) -> Label | list[Label]:
        if isinstance(index, slice):
            return list(self)[index]
        n = range(len(self))[index]
        key, x, y = self.places[n].tolist()
        text = self.text[self.ends[n - 1] if n else 0 : self.ends[n]].tobytes().decode("latin-1")
        return Label((key >> 16, key & 65535), text, x, y)


def label_table(labels: Sequence[Label]) -> LabelTable:
    """Labels in columns, if they are not yet; their text is ASCII."""
    if isinstance(labels, LabelTable):
        return labels
    places = [(label.layer[0] * 65536 + label.layer[1], label.x, label.y) for label in labels]
    texts = [label.text.encode("ascii") for label in labels]
    return LabelTable(
        np.array(places, np.int64).reshape(-1, 3), np.frombuffer(b"".join(texts), np.uint8),
        np.cumsum([len(text) for text in texts], dtype=np.int64),
    )  # fmt: skip


def join_labels(tables: Sequence[LabelTable]) -> LabelTable:
    """Several tables as one."""
    if len(tables) == 1:
        return tables[0]
    none = np.zeros(0, np.int64)
    before = np.cumsum([0, *(len(table.text) for table in tables)])
    return LabelTable(
        np.concatenate([none.reshape(0, 3), *(table.places for table in tables)]),
        np.concatenate([np.zeros(0, np.uint8), *(table.text for table in tables)]),
        np.concatenate([none, *(t.ends + n for t, n in zip(tables, before, strict=False))]),
    )


def pin_labels(
    layer: LayerKey, letter: str, numbers: Sequence[Whole], x: Whole, y: Whole
) -> LabelTable:
    """Labels such as p4.17 for the letter p; `numbers` holds columns [n] of numbers from 0 on.

    All are broadcast against each other, places as well.
    """
    columns = np.broadcast_arrays(*numbers, x, y)
    names = np.stack([column.reshape(-1) for column in columns[:-2]], -1).astype(np.int64)
    ends = np.empty(len(names), np.int64)
    text = np.empty(len(names) * (1 + (MOST_DIGITS + 1) * len(numbers)), np.uint8)
    size = _write_names(ord(letter), names, text, ends)
    places = [
        np.full(len(names), layer[0] * 65536 + layer[1]),
        *(c.reshape(-1) for c in columns[-2:]),
    ]
    return LabelTable(np.stack(places, -1).astype(np.int64), text[:size].copy(), ends)


@njit(cache=True, nogil=True)
def _write_names(letter: int, numbers: Int64, text: npt.NDArray[np.uint8], ends: Int64) -> Any:
    """Fill `text` and `ends`; returns the length of all names."""
    at = 0
    for n in range(len(numbers)):
        text[at] = letter
        at += 1
        for k in range(numbers.shape[1]):
            if k:
                text[at] = 46
                at += 1
            rest, digits = numbers[n, k], 1
            while rest > 9:
                rest //= 10
                digits += 1
            rest = numbers[n, k]
            for i in range(digits):
                text[at + digits - 1 - i] = 48 + rest % 10
                rest //= 10
            at += digits
        ends[n] = at
    return at
