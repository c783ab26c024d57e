"""`ArrayScheme`: what RTL needs to know of a scheme, and the one of an array's kind.

shape ──► silicon, buses between silicon and metal, parts to count
digits of a tile ──► its metal
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.silicon.embed import ArrayKind, TileDigits
from hnlpu.silicon.rtl._folded_shape import FoldedShape
from hnlpu.silicon.rtl._folded_silicon import counted as folded_count
from hnlpu.silicon.rtl._folded_silicon import folded_silicon, folded_tree_name
from hnlpu.silicon.rtl._modules import Bus
from hnlpu.silicon.rtl._regions_shape import RegionsShape
from hnlpu.silicon.rtl._regions_silicon import (
    accumulator_widths,
    group_name,
    regions_buses,
    regions_silicon,
    regions_tree_name,
)
from hnlpu.silicon.rtl._regions_wiring import regions_wiring
from hnlpu.silicon.rtl._shape import ArrayShape
from hnlpu.silicon.rtl._silicon import TRUNKS, counted, taps_buses, taps_silicon, tree_name
from hnlpu.silicon.rtl._tap_generator import tap_generator_name
from hnlpu.silicon.rtl._wiring import wiring
from hnlpu.silicon.technology import Technology


@dataclass(frozen=True)
class Submodule:
    """A module that an array has `instances` of; `beside` where no product passes through it."""

    name: str
    module: str
    parameters: dict[str, int]
    instances: int
    beside: bool = False


class ArrayScheme(ABC):
    """Silicon and metal of one scheme."""

    rows_at_once: int
    """Rows of metal of a program's silicon, at most: more would compile for longer than they save."""

    @abstractmethod
    def shape(
        self, kind: ArrayKind, neurons: int, tiles: Sequence[int], activation_bits: int
    ) -> ArrayShape:
        """Shape of an array of tiles of so many blocks, side by side."""

    @abstractmethod
    def silicon(self, shape: ArrayShape) -> dict[str, str]:
        """Text of every module by file name, each file after those that it needs."""

    @abstractmethod
    def buses(self, shape: ArrayShape) -> tuple[Bus, ...]:
        """Wires between silicon and metal."""

    @abstractmethod
    def wiring(
        self, name: str, digits: TileDigits, kind: ArrayKind, technology: Technology
    ) -> Iterator[bytes]:
        """Text of a tile's metal in pieces, a module `name`."""

    @abstractmethod
    def neuron_parts(self, shape: ArrayShape) -> list[Submodule]:
        """What an array is made of, from its inputs to its results, but control and bank register."""

    def control_part(self, shape: ArrayShape) -> Submodule:
        """The control of an array."""
        return Submodule("control", "hnlpu_control", {"STEPS": shape.steps}, 1, beside=True)


class _Taps(ArrayScheme):
    rows_at_once = 8

    def shape(
        self, kind: ArrayKind, neurons: int, tiles: Sequence[int], activation_bits: int
    ) -> ArrayShape:
        return ArrayShape(kind, neurons, sum(tiles), activation_bits)

    def silicon(self, shape: ArrayShape) -> dict[str, str]:
        return taps_silicon(shape)

    def buses(self, shape: ArrayShape) -> tuple[Bus, ...]:
        return taps_buses(shape)

    def wiring(
        self, name: str, digits: TileDigits, kind: ArrayKind, technology: Technology
    ) -> Iterator[bytes]:
        return wiring(name, digits, kind)

    def neuron_parts(self, shape: ArrayShape) -> list[Submodule]:
        kind, neurons = shape.kind, shape.neurons
        taps = {"ACTIVATION_BITS": shape.activation_bits}
        found = [Submodule("taps", tap_generator_name(shape), taps, shape.ports)]
        places = neurons * shape.entries
        if kind.bank > 1:
            found.append(_select("port selection", kind.bank, BLOCK, places))
        ports = counted(shape)
        counts = neurons * shape.entries * BLOCK // ports
        found.append(Submodule("count", f"hnlpu_count_{ports}", {}, counts))
        if shape.column_bits:
            if kind.bank > 1:
                found.append(_select("column selection", kind.bank, shape.column_bits, places))
            found.append(Submodule("second tree", tree_name(shape), {}, neurons))
        widths = {"SUM_BITS": shape.sum_bits, "HIGH_BITS": shape.high_bits, "STEPS": shape.steps}
        found.append(Submodule("accumulator", "hnlpu_accumulator", widths, neurons))
        return found


