"""The folders of the package import only what lies to their left, as CONTRIBUTING.md has it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "hnlpu"


def order() -> list[str]:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    chain = re.search(r"^    network ─►[^\n]*\n(?:      ─►[^\n]*\n)*", text, re.M)
    assert chain
    return re.findall(r"\w+", chain[0])


def imported(path: Path) -> set[str]:
    """Folders of hnlpu that a file imports from."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "hnlpu" and len(parts) > 1 and (PACKAGE / parts[1]).is_dir():
                found.add(parts[1])
    return found


def test_every_folder_is_in_the_order() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders == set(order())


def test_folders_import_only_to_their_left() -> None:
    place = {name: n for n, name in enumerate(order())}
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for folder in place
        for path in (PACKAGE / folder).rglob("*.py")
        for name in imported(path)
        if place[name] > place[folder]
    ]
    assert wrong == []


def test_no_two_test_files_share_a_name() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))  # pytest imports them under their bare names
