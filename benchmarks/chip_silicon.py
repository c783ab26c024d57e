"""How well the tests of a chip's silicon exercise it.

python benchmarks/chip_silicon.py coverage --parts   # lines, branches, toggled bits (minutes)
python benchmarks/chip_silicon.py coverage           # a whole chip's core too (many minutes)
python benchmarks/chip_silicon.py mutation           # random edits of parts
python benchmarks/chip_silicon.py mutation --whole   # of what is simulated in a whole chip alone (an hour)

Parts are simulated as tests/silicon/rtl/test_chip_parts.py does, the whole as tests/silicon/rtl/test_chip.py does: the
small chip of tests/silicon/rtl/chips.py.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "silicon" / "rtl")]

from chip_parts import (  # noqa: E402
    SILICON,
    Numbers,
    Outputs,
    Part,
    PartFailed,
    Run,
    compile_cpp,
    compile_parts,
    library_sources,
    link,
    runner,
    translate,
)
from chips import DRAWN, build_model, shape_of  # noqa: E402
from test_chip import PROMPTS  # noqa: E402
from test_chip_parts import ONE, SEVERAL  # noqa: E402

from hnlpu.arithmetic.fixed_point import inverse_temperature  # noqa: E402
from hnlpu.errors import ToolFailed  # noqa: E402
from hnlpu.silicon.rtl import (  # noqa: E402
    Coverage,
    merge_coverage,
    read_coverage,
)
from hnlpu.silicon.rtl._tools import run_verilator  # noqa: E402
from hnlpu.silicon.rtl.chip import ChipRequest, ChipRun, build_chip, simulate_chip, write_chip  # noqa: E402
from hnlpu.silicon.rtl.chip._write import bench_options  # noqa: E402
from mutation import edits  # noqa: E402

REQUESTS = [
    *(ChipRequest(tuple(prompt), 18) for prompt in PROMPTS),
    *(ChipRequest((7, n), 12, inverse_temperature(1.5), n * 0x123456789ABCDEF) for n in range(4)),
    ChipRequest((1,) * 49, 4, 0, 2**64 - 1),
    ChipRequest((3,) * 38),
    *DRAWN,
]
"""Prompts of test_chip.py, drawn tokens, a prompt too long, one that meets the last position."""


LIMIT = 2_000_000
"""Cycles, many times those that the requests take."""
TABLES = ("exp", "sigmoid", "softplus", "normal", "sine")
WHOLE = ("core", "requests", "sequencer", "store", "program")
"""Modules that are simulated in a whole chip alone."""


Site = tuple[tuple[int, int], str]
"""What of a text becomes what."""


def run_checks(run: Run, module: str = "") -> None:
    """All checks of parts, or those of a module; raises at the first difference."""
    for part, check in ONE:
        if module in ("", part.module):
            check(run)
    for parts, several in SEVERAL:
        for part in parts:
            if module in ("", part.module):
                several(run, part)


def all_parts() -> list[Part]:
    """Every part that is simulated alone."""
    listed = [part for part, _ in ONE] + [part for parts, _ in SEVERAL for part in parts]
    return list(dict.fromkeys(listed))


def coverage_of_parts(folder: Path) -> Coverage:
    """What the checks of parts exercise."""
    counters = folder / "counters"
    counters.mkdir(parents=True)
    run_checks(runner(compile_parts(all_parts(), folder, coverage=True), folder, counters))
    return merge_coverage(read_coverage(path.read_text()) for path in counters.iterdir())


def coverage_of_chip(folder: Path) -> Coverage:
    """What requests to the small chip exercise of the modules in `WHOLE`."""
    build = build_model(folder, 0)
    chip = folder / "rtl"
    write_chip(build, chip, shape_of(build))
    options = [*bench_options("-O0"), "--coverage-line --coverage-toggle", "bench/silicon.vlt"]
    counted = {f"hnlpu_{name}.sv" for name in WHOLE}
    others = [path for path in chip.glob("*/*.sv") if path.name not in counted]
    uncounted = "".join(f'coverage_off -file "{path.parent.name}/{path.name}"\n' for path in others)
    (chip / "bench" / "silicon.vlt").write_text(f"`verilator_config\n{uncounted}")
    (chip / "bench" / "coverage.f").write_text("".join(f"{line}\n" for line in options))
    built = run_verilator(["-f", "bench/coverage.f"], chip, 3000)
    assert built is not None
    assert built.returncode == 0, built.stderr
    found = []
    for stall in (0, 60):
        run = simulate_chip(chip, REQUESTS, stall=stall)
        assert sum(run.refused) == 1
        found.append(read_coverage((chip / "coverage.dat").read_text()))
    return merge_coverage(found)


def tell_coverage(*, whole: bool, as_json: bool) -> None:
    """The table by file of the chip's silicon; that of `WHOLE` where a chip is to be simulated too."""
    with tempfile.TemporaryDirectory() as name:
        both = coverage_of_parts(Path(name) / "parts")
        if whole:
            both = merge_coverage([both, coverage_of_chip(Path(name))])
    texts = [path.name for path in SILICON.iterdir()]
    texts += [f"hnlpu_{name}_table.sv" for name in TABLES] + ["hnlpu_program.sv"]
    files = [file for file in both.files if file in texts]
    kinds = ("line", "branch", "toggle")
    table = {file: {kind: both.counts(kind, file) for kind in kinds} for file in files}
    missed = {
        kind: [where for where in both.missed(kind) if where.split(":")[0] in files]
        for kind in kinds
    }
    if as_json:
        print(json.dumps({"files": table, "missed": missed}))
        return
    print("| file | lines | branches | toggled bits |\n|---|---|---|---|")
    for file in files:
        print(f"| `{file}` | " + " | ".join(_of(*table[file][kind]) for kind in kinds) + " |")
    totals = [
        _of(*(sum(table[file][kind][n] for file in files) for n in range(2))) for kind in kinds
    ]
    print(f"| all | {' | '.join(totals)} |")
    for kind in kinds:
        for where in missed[kind]:
            print(f"missed: {kind} {where}")