class _Folded(_Taps):
    """Taps whose ports take turns; the metal is the same."""

    def silicon(self, shape: ArrayShape) -> dict[str, str]:
        return folded_silicon(_folded(shape))

    def neuron_parts(self, shape: ArrayShape) -> list[Submodule]:
        own = _folded(shape)
        kind, rows, neurons = shape.kind, shape.rows, shape.neurons
        ports, counts = own.places * own.width, own.places * kind.digits * neurons
        taps = {"ACTIVATION_BITS": shape.activation_bits}
        merge = {"FOLD": own.fold, "WIDTH": ports}
        found = [
            Submodule("taps", "hnlpu_tap_generator", taps, shape.inputs),
            Submodule("phase gate", "hnlpu_phase_gate", {}, TRUNKS * shape.inputs),
            Submodule("phase merge", "hnlpu_phase_merge", merge, rows),
        ]
        if kind.bank > 1:
            found.append(_select("port selection", kind.bank, own.width, counts))
        at_once = folded_count(own)
        found.append(
            Submodule("count", f"hnlpu_count_{at_once}", {}, counts * own.width // at_once)
        )
        if shape.column_bits:
            turns = _select("column turns", own.turns, shape.column_bits, counts * kind.bank)
            found.append(turns)
            if kind.bank > 1:
                found.append(_select("column selection", kind.bank, shape.column_bits, counts))
            found.append(Submodule("second tree", folded_tree_name(own), {}, neurons))
        bits = own.phase_sum_bits if shape.column_bits else at_once.bit_length()
        widths = {"SUM_BITS": bits, "HIGH_BITS": shape.high_bits, "STEPS": own.bits_a_product}
        found.append(Submodule("accumulator", "hnlpu_folded_accumulator", widths, neurons))
        return found

    def control_part(self, shape: ArrayShape) -> Submodule:
        own = _folded(shape)
        parameters = {"STEPS": own.bits_a_product, "FOLD": own.fold}
        return Submodule("control", "hnlpu_folded_control", parameters, 1, beside=True)


class _Regions(ArrayScheme):
    rows_at_once = 2

    def shape(
        self, kind: ArrayKind, neurons: int, tiles: Sequence[int], activation_bits: int
    ) -> ArrayShape:
        silicon = dataclasses.replace(kind, tracks=0)
        return RegionsShape(silicon, neurons, sum(tiles), activation_bits, tuple(tiles))

    def silicon(self, shape: ArrayShape) -> dict[str, str]:
        return regions_silicon(_regions(shape))

    def buses(self, shape: ArrayShape) -> tuple[Bus, ...]:
        return regions_buses(_regions(shape))

    def wiring(
        self, name: str, digits: TileDigits, kind: ArrayKind, technology: Technology
    ) -> Iterator[bytes]:
        return regions_wiring(name, digits, kind, technology)

    def neuron_parts(self, shape: ArrayShape) -> list[Submodule]:
        own = _regions(shape)
        kind, groups = shape.kind, shape.neurons * own.entries
        bits = {"ACTIVATION_BITS": shape.activation_bits}
        found = [Submodule("serial input", "hnlpu_serial_input", bits, shape.inputs)]
        if kind.bank > 1:
            found.append(_select("port selection", kind.bank, kind.group, groups))
            found.append(_select("tie selection", kind.bank, own.ties, groups))
        found.append(Submodule("group", group_name(own), {}, groups))
        found.append(Submodule("tree", regions_tree_name(own), {}, shape.neurons))
        found.append(
            Submodule("accumulator", "hnlpu_accumulator", accumulator_widths(own), shape.neurons)
        )
        return found


def _select(name: str, bank: int, width: int, instances: int) -> Submodule:
    return Submodule(name, "hnlpu_bank_select", {"BANK": bank, "WIDTH": width}, instances)


def _regions(shape: ArrayShape) -> RegionsShape:
    assert isinstance(shape, RegionsShape)
    return shape


def _folded(shape: ArrayShape) -> FoldedShape:
    assert isinstance(shape, FoldedShape)
    return shape


_OF_KIND: dict[str, ArrayScheme] = {"taps": _Taps(), "regions": _Regions()}
_OF_SHAPE: dict[type[ArrayShape], ArrayScheme] = {
    ArrayShape: _OF_KIND["taps"],
    FoldedShape: _Folded(),
    RegionsShape: _OF_KIND["regions"],
}


def scheme_of(kind: ArrayKind) -> ArrayScheme:
    """The scheme of a kind of array."""
    return _OF_KIND[kind.scheme]


def silicon_of(shape: ArrayShape) -> ArrayScheme:
    """The scheme that makes the silicon of a shape."""
    return _OF_SHAPE[type(shape)]


def array_shape(
    kind: ArrayKind, neurons: int, tiles: Sequence[int], activation_bits: int, fold: int = 1
) -> ArrayShape:
    """Shape of an array of `kind`, whose tiles have so many blocks each, side by side.

    With `fold` above 1, ports of a taps array take turns on one set of adders.  Raises InvalidInput
    for activations or phases that silicon does not take, DoesNotFit for totals that are too wide.
    """
    if fold != 1:
        return FoldedShape(kind, neurons, sum(tiles), activation_bits, fold)
    return scheme_of(kind).shape(kind, neurons, tiles, activation_bits)


def silicon(shape: ArrayShape) -> dict[str, str]:
    """Text of every module of an array by file name, each file after those that it needs."""
    return silicon_of(shape).silicon(shape)


def tile_wiring(
    name: str, digits: TileDigits, kind: ArrayKind, technology: Technology
) -> Iterator[bytes]:
    """Text of a tile's metal in pieces, a module `name`; `technology` decides where regions' wires go.

    Raises DoesNotFit where a row needs more tracks than the kind has.
    """
    return scheme_of(kind).wiring(name, digits, kind, technology)


def parts_of(shape: ArrayShape) -> list[Submodule]:
    """What an array is made of, from its inputs to its results, and what is beside."""
    scheme, bank = silicon_of(shape), shape.kind.bank
    parts = scheme.neuron_parts(shape)
    if bank > 1:
        parts.append(
            Submodule("bank register", "hnlpu_bank_register", {"BANK": bank}, 1, beside=True)
        )
    parts.append(scheme.control_part(shape))
    return parts
