"""The tables of studies/, from the results of each.

python scripts/studies_pages.py          writes studies/README.md and the tables of studies/NAME/README.md
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from studies._frame import STUDIES, Criterion, Study, names, open_study, results, text  # noqa: E402

HEAD = """# Studies

Systems of the literature that this project's form and metal must be able to hold: what a paper claims, what we ran, what
came out. A claim that does not hold at our scale stays here as *not held*, with its number.

Each folder has a page (README.md), the criteria that were written down before the run (criteria.toml), a recipe (run.py)
and what it measured (results.json: figures, seeds, commit, machine, seconds).

    make study NAME=nested             # the whole study again: measures, judges, writes results.json and these tables
    python -m studies.nested.run       # its short form, of seconds, which the tests run too

Where a comparison is claimed there are five seeds; it is held when the sign is the same in at least four and the mean
difference exceeds twice its standard error. Nothing is tuned on what it is judged on.

"""


def row(*cells: object) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def head(*titles: str) -> list[str]:
    return [row(*titles), row(*["---"] * len(titles))]


def index() -> str:
    """All of studies/README.md."""
    lines = head("study", "paper", "claims held", "not held")
    for study in map(open_study, names()):
        held = results(study)["held"]
        missed = [_missed(study, one) for one in study.criteria if not held[one.name]]
        lines.append(
            row(
                f"[{study.title}]({study.name}/README.md)",
                study.paper,
                f"{sum(held.values())} of {len(held)}",
                "; ".join(missed) or "-",
            )
        )
    return HEAD + "\n".join(lines) + "\n"


def _missed(study: Study, one: Criterion) -> str:
    value = results(study)["figures"][one.name]
    return f"{one.says}: {text(value)}, {one.bound} asked"


def page(study: Study, written: str) -> str:
    """A study's page with what stands between its markers made anew."""
    found = results(study)
    tables = {"results": _criteria(study, found)}
    for key, value in found["figures"].items():
        if isinstance(value, dict):
            tables[f"figures {key}"] = _figures(value)
    for name in re.findall(r"<!-- (?!end of )(.*?) -->", written):
        start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        assert written.count(start) == written.count(end) == 1, name
        before, behind = written.split(start)[0], written.split(end)[1]
        written = f"{before}{start}\n" + "\n".join(tables[name]) + f"\n{end}{behind}"
    return written


def _criteria(study: Study, found: dict[str, Any]) -> list[str]:
    lines = head("measured", "", "asked", "claimed", "verdict")
    lines += [
        row(
            one.says,
            text(found["figures"][one.name]),
            one.bound,
            one.claimed,
            "held" if found["held"][one.name] else "**not held**",
        )
        for one in study.criteria
    ]
    where = f"commit {found['commit']}, {found['seconds']} s on {found['machine']}"
    return [*lines, "", f"The {found['form']} form at {where}."]


def _figures(value: dict[str, Any]) -> list[str]:
    first = next(iter(value.values()))
    if isinstance(first, list):  # one for each seed
        lines = head("", *(f"seed {n}" for n in range(len(first))))
        return lines + [row(name, *map(text, each)) for name, each in value.items()]
    if not isinstance(first, dict):
        return [*head("", ""), *(row(name, text(number)) for name, number in value.items())]
    lines = head("", *(key.replace("_", " ") for key in first))
    return lines + [row(name, *map(text, each.values())) for name, each in value.items()]


def pages() -> dict[Path, str]:
    """The files that are generated, whole or in part, as they should be."""
    made = {STUDIES / "README.md": index()}
    for study in map(open_study, names()):
        path = study.folder / "README.md"
        made[path] = page(study, path.read_text("utf-8"))
    return made


if __name__ == "__main__":
    for path, words in pages().items():
        path.write_text(words, "utf-8")
