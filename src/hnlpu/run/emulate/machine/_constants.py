"""A build's matrices on the chips of a grid: every chip multiplies by its slices alone.

heads_out   parts over the blocks of a column's chips ─► sums ─► that column's values
heads_in    parts over the blocks of a row's chips ─► sums ─► that row's values
rows, members, copy   values of the chips that have them, side by side
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.exchange import Exchange, Way, sent, summed
from hnlpu.arithmetic.fixed_point import clipped, from_sums
from hnlpu.arithmetic.mx import BLOCK
from hnlpu.run.emulate._activations import Activations, Meeting
from hnlpu.run.emulate._chip_constants import ChipConstants
from hnlpu.run.emulate._projection import Projection, all_integer_sums
from hnlpu.run.kernels import Descriptor, describe
from hnlpu.silicon.exchange import ChipGrid
from hnlpu.silicon.hardwire import Build, Digit, HardwiredMatrix
from hnlpu.silicon.place import StackSlice

Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]


@dataclass(frozen=True)
class _Part:
    """A chip's slice of a matrix: what it multiplies by, and what its sums become values with."""

    slice: StackSlice
    matrix: HardwiredMatrix
    described: Descriptor
    shifts: Int64
    bias: Int64


@dataclass(frozen=True)
class ApartActivations(Activations):
    """Activations [tokens, n] with a scale for each column of chips: `by_column` [tokens, columns]."""

    by_column: Int32 | None = None

    def part(self, rows: slice) -> ApartActivations:
        """The activations of consecutive tokens, not copied."""
        return self._of(rows)

    def take(self, rows: npt.NDArray[np.int64]) -> ApartActivations:
        """The activations of some tokens."""
        return self._of(rows)

    def _of(self, rows: slice | npt.NDArray[np.int64]) -> ApartActivations:
        assert self.integers is not None
        assert self.scales is not None
        assert self.by_column is not None
        return ApartActivations(None, self.integers[rows], self.scales[rows], self.by_column[rows])


