"""Which arrays of a build become RTL, and the module that lays the metal of its tiles on each."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.errors import InvalidInput
from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.place import Array, Tile, array_tiles, chip_arrays, find_tiles
from hnlpu.silicon.rtl._modules import Bus, array_name
from hnlpu.silicon.rtl._scheme import array_shape, scheme_of
from hnlpu.silicon.rtl._shape import ArrayShape


@dataclass(frozen=True)
class ArrayUnit:
    """One array of a design: its silicon's shape and the tiles of its metal."""

    array: Array
    shape: ArrayShape
    tiles: tuple[Tile, ...]

    @property
    def name(self) -> str:
        """As in names of modules and files."""
        return identifier(self.whole)

    @property
    def whole(self) -> Tile:
        """The array as if it were one tile."""
        a = self.array
        return Tile(a.chip, a.matrix, a.kind, a.members, a.neurons, a.blocks)


def identifier(tile: Tile) -> str:
    """A tile's name as an identifier of SystemVerilog, of its chip."""
    return f"chip{tile.chip}_{re.sub(r'[^A-Za-z0-9_]', '_', tile.name)}"


def find_units(
    build: Build,
    *,
    tiles: Sequence[str] = (),
    matrices: Sequence[str] = (),
    neurons: int | None = None,
    fold: int = 1,
) -> list[ArrayUnit]:
    """Arrays of matrices whose names match a pattern (all if neither is given), or tiles alone.

    A tile alone is an array of its own: partial sums of its neurons over its inputs.  `neurons`
    keeps the first ones of each array, and `fold` is the number of phases in which their ports take
    turns.  Raises InvalidInput for a pattern that matches nothing, activations or phases that RTL
    does not take, DoesNotFit for totals that are too wide.
    """
    manifest = build.manifest
    placement, tiling = manifest.placement, manifest.technology.array
    if tiles and matrices:
        raise InvalidInput("`tile` and `matrix`: choose one of them")
    if tiles:
        found = find_tiles(placement, tiling, patterns=tiles)
        arrays = [Array(t.chip, t.matrix, t.kind, t.members, t.neurons, t.blocks) for t in found]
    else:
        for pattern in matrices:
            if not fnmatch.filter(build.shapes(), pattern):
                raise InvalidInput(
                    f"no matrix is named {pattern!r}; names are such as "
                    f"{next(iter(build.shapes()))!r}, and * stands for anything"
                )
        arrays = [
            array
            for chip in range(placement.chips)
            for array in chip_arrays(placement, chip)
            if not matrices or any(fnmatch.fnmatchcase(array.matrix, p) for p in matrices)
        ]
    units = []
    for array in arrays:
        first, last = array.neurons
        if neurons is not None:
            last = min(last, first + neurons)
        units.append(_unit(build, dataclasses.replace(array, neurons=(first, last)), fold))
    return units


def sample_units(build: Build, seed: int) -> list[ArrayUnit]:
    """One neuron of one array of every shape of neuron that a build has, drawn by `seed`.

    Raises InvalidInput for a build that has no RTL.
    """
    rng = np.random.default_rng(seed)
    of_shape: dict[str, list[ArrayUnit]] = {}
    for unit in find_units(build):
        of_shape.setdefault(unit.shape.neuron_name, []).append(unit)
    drawn = []
    for units in of_shape.values():
        array = units[int(rng.integers(len(units)))].array
        neuron = int(rng.integers(*array.neurons))
        drawn.append(_unit(build, dataclasses.replace(array, neurons=(neuron, neuron + 1))))
    return drawn


def _unit(build: Build, array: Array, fold: int = 1) -> ArrayUnit:
    """An array of a build with its shape and tiles."""
    tiles = tuple(array_tiles(array, build.manifest.technology.array))
    shape = array_shape(
        array.kind,
        array.neurons[1] - array.neurons[0],
        spans_of(tiles),
        build.manifest.policy.activation_bits,
        fold,
    )
    return ArrayUnit(array, shape, tiles)


def spans_of(tiles: Sequence[Tile]) -> tuple[int, ...]:
    """Blocks of ports of the tiles that stand side by side, in the order of their inputs."""
    return tuple(blocks for _, blocks in sorted({(t.blocks, t.shape.blocks) for t in tiles}))


