"""The frame of a study: criteria written before the run, measured figures, a verdict for each.

criteria.toml ─┐
run.measure ───┴► results.json ─► tables of README.md and of studies/README.md (scripts/studies_pages.py)

`python -m studies.NAME.run` is the short form, of seconds, and only prints; with `--full` it is the real one and
writes results.json.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

STUDIES = Path(__file__).parent
Figures = Mapping[str, Any]
"""What a run measured: a number for each criterion by its name, and whatever else is worth keeping."""
Measure = Callable[[bool], Figures]
"""The recipe of a study: from whether the form is full to its figures."""
SHORT_SECONDS = 10
"""A short form takes at most about as long as this on one core."""


@dataclass(frozen=True)
class Criterion:
    """What must be seen for a claim to be held: `name` is a figure, which is at most or at least a bound.

    `claimed` is the paper's own figure in words.  The short form must come to the verdict of the full one
    unless `short` is false: then it is too small to tell.
    """

    name: str
    says: str
    claimed: str
    at_most: float | None = None
    at_least: float | None = None
    short: bool = True

    @property
    def bound(self) -> str:
        """The threshold in words."""
        if self.at_most is None:
            return f"at least {text(self.at_least)}"
        return text(self.at_most) if self.at_most == 0 else f"at most {text(self.at_most)}"

    def held(self, value: float) -> bool:
        """Whether a measured value keeps the bound; one that is no number does not."""
        low = -math.inf if self.at_least is None else self.at_least
        high = math.inf if self.at_most is None else self.at_most
        return low <= value <= high


@dataclass(frozen=True)
class Study:
    """A study as its criteria.toml has it: what it is about and where the claim is from."""

    name: str
    title: str
    paper: str
    criteria: tuple[Criterion, ...]

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        return STUDIES / self.name


def names() -> list[str]:
    """All studies, sorted."""
    return sorted(path.parent.name for path in STUDIES.glob("*/criteria.toml"))


def open_study(name: str) -> Study:
    """A study by the name of its folder."""
    values = tomllib.loads((STUDIES / name / "criteria.toml").read_text("utf-8"))
    criteria = tuple(Criterion(**one) for one in values["criterion"])
    for one in criteria:
        assert (one.at_most is None) != (one.at_least is None), f"{name}: {one.name} has one bound"
    return Study(name, values["title"], values["paper"], criteria)


def results(study: Study) -> dict[str, Any]:
    """What the full form of a study last measured."""
    found: dict[str, Any] = json.loads((study.folder / "results.json").read_text("utf-8"))
    return found


def verdicts(study: Study, figures: Figures) -> dict[str, bool]:
    """Of each criterion by name, whether the claim is held."""
    return {one.name: one.held(figures[one.name]) for one in study.criteria}


def run_study(study: Study, measure: Measure, *, full: bool) -> dict[str, Any]:
    """Measure, judge, and say where and how: what results.json holds."""
    began, at = time.monotonic(), commit()
    figures = measure(full)
    seconds = round(time.monotonic() - began, 1)
    return {
        "study": study.name,
        "form": "full" if full else "short",
        "commit": at,
        "machine": machine(),
        "seconds": seconds,
        "criteria": [asdict(one) for one in study.criteria],
        "held": verdicts(study, figures),
        "figures": dict(figures),
    }


def main(name: str, measure: Measure) -> None:
    """The command line of a study's run.py."""
    parser = argparse.ArgumentParser(description=f"The study {name}; see studies/{name}/README.md.")
    parser.add_argument("--full", action="store_true", help="the real one; writes results.json")
    full = parser.parse_args().full
    study = open_study(name)
    found = run_study(study, measure, full=full)
    if full:
        (study.folder / "results.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    for one in study.criteria:
        verdict = "held" if found["held"][one.name] else "NOT HELD"
        print(f"{verdict:8}  {one.says}: {text(found['figures'][one.name])} ({one.bound})")
    print(f"{found['form']} form, {found['seconds']} s")


def text(value: float | None) -> str:
    """A number as tables have it."""
    if value is None:
        return ""
    if isinstance(value, int) or float(value).is_integer() or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def commit() -> str:
    """The commit that is checked out, with + where files other than results and trained weights differ."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=STUDIES, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    changed = git(
        "status",
        "--porcelain",
        "--",
        ":/",
        ":!/studies/*/results.json",
        ":!/studies/**.md",
        ":!/studies/*/model/*",
    )
    return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")


def machine() -> str:
    """Processor, cores and Python."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    model = next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), ""
    )
    return (
        f"{model or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    )
