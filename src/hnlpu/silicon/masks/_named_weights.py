"""Names on nets -> integer digits: what KLayout's extraction says of a tile's weights.

A weight is what the names on a net say, and nothing else:

    taps      p4.17 with x17.+3 or GND     q4.0.3 with c4.0.2 or GND: bit 2 enters at 2^3, shift 1
    regions   p4.2.7 with x17 or GND       t4.2.1 with PWR or GND: bit 1 of the value of group 2
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.silicon.embed import Fault, TileShape
from hnlpu.silicon.masks._klayout import NamedNets

_SINK = re.compile(r"([pqt])(\d+)\.(\d+)(?:\.(\d+))?")
_INPUT = re.compile(r"x(\d+)(?:\.([+-]\d+))?")
_COUNT = re.compile(r"c(\d+)\.(\d+)\.(\d+)")
COUNT_BITS = 6  # of a sum of 32 inputs

Int32 = npt.NDArray[np.int32]


class Sink(NamedTuple):
    """What a net drives: `where` is a block, a group or (a port of the taps scheme) an input."""

    letter: str
    row: int
    where: int
    last: int | None

    @property
    def place(self) -> tuple[int, int | None]:
        """Row and input, where the name tells it."""
        return self.row, self.where if self.letter == "p" and self.last is None else None


def weights_of_names(nets: NamedNets, shape: TileShape) -> tuple[Int32, list[Fault]]:
    """Integer digits int32 [rows, inputs] and everything that is not as in a sound tile."""
    faults = [Fault(None, None, f"pin {name} has no metal") for name in nets.bare]
    if nets.unnamed:
        faults.append(Fault(None, None, f"{nets.unnamed} pieces of metal hang on no pin"))
    driver: dict[Sink, str] = {}
    for names in nets.nets:
        sinks = [sink for sink in map(_sink, names) if sink]
        drivers = sorted(name for name in names if not _sink(name))
        if len(drivers) == 1:
            driver.update(dict.fromkeys(sinks, drivers[0]))
        else:
            what = f"{' and '.join(drivers)} are shorted" if drivers else "hangs on nothing"
            faults += [Fault(*sink.place, what) for sink in sinks] or [Fault(None, None, what)]
    read = _regions if any(sink.letter == "t" for sink in driver) else _taps
    out = np.zeros((shape.rows, shape.blocks * BLOCK), np.int32)
    faults += read(driver, shape, out)
    return out, faults


def _sink(name: str) -> Sink | None:
    found = _SINK.fullmatch(name)
    if not found:
        return None
    last = found[4]
    return Sink(found[1], int(found[2]), int(found[3]), None if last is None else int(last))


def _taps(driver: dict[Sink, str], shape: TileShape, out: Int32) -> Iterator[Fault]:
    shifts, faults = _shifts(driver, shape)
    yield from faults
    for row in range(shape.rows):
        for column in range(shape.blocks * BLOCK):
            name = driver.get(Sink("p", row, column, None), "nothing")
            found = _INPUT.fullmatch(name)
            if found and found[2] and int(found[1]) == column:
                out[row, column] = int(found[2]) << shifts[row, column // BLOCK]
            elif name != "GND":
                yield Fault(row, column, f"port hangs on {name}")


def _shifts(driver: dict[Sink, str], shape: TileShape) -> tuple[Int32, list[Fault]]:
    """Shift of every block: column j of the next tree takes bit j - shift, or ground."""
    shifts = np.zeros((shape.rows, shape.blocks), np.int32)
    columns = [sink for sink in driver if sink.letter == "q" and sink.last is not None]
    if not columns:
        return shifts, []
    bits: dict[tuple[int, int], dict[int, int | None]] = defaultdict(dict)
    for sink in columns:
        bits[sink.row, sink.where][sink.last or 0] = _bit(sink.row, sink.where, driver[sink])
    count = 1 + max(sink.last or 0 for sink in columns)
    faults = []
    for row, block in np.ndindex(shifts.shape):
        found = [bits[row, block].get(j) for j in range(count)]
        fits = [
            shift
            for shift in range(count - COUNT_BITS + 1)
            if found == [-1] * shift + list(range(COUNT_BITS)) + [-1] * (count - COUNT_BITS - shift)
        ]
        if fits:
            shifts[row, block] = fits[0]
        else:
            faults.append(Fault(row, block * BLOCK, f"block {block} spells no shift"))
    return shifts, faults


def _bit(row: int, block: int, name: str) -> int | None:
    """The count bit of this row and block that a name is, -1 for ground, None for any other."""
    if name == "GND":
        return -1
    found = _COUNT.fullmatch(name)
    fits = found and (int(found[1]), int(found[2])) == (row, block)
    return int(found[3]) if found and fits else None


def _regions(driver: dict[Sink, str], shape: TileShape, out: Int32) -> Iterator[Fault]:
    words: dict[tuple[int, int], int] = defaultdict(int)
    for (letter, row, group, bit), name in driver.items():
        if letter == "t" and bit is not None:
            if name not in ("PWR", "GND"):
                yield Fault(row, None, f"tie {bit} of group {group} hangs on {name}")
            words[row, group] |= (name == "PWR") << bit
    used = np.zeros(out.shape, bool)
    for (letter, row, group, _), name in driver.items():
        found = _INPUT.fullmatch(name)
        if letter != "p" or name == "GND":
            continue
        if not found or found[2] or int(found[1]) >= out.shape[1]:
            yield Fault(row, None, f"a port of group {group} hangs on {name}")
            continue
        column, word = int(found[1]), words[row, group]
        if used[row, column]:
            yield Fault(row, column, "is wired to more than one port")
        used[row, column] = True
        # bit 0 the sign, bit 1 the odd part 3, the rest the shift
        value = (3 if word & 2 else 1) << (word >> 2)
        out[row, column] = -value if word & 1 else value
