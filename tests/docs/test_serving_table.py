"""The table of docs/serving.md beside other servers: each cell of ours is held by a test."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def rows() -> list[list[str]]:
    text = (ROOT / "docs" / "serving.md").read_text("utf-8")
    table = text[text.index("| | here | vLLM | llama.cpp |") :].split("\n\n")[0]
    return [[c.strip() for c in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_each_yes_names_a_test_that_is_there() -> None:
    there = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        there |= set(re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.M))
    found = rows()
    assert len(found) > 15
    for what, here, *_ in found:
        named = re.findall(r"`(test_\w+)`", here)
        assert here == "no" or named, what
        assert set(named) <= there, what
