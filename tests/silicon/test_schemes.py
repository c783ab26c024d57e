"""Which files know a scheme by name: its own, and the tables that CONTRIBUTING.md lists."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import hnlpu
from hnlpu.silicon.embed import ROUTED, SCHEMES, ArrayKind, open_scheme
from hnlpu.silicon.masks._schemes import MASK_SCHEMES
from hnlpu.silicon.rtl._scheme import scheme_of
from hnlpu.silicon.technology import load_technology

SILICON = Path(hnlpu.__file__).parent / "silicon"
TABLES = {
    "technology/_technology.py", "embed/_kind.py", "embed/_scheme.py", "embed/_printing.py",
    "masks/_schemes.py", "masks/picture/_words.py", "rtl/_scheme.py",
}  # fmt: skip
"""What a third scheme adds a line to."""
OWN = {
    "embed/__init__.py": "exports both classes",
    "masks/_klayout.py": "a type of KLayout's regions",
    "masks/_via_map.py": "the sites of taps",
    "place/_target.py": "the default",
    "rtl/_shape.py": "the shape of taps, which others derive from",
    "rtl/chip/_plan.py": "a whole chip is of taps",
}
NAMES = {*SCHEMES, *(name.capitalize() for name in SCHEMES)}


def named(tree: ast.AST) -> Iterator[str]:
    """Names of schemes in code: as words, classes or attributes' values; not in prose."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in NAMES:
            yield str(node.value)
        if isinstance(node, ast.Name) and node.id in NAMES - set(SCHEMES):
            yield node.id


def test_few_files_know_a_scheme_by_name() -> None:
    found = {
        path.relative_to(SILICON).as_posix()
        for path in SILICON.rglob("*.py")
        if not any(scheme in path.stem for scheme in SCHEMES)
        and any(named(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert found == TABLES | (found & OWN.keys())
    assert found >= OWN.keys() - {"embed/__init__.py"}


def test_contributing_lists_the_tables() -> None:
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (rule,) = [part for part in text.split("\n- ") if part.startswith("A third scheme")]
    assert {word for word in rule.split("`") if word.endswith(".py")} == TABLES


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_table_has_every_scheme(scheme: str) -> None:
    kind = ArrayKind(scheme, 1, 1, 2, *((4, 20) if scheme in ROUTED else ()))
    assert open_scheme(load_technology("n5"), kind).name == scheme
    assert MASK_SCHEMES.keys() == set(SCHEMES)
    assert scheme_of(kind).rows_at_once > 0
