"""Docstrings write variables as the code does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "hnlpu"
VARIABLE = re.compile(
    r"[B-Z](?![\w-])|"  # a letter that is no article
    r"[A-Z][a-z_]*(\^| ?(\*|/|\+|\+=|=|<=?|>=?) )|"  # what an operator follows
    r"[A-Z] - "
)


def beginnings(path: Path) -> Iterator[tuple[int, str, set[str]]]:
    """Line, docstring and names of every function of a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (
            said := ast.get_docstring(node)
        ):
            names = {n.arg for n in ast.walk(node) if isinstance(n, ast.arg)}
            names |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            yield node.lineno, said, names


def capitalised(said: str) -> bool:
    return VARIABLE.match(said) is not None


@pytest.mark.parametrize("wing", sorted(p.name for p in PACKAGE.iterdir() if p.is_dir()))
def test_no_docstring_begins_with_a_capitalised_variable(wing: str) -> None:
    found = [
        f"{path}:{line}: {said}"
        for path in sorted((PACKAGE / wing).rglob("*.py"))
        for line, said, names in beginnings(path)
        if capitalised(said) and said[0] not in names
    ]
    assert found == []


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ("X + y into x.", True), ("N * eps in units.", True), ("A * 2^fraction / b.", True),
        ("Factor * sin(angle).", True), ("E^x in float64.", True), ("Y [n, outputs].", True),
        ("X to h.", True), ("A tile's metal.", False), ("x + y into x.", False),
        ("SHA-256 of a file.", False), ("GNU make.", False), ("Rows [n, columns].", False),
    ],
)  # fmt: skip
def test_variables_are_told_from_words(said: str, wrong: bool) -> None:
    assert capitalised(said) == wrong
