"""A netlist -> integer digits, by the names of pins alone.

taps      the port p{row}.{input} hangs on x{input}.{value} or GND; of the columns q of a block,
          those that take count bits say its shift
regions   the port p{row}.{group}.{k} hangs on x{input} or GND; the ties t{row}.{group}.{bit} say
          the group's value: sign, odd part, shift
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.silicon.embed import Fault
from hnlpu.silicon.masks._extract import BLOCK, COUNT_BITS, FAULTS_KEPT, Netlist, pin_name, place_of

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Int8 = npt.NDArray[np.int8]
UInt8 = npt.NDArray[np.uint8]

FINE, OPEN, FOREIGN, NOT_A_VALUE = 0, 1, 2, 3
_WHAT = {OPEN: "hangs on nothing", FOREIGN: "hangs on {driver}, which is not its own",
         NOT_A_VALUE: "hangs on {driver}, where a value or GND must be"}  # fmt: skip
_x, _c, _g, _p, _q, _t, _power = (ord(letter) for letter in "xcGpqtP")


@njit(cache=True, nogil=True)
def _taps(
    sinks: Int32, by: Int32, names: Int32, twice: Int32, seen: UInt8, bits: Int8, wrong: UInt8
) -> None:
    """Values of ports into twice [rows, inputs], entering bits into bits [rows, blocks, columns].

    A bit of -1 is ground.  `seen` counts ports.
    """
    rows, inputs = twice.shape
    for n in range(len(sinks)):
        row, second = sinks[n, 1], sinks[n, 2]
        driver = names[by[n]]
        letter = driver[0]
        if letter == 0:
            wrong[n] = 1
        elif sinks[n, 0] == 112:
            if row >= rows or second >= inputs:
                wrong[n] = 2
                continue
            seen[row, second] = min(seen[row, second] + 1, 9)
            if letter == 71:
                twice[row, second] = 0
            elif letter != 120 or driver[4] != 2:
                wrong[n] = 3
            elif driver[1] != second:
                wrong[n] = 2
            else:
                twice[row, second] = driver[2]
        elif sinks[n, 0] == 113:
            column = sinks[n, 3]
            if row >= rows or second >= bits.shape[1] or column >= bits.shape[2]:
                wrong[n] = 2
            elif letter == 71:
                bits[row, second, column] = -1
            elif letter != 99:
                wrong[n] = 3
            elif driver[1] != row or driver[2] != second:
                wrong[n] = 2
            else:
                bits[row, second, column] = driver[3]


@njit(cache=True, nogil=True)
def _columns(sinks: Int32) -> int:
    """Columns of the next tree that a scale cell has."""
    most = -1
    for n in range(len(sinks)):
        if sinks[n, 0] == 113 and sinks[n, 3] > most:
            most = sinks[n, 3]
    return most + 1


def decode_taps(netlist: Netlist, rows: int, blocks: int) -> tuple[Int32, list[Fault]]:
    """Integer digits [rows, blocks * 32] of a taps tile, and what is wrong."""
    columns = _columns(netlist.sinks)
    twice = np.zeros((rows, blocks * BLOCK), np.int32)
    seen = np.zeros(twice.shape, np.uint8)
    bits = np.full((rows, blocks, columns), -2, np.int8)
    wrong = np.zeros(len(netlist.sinks), np.uint8)
    _taps(netlist.sinks, netlist.by, netlist.names, twice, seen, bits, wrong)
    faults = _faults(netlist, wrong)
    for row, column in np.argwhere(seen != 1)[:FAULTS_KEPT]:
        faults.append(Fault(int(row), int(column), f"has {seen[row, column]} ports, not one"))
    shifts = np.zeros((rows, blocks), np.int32)
    if columns:
        # column j holds bit j - shift, or ground where there is none
        fits = np.zeros((rows, blocks), bool)
        for shift in range(columns - COUNT_BITS + 1):
            bit = np.arange(columns) - shift
            want = np.where((bit >= 0) & (bit < COUNT_BITS), bit, -1)
            same = (bits == want).all(-1)
            shifts[same], fits = shift, fits | same
        for row, block in np.argwhere(~fits)[:FAULTS_KEPT]:
            place = int(row), int(block) * BLOCK
            faults.append(Fault(*place, f"the columns of block {block} spell no shift"))
    integers: Int32 = twice.reshape(rows, blocks, BLOCK) << shifts[:, :, None]
    return integers.reshape(twice.shape), faults


@njit(cache=True, nogil=True)
def _regions(
    sinks: Int32, by: Int32, names: Int32, codes: Int64, inputs: Int64, wrong: UInt8
) -> None:
    """Ties into codes [rows, groups] (bits; -1 unknown), ports into inputs [rows, groups, k]."""
    rows, groups = codes.shape
    for n in range(len(sinks)):
        row, group, k = sinks[n, 1], sinks[n, 2], sinks[n, 3]
        driver = names[by[n]]
        letter = driver[0]
        if letter == 0:
            wrong[n] = 1
        elif row >= rows or group >= groups:
            wrong[n] = 2
        elif sinks[n, 0] == 116:
            if letter == 80:
                codes[row, group] |= 1 << k
            elif letter != 71:
                wrong[n] = 3
        elif sinks[n, 0] == 112:
            if letter == 120 and driver[4] == 1:
                inputs[row, group, k] = driver[1]
            elif letter != 71:
                wrong[n] = 3


def decode_regions(netlist: Netlist, rows: int, blocks: int) -> tuple[Int32, list[Fault]]:
    """Integer digits [rows, blocks * 32] of a regions tile, and what is wrong."""
    integers = np.zeros((rows, blocks * BLOCK), np.int32)
    used = np.zeros_like(integers)
    if not len(netlist.sinks):
        return integers, [*netlist.faults]
    groups, ports = (int(netlist.sinks[:, n].max()) + 1 for n in (2, 3))
    codes = np.zeros((rows, groups), np.int64)
    inputs = np.full((rows, groups, ports), -1, np.int64)
    wrong = np.zeros(len(netlist.sinks), np.uint8)
    _regions(netlist.sinks, netlist.by, netlist.names, codes, inputs, wrong)
    faults = _faults(netlist, wrong)
    # bit 0 the sign, bit 1 the odd part, the rest the shift
    value = np.where(codes & 2, 3, 1) << (codes >> 2)
    value = np.where(codes & 1, -value, value)
    row, group, k = np.nonzero(inputs >= 0)
    column = inputs[row, group, k]
    inside = column < integers.shape[1]
    np.add.at(used, (row[inside], column[inside]), 1)
    integers[row[inside], column[inside]] = value[row[inside], group[inside]]
    for bad_row, bad_column in np.argwhere(used > 1)[:FAULTS_KEPT]:
        faults.append(Fault(int(bad_row), int(bad_column), "is wired to more than one port"))
    return integers, faults


def _faults(netlist: Netlist, wrong: UInt8) -> list[Fault]:
    found = []
    for n in np.flatnonzero(wrong)[:FAULTS_KEPT]:
        what = _WHAT[int(wrong[n])].format(driver=pin_name(netlist.names[netlist.by[n]]))
        row, column = place_of(netlist.sinks[n])
        found.append(Fault(row, column, f"{pin_name(netlist.sinks[n])} {what}"))
    return found
