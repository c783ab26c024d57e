"""Which arrays of a build become RTL, and the module that lays the metal of its tiles on each."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hnlpu.embed import BLOCK
from hnlpu.errors import InvalidInput
from hnlpu.hardwire import Build
from hnlpu.place import Array, Tile, array_tiles, chip_arrays, find_tiles
from hnlpu.rtl._shape import COUNT_BITS, ArrayShape
from hnlpu.rtl._silicon import TRUNKS, array_name


@dataclass(frozen=True)
class Unit:
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
) -> list[Unit]:
    """Arrays of matrices whose names match a pattern (all if neither is given), or tiles alone.

    A tile alone is an array of its own: partial sums of its neurons over its inputs.  `neurons`
    keeps the first ones of each array.  Raises InvalidInput for a pattern that matches nothing or
    a build that has no RTL, DoesNotFit for totals that are too wide.
    """
    manifest = build.manifest
    placement, tiling = manifest.placement, manifest.technology.array
    if tiles and matrices:
        raise InvalidInput("--tile and --matrix: choose one of them")
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
        units.append(_unit(build, dataclasses.replace(array, neurons=(first, last))))
    return units


def sample_units(build: Build, seed: int) -> list[Unit]:
    """One neuron of one array of every shape of neuron that a build has, drawn by `seed`.

    Raises InvalidInput for a build that has no RTL.
    """
    rng = np.random.default_rng(seed)
    of_shape: dict[str, list[Unit]] = {}
    for unit in find_units(build):
        of_shape.setdefault(unit.shape.neuron_name, []).append(unit)
    drawn = []
    for units in of_shape.values():
        array = units[int(rng.integers(len(units)))].array
        neuron = int(rng.integers(*array.neurons))
        drawn.append(_unit(build, dataclasses.replace(array, neurons=(neuron, neuron + 1))))
    return drawn


def _unit(build: Build, array: Array) -> Unit:
    """An array of a build with its shape and tiles."""
    shape = ArrayShape(
        array.kind,
        array.neurons[1] - array.neurons[0],
        array.blocks[1] - array.blocks[0],
        build.manifest.policy.activation_bits,
    )
    return Unit(array, shape, tuple(array_tiles(array, build.manifest.technology.array)))


def top(unit: Unit) -> str:
    """The module that joins an array's silicon and the metal of its tiles."""
    shape, kind = unit.shape, unit.shape.kind
    scaled, inputs = bool(shape.column_bits), shape.inputs
    member = f"    input  logic [{shape.member_bits - 1}:0] member,\n" if kind.bank > 1 else ""
    nets = f"  logic [{TRUNKS - 1}:0][{inputs - 1}:0][LANES-1:0] trunk;\n"
    nets += f"  logic [{shape.rows - 1}:0][{inputs - 1}:0][LANES-1:0] p;\n"
    if scaled:
        of_rows = f"[{shape.rows - 1}:0][{shape.blocks - 1}:0]"
        nets += f"  logic {of_rows}[{COUNT_BITS - 1}:0][LANES-1:0] c;\n"
        nets += f"  logic {of_rows}[{shape.column_bits - 1}:0][LANES-1:0] q;\n"
    pins = ["clk", "rst", "in_valid", "in_ready", *(["member"] if member else []), "x", "out_valid",
            "out_ready", "y", *(["c", "q"] if scaled else []), "trunk", "p"]  # fmt: skip
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
{"".join(_tile(unit, tile) for tile in unit.tiles)}endmodule
"""


def _tile(unit: Unit, tile: Tile) -> str:
    """One tile's metal between the array's trunks, ports, counts and columns."""
    a, scaled = unit.array, bool(unit.shape.column_bits)
    row = (tile.neurons[0] - a.neurons[0]) * tile.kind.rows_per_neuron
    block, blocks = tile.blocks[0] - a.blocks[0], tile.shape.blocks
    name, rows, inputs = identifier(tile), tile.shape.rows, tile.shape.blocks * BLOCK
    columns, taken = f"{block * BLOCK}+:{inputs}", f"{block}+:{blocks}"
    if len(unit.tiles) == 1:
        joined = ", ".join(f".{pin}({pin})" for pin in ("trunk", *("cq" if scaled else ""), "p"))
        return f"\n  wiring_{name} #(.LANES(LANES)) wiring_{name} ({joined});\n"
    text = f"\n  logic [{rows - 1}:0][{inputs - 1}:0][LANES-1:0] p_{name};\n"
    lines = [f"    assign p[{row}+row][{columns}] = p_{name}[row];\n"]
    text += f"  logic [{TRUNKS - 1}:0][{inputs - 1}:0][LANES-1:0] trunk_{name};\n"
    text += (
        f"  for (genvar n = 0; n < {TRUNKS}; n++) begin : g_trunk_{name}\n"
        f"    assign trunk_{name}[n] = trunk[n][{columns}];\n  end\n"
    )
    pins = f".trunk(trunk_{name}), "
    if scaled:
        of_rows = f"[{rows - 1}:0][{blocks - 1}:0]"
        text += f"  logic {of_rows}[{COUNT_BITS - 1}:0][LANES-1:0] c_{name};\n"
        text += f"  logic {of_rows}[{unit.shape.column_bits - 1}:0][LANES-1:0] q_{name};\n"
        lines.append(f"    assign c_{name}[row] = c[{row}+row][{taken}];\n")
        lines.append(f"    assign q[{row}+row][{taken}] = q_{name}[row];\n")
        pins += f".c(c_{name}), .q(q_{name}), "
    return (
        f"{text}  for (genvar row = 0; row < {rows}; row++) begin : g_{name}\n{''.join(lines)}  end\n"
        f"  wiring_{name} #(.LANES(LANES)) wiring_{name} ({pins}.p(p_{name}));\n"
    )
