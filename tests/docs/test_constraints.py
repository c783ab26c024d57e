"""constraints.txt pins tools that the tests ask for, at versions that pyproject.toml allows."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PINS = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    if line and not line.startswith("#")
]


def asked(*extras: str) -> dict[str, Requirement]:
    """What extras ask for themselves, by name."""
    lines = [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    found = [Requirement(line) for line in lines]
    return {canonicalize_name(r.name): r for r in found if r.name != PROJECT["name"]}


@pytest.mark.parametrize("pin", PINS, ids=lambda pin: pin.name)
def test_a_pin_is_a_version_that_the_tests_ask_for(pin: Requirement) -> None:
    (exact,) = pin.specifier
    assert exact.operator == "=="
    assert asked("test", "lint", "docs")[canonicalize_name(pin.name)].specifier.contains(
        exact.version
    )


def test_the_linters_and_torch_are_pinned() -> None:
    pinned = {canonicalize_name(pin.name) for pin in PINS}
    assert len(pinned) == len(PINS)
    assert {*asked("lint"), *asked("docs"), "torch", "pytest"} <= pinned


def test_what_hnlpu_needs_itself_is_not_pinned() -> None:
    needed = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    assert not needed & {canonicalize_name(pin.name) for pin in PINS}


def test_make_installs_tools_by_it() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for extras in ("docs", "test,lint"):
        (line,) = re.findall(rf"^.*pip install.*\b{extras}\]'.*$", makefile, re.M)
        assert "--constraint constraints.txt" in line
