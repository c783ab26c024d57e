"""Whole arrays, simulated neuron by neuron: silicon is compiled once, metal is read from its text.

    silicon of a few neurons ──► Verilator ──► one program a shape of neuron
    wiring/*.sv of a unit ──► read_metal ──► what every port of a group of neurons hangs on ─┐
    weights, vectors ──► products by the golden integers ────────────────────────────────────┴─► program

Compiling the metal of every neuron would take days.  All that a connection does is to carry a word from
one port of the silicon to another, and the program does so by the table.  `simulate` compiles
metal too, for samples.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import numpy as np

from hnlpu._programs import first_line
from hnlpu.errors import ToolFailed
from hnlpu.silicon.place import Tile
from hnlpu.silicon.rtl._compiler import require_simulator, verilate
from hnlpu.silicon.rtl._design import ArrayUnit, identifier, spans_of
from hnlpu.silicon.rtl._metal import FIRST_WORD, Int32, Joins, read_metal
from hnlpu.silicon.rtl._modules import Bus, array_name
from hnlpu.silicon.rtl._scheme import scheme_of, silicon
from hnlpu.silicon.rtl._shape import ArrayShape
from hnlpu.silicon.rtl._simulate import ArraySimulation
from hnlpu.silicon.rtl._tools import run_tool
from hnlpu.silicon.rtl._vectors import LANES, Int64, Vectors
from hnlpu.silicon.rtl._write import verilator_options

STALLED_BATCHES = 16
"""Batches that every neuron takes once more, with valid and ready withheld at times."""
NEURONS_AT_ONCE = 32
"""Neurons of a file of groups, at most."""


@dataclasses.dataclass(frozen=True)
class ArrayProgram:
    """Compiled silicon of one shape of neuron; it takes `shape.neurons` neurons at a time."""

    path: Path
    shape: ArrayShape
    build_seconds: float


def group_shape(shape: ArrayShape) -> ArrayShape:
    """Silicon that stands for an array's: fewer neurons, by which theirs can be divided."""
    most = max(1, scheme_of(shape.kind).rows_at_once // shape.kind.rows_per_neuron)
    group = next(n for n in range(most, 0, -1) if shape.neurons % n == 0)
    return dataclasses.replace(shape, neurons=group)


class _Buses:
    """Wires between silicon and metal of a shape, with the numbers of their words.

    Those that are no row's come first: they stand at the beginning of a cycle.
    """

    def __init__(self, shape: ArrayShape, spans: Sequence[int]):
        self._spans = spans
        buses = scheme_of(shape.kind).buses(shape)
        self.sources = sorted((bus for bus in buses if bus.to_metal), key=lambda b: b.by_row)
        self.sinks = [bus for bus in buses if not bus.to_metal]

    def size(self, bus: Bus) -> tuple[int, ...]:
        """Dimensions of a bus in words."""
        places = sum(map(bus.places, self._spans))
        return (*([bus.rows] * bool(bus.rows)), places, *([bus.bits] * bool(bus.bits)))

    def words(self, bus: Bus) -> int:
        """Words of a bus."""
        return math.prod(self.size(bus))

    def first(self, bus: Bus) -> int:
        """Number of a source's first word."""
        before = self.sources[: self.sources.index(bus)]
        return FIRST_WORD + sum(map(self.words, before))


def compile_silicon(
    shape: ArrayShape, spans: Sequence[int], folder: Path, optimise: str = "-O2",
    timeout_s: float = 1200,
) -> ArrayProgram:  # fmt: skip
    """Compile silicon of `group_shape` in a new folder; raises ToolMissing, ToolFailed.

    `spans` are the blocks of the array's tiles, side by side; `optimise` is told to the C++ compiler.
    """
    require_simulator()
    shape = group_shape(shape)
    folder.mkdir(parents=True)
    texts = silicon(shape)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    for name in ("drive.h", "loaded.cpp"):
        text = (files("hnlpu.silicon.rtl") / "bench" / name).read_text(encoding="utf-8")
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "metal.h").write_text(_header(_Buses(shape, spans)), encoding="utf-8")
    options = [
        *verilator_options(shape, array_name(shape), {"GROUP": shape.neurons}, optimise),
        "--Mdir objects -o loaded", *texts, "loaded.cpp",
    ]  # fmt: skip
    (folder / "loaded.f").write_text("".join(f"{line}\n" for line in options), encoding="utf-8")
    began = time.monotonic()
    built = verilate("loaded.f", folder, timeout_s, plain=True)
    if built is None:
        raise ToolFailed(f"{shape.name}: Verilator took more than {timeout_s:.0f} s")
    if built.returncode:
        raise ToolFailed(f"{shape.name}: Verilator: {first_line(built.stderr)}")
    return ArrayProgram(folder / "objects" / "loaded", shape, time.monotonic() - began)