class MachineConstants(ChipConstants):
    """Matrices cut over a grid, sums in the formats of an exchange.

    `kept` are matrices whose sums go to one chip of a column alone; raises what `ChipConstants` does.
    """

    def __init__(self, build: Build, grid: ChipGrid, exchange: Exchange):
        super().__init__(build)
        self.grid, self.exchange = grid, exchange
        self.kept: frozenset[str] = frozenset()
        self.gathered: frozenset[str] = frozenset()
        self._cuts = {shape.name: shape.cut.how for shape in build.matrices()}
        self._parts: dict[tuple[str, int], list[_Part]] = {}

    def parts(self, name: str, index: int = 0) -> list[_Part]:
        """Slices of a matrix (member `index`) with the chips that hold them, in the order of chips."""
        known = self._parts.get((name, index))
        if known is None:
            stack, shifts, biases = self._stacks[name]
            whole = stack[index]
            known = [
                _cut(part, whole, shifts[index], biases[index])
                for part in self.grid.slices[name]
                if part.members[0] <= index < part.members[1]
            ]
            self._parts[name, index] = known
        return known

    def prepare_apart(self, x: Int64, together: int, spans: list[tuple[int, int]]) -> Activations:
        """As `prepare`, each column of chips with a scale of its own for its run of x [rows, n]."""
        integers, scales = [], []
        for a, b in spans:
            run = self.prepare(np.ascontiguousarray(x[:, a:b]), together)
            assert run.integers is not None
            assert run.scales is not None
            integers.append(run.integers[:, : b - a])
            scales.append(run.scales)
        by_column = np.stack(scales, 1)
        return ApartActivations(None, np.concatenate(integers, 1), scales[0], by_column)

    def project(self, name: str, x: Activations, index: int = 0) -> Int64:
        """Matrix `name` (member `index`) times x, plus bias: values [rows of x, rows]."""
        parts, how = self.parts(name, index), self._cuts[name]
        if how == "copy":
            return self._values(parts[:1], x)[0]
        if how in ("rows", "members"):
            made = self._values(sorted(parts, key=lambda part: part.slice.neurons), x)
            if name in self.gathered:
                made = [sent(values, self.exchange.formats.values) for values in made]
            return np.concatenate(made, 1)
        form, chips = self.exchange.formats.sums, self.grid
        columns = how == "heads_out"
        groups: dict[int, list[_Part]] = {}
        for part in parts:
            row, column = divmod(part.slice.chip, chips.columns)
            groups.setdefault(column if columns else row, []).append(part)
        way: Way = self.exchange.column if columns else self.exchange.row
        way = "direct" if name in self.kept else way
        made = [self._summed(group, x, way) for _, group in sorted(groups.items())]
        if not columns and chips.rows > 1:
            made = [sent(values, form) for values in made]
        return np.concatenate(made, 1)

    def project_all(self, meetings: Sequence[Meeting]) -> list[Int64]:
        """`project` of each, one after the other."""
        return [self.project(*meeting) for meeting in meetings]

    def _meet(self, name: str, x: Activations, index: int) -> NoReturn:
        raise AssertionError(f"no chip of a machine has all of {name}")

    def _sums(self, parts: list[_Part], x: Activations) -> list[Int64]:
        """Integer sums [rows of x, neurons] of each slice, over its own inputs."""
        assert x.integers is not None
        assert x.scales is not None
        given = [
            np.ascontiguousarray(x.integers[:, BLOCK * a : BLOCK * b])
            for a, b in (part.slice.blocks for part in parts)
        ]
        return all_integer_sums(
            [
                Projection(part.matrix, integers, x.scales, part.described)
                for part, integers in zip(parts, given, strict=True)
            ]
        )

    def _values(self, parts: list[_Part], x: Activations) -> list[Int64]:
        """Values of slices that have all inputs."""
        assert x.scales is not None
        return [
            from_sums(sums, x.scales, part.shifts, part.bias)
            for part, sums in zip(parts, self._sums(parts, x), strict=True)
        ]

    def _summed(self, parts: list[_Part], x: Activations, way: Way) -> Int64:
        """Values [rows of x, neurons] of the slices of some inputs each."""
        assert x.scales is not None
        first, sums = parts[0], self._sums(parts, x)
        form = self.exchange.formats.sums
        if form == "exact" or len(parts) == 1:
            scales = _scales(x, first, self.grid) if len(parts) == 1 else x.scales
            return from_sums(np.sum(sums, 0), scales, first.shifts, first.bias)
        none = np.zeros_like(first.bias)
        values = [
            from_sums(total, _scales(x, part, self.grid), part.shifts, none)
            for part, total in zip(parts, sums, strict=True)
        ]
        return clipped(summed(np.stack(values), form, way) + first.bias)


def _scales(x: Activations, part: _Part, grid: ChipGrid) -> Int32:
    """Scales [rows of x] of what a chip has of x."""
    assert x.scales is not None
    if isinstance(x, ApartActivations) and x.by_column is not None:
        return np.ascontiguousarray(x.by_column[:, part.slice.chip % grid.columns])
    return x.scales


def _cut(part: StackSlice, whole: HardwiredMatrix, shifts: Int64, bias: Int64) -> _Part:
    """A slice as a matrix of its own, in units of the whole rows' exponents."""
    rows, blocks = slice(*part.neurons), slice(*part.blocks)
    digits = tuple(
        Digit(
            np.ascontiguousarray(d.codes[rows, blocks]),
            np.ascontiguousarray(d.exponents[rows, blocks]),
        )
        for d in whole.digits
    )
    matrix = HardwiredMatrix(digits, np.ascontiguousarray(whole.row_exponents[rows]), None)
    return _Part(part, matrix, describe(matrix), shifts[rows], bias[rows])
