"""Bytes of OASIS read one value after the other; every read is checked against their end."""

from __future__ import annotations

import math
import mmap
import struct

import numpy as np

from hnlpu.errors import DamagedMasks


class Stream:
    """A position in one run of bytes named `where`."""

    def __init__(self, data: bytes | mmap.mmap | memoryview, where: str):
        self.data = np.frombuffer(data, np.uint8)
        self.at = 0
        self.where = where

    def fail(self, what: str) -> DamagedMasks:
        """The error that says what is wrong here."""
        return DamagedMasks(f"{self.where}: {what} at byte {self.at}; write the masks again")

    def take(self, count: int) -> bytes:
        """The next bytes; raises DamagedMasks where there are fewer."""
        if count > len(self.data) - self.at:
            raise self.fail("is cut short")
        self.at += count
        return self.data[self.at - count : self.at].tobytes()

    def unsigned(self) -> int:
        """An unsigned integer, which zeros may make as long as they like."""
        value, shift = 0, 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << min(shift, 64)
            if value >> 63:
                raise self.fail("holds a number that is too large")
            if byte < 128:
                return value
            shift += 7

    def signed(self) -> int:
        """A signed integer."""
        value = self.unsigned()
        return -(value >> 1) if value & 1 else value >> 1

    def string(self) -> str:
        """A string of any kind."""
        return self.take(self.unsigned()).decode("latin-1")

    def check_unit(self, wanted: int) -> None:
        """Read the units a micron of START; raises DamagedMasks for others than `wanted`."""
        unit = self.real()
        if not math.isclose(unit, wanted, rel_tol=1e-9):  # gdstk writes 1000 as a rounded quotient
            raise self.fail(f"has {unit:g} units a micron where masks have {wanted}")

    def real(self) -> float:
        """A number of any of the eight kinds."""
        kind = self.unsigned()
        if kind in (0, 1):
            return float(self.unsigned()) * (-1 if kind else 1)
        if kind in (2, 3, 4, 5):
            top = self.unsigned() if kind > 3 else 1
            if not (below := self.unsigned()):
                raise self.fail("divides by zero")
            return top / below * (-1 if kind % 2 else 1)
        if kind == 6:
            return float(struct.unpack("<f", self.take(4))[0])
        if kind == 7:
            return float(struct.unpack("<d", self.take(8))[0])
        raise self.fail("holds a number of unknown kind")
