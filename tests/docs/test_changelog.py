"""The newest release of CHANGELOG.md is the version of the package."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

import hnlpu

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CHANGELOG.md").read_text("utf-8")


def headings() -> list[str]:
    return re.findall(r"^## (.*)$", TEXT, re.M)


def releases() -> list[tuple[tuple[int, ...], datetime.date]]:
    found = []
    for heading in headings()[1:]:
        version, date = heading.split(" - ")
        found.append((tuple(map(int, version.split("."))), datetime.date.fromisoformat(date)))
    return found


def test_what_is_unreleased_stands_on_top() -> None:
    assert headings()[0] == "Unreleased"
    assert headings().count("Unreleased") == 1


def test_the_newest_release_is_this_version() -> None:
    assert ".".join(map(str, releases()[0][0])) == hnlpu.__version__


def test_releases_fall_in_number_and_date() -> None:
    assert all(len(version) == 3 for version, _ in releases())
    assert releases() == sorted(releases(), reverse=True)
    dates = [date for _, date in releases()]
    assert dates == sorted(dates, reverse=True)


def test_every_release_says_something() -> None:
    for heading in headings()[1:]:
        section = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
        assert re.search(r"^- ", section, re.M), heading


def test_the_version_stands_in_one_place() -> None:
    elsewhere = [
        path.relative_to(ROOT)
        for path in (ROOT / "src").rglob("*.py")
        if path.name != "_version.py" and f'"{hnlpu.__version__}"' in path.read_text("utf-8")
    ]
    assert elsewhere == []
    assert 'dynamic = ["version"]' in (ROOT / "pyproject.toml").read_text("utf-8")