def _of(covered: int, points: int) -> str:
    return f"{covered} of {points}" + (f" ({100 * covered / points:.1f} %)" if points else "")


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One edit of a file: `kind` is operator, constant or connection."""

    file: str
    kind: str
    span: tuple[int, int]
    new: str

    old: str  # the whole file

    @property
    def text(self) -> str:
        """The file with the edit."""
        return self.old[: self.span[0]] + self.new + self.old[self.span[1] :]

    @property
    def told(self) -> str:
        """Where, and what becomes what."""
        line = self.old.count("\n", 0, self.span[0]) + 1
        old = " ".join(self.old[slice(*self.span)].split())
        return f"{self.file}:{line}: {old!r} -> {' '.join(self.new.split())!r}"


def draw(paths: list[Path], count: int, seed: int) -> Iterator[Mutant]:
    """Different mutants: files in turn, so that few reach them all; kinds in turn in a file."""
    rng = np.random.default_rng(seed)
    left: dict[str, deque[tuple[str, list[Site]]]] = {}
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted(paths)}
    for turn, (file, text) in enumerate(texts.items()):
        sites: dict[str, list[Site]] = {}
        for kind, span, new in edits(text):
            sites.setdefault(kind, []).append((span, new))
        left[file] = deque(sorted(sites.items()))
        left[file].rotate(-turn)  # not the same kind of all files first
    while any(left.values()):
        for file, kinds in left.items():
            if kinds and count:
                kind, found = kinds.popleft()
                span, new = found.pop(int(rng.integers(len(found))))
                if found:
                    kinds.append((kind, found))
                count -= 1
                yield Mutant(file, kind, span, new, texts[file])
        if not count:
            return


BATCH = 24
"""Mutants in one program: most of a compilation is Verilator's headers."""


def checks_of(module: str) -> list[tuple[Part, list[Callable[[Run], None]]]]:
    """Parts with a module, and all that they are checked for."""
    found: dict[Part, list[Callable[[Run], None]]] = {}
    for part, check in ONE:
        found.setdefault(part, []).append(check)
    for parts, several in SEVERAL:
        for part in parts:
            found.setdefault(part, []).append(functools.partial(_swapped, several, part))
    return [(part, checks) for part, checks in found.items() if part.module == module]


def _swapped(check: Callable[[Run, Part], None], part: Part, run: Run) -> None:
    check(run, part)


def verdicts_of(
    mutants: list[Mutant], turn: int, folder: Path, library: list[str]
) -> dict[Mutant, str]:
    """How each is caught with the `turn`th part of its module: lint, assertion, numbers, hang.

    What is left out passes; "none" where there is no such part.
    """
    found: dict[Mutant, str] = {}
    tried: list[tuple[Mutant, Part, list[Callable[[Run], None]]]] = []
    for n, mutant in enumerate(mutants):
        listed = checks_of(mutant.file.removesuffix(".sv"))
        if turn >= len(listed):
            found[mutant] = "none"
            continue
        part, checks = listed[turn]
        part = dataclasses.replace(part, name=f"mutant_{n}_")
        try:
            translate(part, folder, changed={mutant.file: mutant.text})
            tried.append((mutant, part, checks))
        except PartFailed:
            found[mutant] = "lint"
    if not tried:
        return found
    simulate = runner(link([part for _, part, _ in tried], folder, library=library), folder)
    for mutant, part, checks in tried:

        def run(one: Part, inputs: Numbers, name: str = part.name) -> Outputs:
            return simulate(dataclasses.replace(one, name=name), inputs)

        try:
            for check in checks:
                check(run)
        except PartFailed:
            found[mutant] = "assertion"
        except subprocess.TimeoutExpired:
            found[mutant] = "hang"
        except AssertionError:
            found[mutant] = "numbers"
    return found