def top(unit: ArrayUnit) -> str:
    """The module that joins an array's silicon and the metal of its tiles."""
    shape, kind = unit.shape, unit.shape.kind
    buses, inputs = scheme_of(kind).buses(shape), shape.inputs
    member = f"    input  logic [{shape.member_bits - 1}:0] member,\n" if kind.bank > 1 else ""
    spans = spans_of(unit.tiles)
    nets = "".join(f"  logic {bus.size(bus.rows, spans)} {bus.name};\n" for bus in buses)
    pins = ["clk", "rst", "in_valid", "in_ready", *(["member"] if member else []), "x", "out_valid",
            "out_ready", "y", *(bus.name for bus in buses)]  # fmt: skip
    joined = ",\n".join(f"      .{pin}({pin})" for pin in pins)
    a = unit.array
    members = f" of members {a.members[0]} to {a.members[1] - 1}" if kind.bank > 1 else ""
    return f"""\
// {a.matrix}{members}, chip {a.chip}: neurons {a.neurons[0]} to {a.neurons[1] - 1},
// inputs {a.blocks[0] * BLOCK} to {a.blocks[1] * BLOCK - 1}: silicon with its metal.
//
// Latency  y is offered {shape.steps + 1} cycles after its vector was taken; a vector every {shape.steps} cycles
// Numbers  x: by bit, then input, {shape.activation_bits} bits, two's complement; y: {shape.total_bits} bits, two's complement, in units of the row
module top_{unit.name} #(
    parameter int LANES = 1
) (
    input  logic clk,
    input  logic rst,
    input  logic in_valid,
    output logic in_ready,
{member}    input  logic [{shape.activation_bits - 1}:0][{inputs - 1}:0][LANES-1:0] x,
    output logic out_valid,
    input  logic out_ready,
    output logic [{shape.neurons - 1}:0][{shape.total_bits - 1}:0][LANES-1:0] y
);
{nets}
  {array_name(shape)} #(
      .LANES(LANES)
  ) silicon (
{joined}
  );
{"".join(_tile(unit, tile, buses) for tile in unit.tiles)}endmodule
"""


def _tile(unit: ArrayUnit, tile: Tile, buses: Sequence[Bus]) -> str:
    """One tile's metal between the array's buses."""
    name = identifier(tile)
    if len(unit.tiles) == 1:
        joined = ", ".join(f".{bus.name}({bus.name})" for bus in buses)
        return f"\n  wiring_{name} #(.LANES(LANES)) wiring_{name} ({joined});\n"
    row = (tile.neurons[0] - unit.array.neurons[0]) * tile.kind.rows_per_neuron
    rows, blocks = tile.shape.rows, tile.shape.blocks
    before = spans_of([one for one in unit.tiles if one.blocks < tile.blocks])
    text = "\n"
    for bus in buses:
        size = bus.size(rows if bus.by_row else bus.rows, (blocks,))
        text += f"  logic {size} {bus.name}_{name};\n"
        first = sum(bus.places(span) for span in before)
        text += _joined(bus, name, (row, rows), f"[{first}+:{bus.places(blocks)}]")
    pins = ", ".join(f".{bus.name}({bus.name}_{name})" for bus in buses)
    return f"{text}  wiring_{name} #(.LANES(LANES)) wiring_{name} ({pins});\n"


def _joined(bus: Bus, tile: str, rows: tuple[int, int], places: str) -> str:
    """A tile's part of a bus: its rows from the first on, how many, and its places."""
    if not bus.rows:
        return f"  assign {bus.name}_{tile} = {bus.name}{places};\n"
    first, count = rows if bus.by_row else (0, bus.rows)
    whole, own = f"{bus.name}[{first}+n]{places}", f"{bus.name}_{tile}[n]"
    to, by = (own, whole) if bus.to_metal else (whole, own)
    return (
        f"  for (genvar n = 0; n < {count}; n++) begin : g_{bus.name}_{tile}\n"
        f"    assign {to} = {by};\n  end\n"
    )