class Programs:
    """Programs by shape of silicon, each compiled in `folder` when a unit first needs it."""

    def __init__(self, folder: Path, optimise: str = "-O2"):
        self._folder = folder
        self._optimise = optimise
        self._found: dict[ArrayShape, ArrayProgram] = {}

    def find(self, unit: ArrayUnit) -> ArrayProgram:
        """The program for a unit; raises what `compile_silicon` raises."""
        shape = group_shape(unit.shape)
        if shape not in self._found:
            folder = self._folder / f"program_{shape.name}"
            spans = spans_of(unit.tiles)
            self._found[shape] = compile_silicon(unit.shape, spans, folder, self._optimise)
        return self._found[shape]


def _header(buses: _Buses) -> str:
    """Ports to and from metal with their words, as lists of macros."""

    def listed(name: str, of: Sequence[Bus]) -> str:
        entries = " ".join(f"X({bus.name}, {buses.words(bus)})" for bus in of)
        return f"#define {name}(X) {entries}\n"

    return (
        listed("EARLY_SOURCES", [bus for bus in buses.sources if not bus.by_row])
        + listed("LATE_SOURCES", [bus for bus in buses.sources if bus.by_row])
        + listed("SINKS", buses.sinks)
    )


def array_metal(unit: ArrayUnit, metals: Sequence[Joins]) -> dict[str, Int32]:
    """Joins of a whole array, as `Metal.joins`, from its tiles', each laid where `top` lays it."""
    whole = _Buses(unit.shape, spans_of(unit.tiles))
    joins = {bus.name: np.full(whole.size(bus), -1, np.int32) for bus in whole.sinks}
    for tile, metal in zip(unit.tiles, metals, strict=True):
        assert metal.name == f"wiring_{identifier(tile)}"
        numbers = np.arange(FIRST_WORD + sum(map(math.prod, metal.inputs.values())), dtype=np.int32)
        for bus in whole.sources:
            all_ = whole.first(bus) + np.arange(whole.words(bus)).reshape(whole.size(bus))
            first, own = metal.word(bus.name), all_[_part(unit, tile, bus)]
            assert own.shape == metal.inputs[bus.name]
            numbers[first : first + own.size] = own.ravel()
        for bus in whole.sinks:
            joins[bus.name][_part(unit, tile, bus)] = numbers[metal.joins[bus.name]]
    assert all((joined >= 0).all() for joined in joins.values())
    return joins


def _part(unit: ArrayUnit, tile: Tile, bus: Bus) -> tuple[slice, ...]:
    """Where a tile's part of a bus lies."""
    before = spans_of([one for one in unit.tiles if one.blocks < tile.blocks])
    first = sum(bus.places(span) for span in before)
    places = slice(first, first + bus.places(tile.shape.blocks))
    if not bus.rows:
        return (places,)
    row = (tile.neurons[0] - unit.array.neurons[0]) * tile.kind.rows_per_neuron
    return slice(row, row + tile.shape.rows) if bus.by_row else slice(None), places