def tell_mutants(count: int, seed: int, *, as_json: bool) -> None:
    """Mutants of parts, simulated alone."""
    paths = [SILICON / f"{module}.sv" for module in {part.module for part in all_parts()}]
    left, verdicts = list(draw(paths, count, seed)), list[tuple[Mutant, str]]()
    with tempfile.TemporaryDirectory() as name:
        library = []
        for source in library_sources(coverage=False):
            library.append(str(Path(name) / f"{Path(source).stem}.o"))
            compile_cpp(
                ["-c", source, "-o", library[-1]], Path(name), coverage=False, optimise="-O0"
            )
        turn = 0
        while left:
            passed = []
            for first in range(0, len(left), BATCH):
                batch = left[first : first + BATCH]
                folder = Path(name) / f"{turn}-{first}"
                found = verdicts_of(batch, turn, folder, library)
                for mutant in batch:
                    verdict = found.get(mutant, "")
                    if not verdict:
                        passed.append(mutant)
                        continue
                    verdicts.append((mutant, "SURVIVED" if verdict == "none" else verdict))
                    if not as_json:
                        print(f"{verdicts[-1][1]:<10} {mutant.kind:<11} {mutant.told}", flush=True)
            left, turn = passed, turn + 1
    tell_verdicts(verdicts, as_json=as_json)


def tell_whole(count: int, seed: int, *, as_json: bool) -> None:
    """Mutants of the modules in `WHOLE` and of what joins them to arrays, in the small chip."""
    verdicts = list[tuple[Mutant, str]]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build = build_model(folder, 0)
        write_chip(build, folder / "rtl", shape_of(build))
        options = folder / "rtl" / "bench" / "chip.f"
        options.write_text(
            options.read_text().replace("OPT_FAST=-O1", "VM_PARALLEL_BUILDS=0 OPT_FAST=-O0")
        )
        right = tokens_of(Path(shutil.copytree(folder / "rtl", folder / "right")))
        assert not isinstance(right, str), right
        paths = [folder / "rtl" / "silicon" / f"hnlpu_{module}.sv" for module in WHOLE]
        for mutant in draw([*paths, folder / "rtl" / "top" / "chip.sv"], count, seed):
            copy = Path(shutil.copytree(folder / "rtl", folder / "wrong"))
            next(copy.glob(f"[st][io]*/{mutant.file}")).write_text(mutant.text, encoding="utf-8")
            found = tokens_of(copy)
            verdict = (
                found if isinstance(found, str) else "SURVIVED" if found == right else "tokens"
            )
            verdicts.append((mutant, verdict))
            shutil.rmtree(copy)
            if not as_json:
                print(f"{verdict:<10} {mutant.kind:<11} {mutant.told}", flush=True)
    tell_verdicts(verdicts, as_json=as_json)


def tokens_of(chip: Path) -> list[ChipRun] | str:
    """What a chip answers to `REQUESTS`, or how it fails."""
    try:
        build_chip(chip)
    except ToolFailed:
        return "lint"
    try:
        runs = [simulate_chip(chip, REQUESTS, stall=stall, cycle_limit=LIMIT) for stall in (0, 60)]
    except ToolFailed as fault:
        return "hang" if "no end" in str(fault) else "assertion"
    return [dataclasses.replace(run, cycles=0, seconds=0.0) for run in runs]


def tell_verdicts(verdicts: list[tuple[Mutant, str]], *, as_json: bool) -> None:
    """Verdicts by file, and what survived."""
    counts = Counter(verdict for _, verdict in verdicts)
    if as_json:
        survivors = [mutant.told for mutant, verdict in verdicts if verdict == "SURVIVED"]
        print(json.dumps({"mutants": len(verdicts), "verdicts": counts, "survivors": survivors}))
        return
    names = [*sorted(set(counts) - {"SURVIVED"}), "SURVIVED"]
    table = Counter((mutant.file, verdict) for mutant, verdict in verdicts)
    print(f"\n| file | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for file in sorted({mutant.file for mutant, _ in verdicts}):
        print(f"| `{file}` | {' | '.join(str(table[file, name]) for name in names)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["coverage", "mutation"])
    parser.add_argument("--count", type=int, default=120, help="mutants; files in turn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", action="store_true", help="coverage: no chip, parts alone")
    parser.add_argument("--whole", action="store_true", help="mutation: core, requests, sequencer")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.what == "coverage":
        tell_coverage(whole=not options.parts, as_json=options.json)
    elif options.whole:
        tell_whole(options.count, options.seed, as_json=options.json)
    else:
        tell_mutants(options.count, options.seed, as_json=options.json)


if __name__ == "__main__":
    main()
