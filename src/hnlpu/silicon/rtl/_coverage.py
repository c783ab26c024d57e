"""A bench of one lane with Verilator's counters -> how much of the silicon was exercised.

line      blocks of statements that ran
branch    arms of `if` and `?:` that were taken
toggle    bits that rose, and bits that fell

A point counts once, however many instances of its module there are, and is covered where any of them
is.  Assertions are not counted.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hnlpu._programs import first_line
from hnlpu.errors import ToolFailed
from hnlpu.silicon.rtl._compiler import require_simulator, verilate
from hnlpu.silicon.rtl._design import ArrayUnit
from hnlpu.silicon.rtl._simulate import STALLS
from hnlpu.silicon.rtl._tools import run_tool
from hnlpu.silicon.rtl._write import bench_options

TYPES = ("line", "branch", "toggle")
_POINT = re.compile(r"C '(.*)' (\d+)")
Point = tuple[str, str, str]
"""Type, file, and where in it."""


@dataclass(frozen=True)
class Coverage:
    """Points of silicon by type and file, and whether each was covered."""

    points: dict[Point, bool]

    def counts(self, kind: str, file: str | None = None) -> tuple[int, int]:
        """Covered points and all points of a type, of one file or of all."""
        found = [
            hit
            for (type_, of, _), hit in self.points.items()
            if type_ == kind and file in (None, of)
        ]
        return sum(found), len(found)

    @property
    def files(self) -> list[str]:
        """Files of silicon with any point."""
        return sorted({file for _, file, _ in self.points})

    def missed(self, kind: str) -> list[str]:
        """Points of a type that nothing covered, by file and place."""
        return [
            f"{file}:{where}"
            for (type_, file, where), hit in sorted(self.points.items())
            if type_ == kind and not hit
        ]


def merge(all_: Iterable[Coverage]) -> Coverage:
    """Points of several designs: silicon of several shapes shares files."""
    points: dict[Point, bool] = {}
    for one in all_:
        for point, hit in one.points.items():
            points[point] = points.get(point, False) or hit
    return Coverage(points)


def cover(folder: str | Path, unit: ArrayUnit, timeout_s: float = 1200) -> Coverage:
    """Build and run the bench that `write_rtl` put into `folder` with counters, as `simulate` does.

    One lane, as in hardware: a lane more would only be one more chance for a bit.  Raises
    ToolMissing without a simulator, ToolFailed where a bench does not pass.
    """
    require_simulator()
    folder = Path(folder)
    objects, options = folder / f"obj_{unit.name}", f"bench/{unit.name}.coverage.f"
    lines = [*bench_options(unit, "-O0", lanes=1), "--coverage-line --coverage-toggle"]
    (folder / options).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    points: list[Coverage] = []
    try:
        built = verilate(options, folder, timeout_s)
        if built is None or built.returncode:
            why = first_line(built.stderr) if built else f"took more than {timeout_s:.0f} s"
            raise ToolFailed(f"{unit.name}: Verilator: {why}")
        for stall in STALLS:
            bench = [str(objects.resolve() / "bench"), f"bench/{unit.name}.bin", str(stall)]
            ran = run_tool(bench, folder, timeout_s)
            if ran is None or ran.returncode:
                why = first_line(ran.stderr + ran.stdout) if ran else f"more than {timeout_s:.0f} s"
                raise ToolFailed(f"{unit.name}: the bench does not pass: {why}")
            counted = (folder / "coverage.dat").read_text(encoding="utf-8")
            points.append(read_coverage(counted))
    finally:
        shutil.rmtree(objects, ignore_errors=True)
        (folder / "coverage.dat").unlink(missing_ok=True)
    return merge(points)


def read_coverage(text: str) -> Coverage:
    """Points of `silicon/` in a file of Verilator's."""
    points: dict[Point, bool] = {}
    for line in text.splitlines():
        found = _POINT.fullmatch(line)
        if found is None:
            continue
        keys = dict(pair.split("\2", 1) for pair in found[1].split("\1")[1:])
        kind = keys["page"].split("/")[0].removeprefix("v_")
        if kind not in TYPES or not keys["f"].startswith("silicon/"):
            continue
        place = f"{keys['l']}:{keys.get('n', '0')} {keys['o']}"
        point = kind, keys["f"].removeprefix("silicon/"), place
        points[point] = points.get(point, False) or int(found[2]) > 0
    return Coverage(points)