def simulate_loaded(
    program: ArrayProgram, folder: Path, unit: ArrayUnit, vectors: Vectors, weights: Int64,
    workers: int = 1,
) -> ArraySimulation:  # fmt: skip
    """All neurons of a unit whose wiring lies in the design's `folder`, on all `vectors`.

    `weights` [neurons, members, inputs] are the golden integers.  `seconds` of what is returned are
    the program's, of all workers together.
    """
    shape, own = unit.shape, program.shape
    paths = [folder / "wiring" / f"wiring_{identifier(tile)}.sv" for tile in unit.tiles]
    metal = array_metal(unit, [read_metal(path.read_text(encoding="utf-8")) for path in paths])
    spans = spans_of(unit.tiles)
    buses = _Buses(shape, spans), _Buses(own, spans)
    file = folder / f"loaded_{unit.name}.vectors"
    file.write_bytes(vectors.words(shape).astype("<u8").tobytes())
    step = max(own.neurons, NEURONS_AT_ONCE // own.neurons * own.neurons)

    def run(first: int) -> dict[str, float] | str:
        last = min(first + step, shape.neurons)
        y = vectors.products(weights[first:last])
        groups = file.with_suffix(f".{first}")
        with groups.open("wb") as out:
            for neuron in range(first, last, own.neurons):
                joined = _group(*buses, metal, neuron * own.kind.rows_per_neuron)
                out.write(joined.astype("<u4").tobytes())
                of_group = y[..., neuron - first : neuron - first + own.neurons]
                out.write(vectors.result_words(of_group, own).astype("<u8").tobytes())
        command = [str(program.path), file.name, groups.name, str(STALLED_BATCHES)]
        ran = run_tool(command, folder, timeout_s=36_000)
        groups.unlink()
        assert ran is not None
        try:
            told: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
        except (ValueError, IndexError):
            return f"neurons {first} to {last - 1}: {first_line(ran.stderr + ran.stdout)}"
        if told["wrong"]:
            return (
                f"with {told['stall']} % stalls, {told['wrong']} of {told['batches']} batches differ "
                f"from the golden integers, the first in neuron {first + told['neuron']}, vector "
                f"{told['batch'] * LANES + told['lane']}"
            )
        return told

    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(run, range(0, shape.neurons, step)))
    file.unlink()
    return _simulation(unit, vectors, program, found)


def _simulation(
    unit: ArrayUnit,
    vectors: Vectors,
    program: ArrayProgram,
    found: Sequence[dict[str, float] | str],
) -> ArraySimulation:
    shape = unit.shape
    faults = [one for one in found if isinstance(one, str)]
    told = [one for one in found if not isinstance(one, str)]
    if faults:
        return ArraySimulation(unit.name, 0, 0, 0, 0.0, program.build_seconds, faults[0])
    return ArraySimulation(
        unit.name, vectors.count, vectors.count * shape.neurons * shape.inputs,
        int(sum(one["cycles"] for one in told)), sum(one["seconds"] for one in told),
        program.build_seconds, "",
    )  # fmt: skip


def _group(whole: _Buses, own: _Buses, metal: dict[str, Int32], row: int) -> Int32:
    """Joins of the neurons whose first row of metal is `row`, in words of their own silicon."""
    parts = []
    for sink, of_own in zip(whole.sinks, own.sinks, strict=True):
        joined = metal[sink.name][row : row + of_own.rows].ravel()
        moved = np.where(joined < FIRST_WORD, joined, -1)
        for source, mine in zip(whole.sources, own.sources, strict=True):
            words = own.words(mine)
            first = whole.first(source)
            first += row * (whole.words(source) // source.rows) if source.by_row else 0
            inside = (joined >= first) & (joined < first + words)
            moved[inside] = joined[inside] - first + own.first(mine)
        assert (moved >= 0).all()  # no neuron hangs on another's counts
        parts.append(moved)
    # an even number of words, as results of eight bytes follow
    return np.concatenate([*parts, np.zeros(sum(map(len, parts)) % 2, np.int32)])
