"""Files of the package import only what lies to their left, as CONTRIBUTING.md has it."""

from __future__ import annotations

import ast
import itertools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "hnlpu"
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
DOORS_AT_THE_TOP = {"__init__.py", "__main__.py", "lm_eval.py"}
NOT_OF_THE_PACKAGE = {"docs", "studies", "training"}


def wings() -> list[str]:
    """Wings and doors, from left to right."""
    chain = re.search(r"^    \w+ ─► [^\n]*$", TEXT, re.M)
    assert chain
    return re.findall(r"\w+", chain[0])


def rooms() -> list[str]:
    """Rooms as the second table lists them: `silicon/masks`, `arithmetic/golden`, `cli`."""
    table = re.search(r"^\| room \| turns \|\n\|---\|---\|\n((?:\| [^\n]*\n)+)", TEXT, re.M)
    assert table
    return re.findall(r"^\| `([\w/]+?)(?:/|\.py)` \|", table[1], re.M)


def room_of(parts: tuple[str, ...]) -> str | None:
    """The room of a path under the package, or of a dotted name; None for what is in none."""
    joined = ["/".join(parts[:n]) for n in (1, 2)]
    return next((name for name in joined if name in rooms()), None)


def imported(path: Path) -> set[tuple[str, ...]]:
    """What a file imports of hnlpu, as parts of dotted names after `hnlpu`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            module = (node.module or "").split(".")
            if module[0] == "hnlpu":
                found |= {(*module[1:], alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found |= {tuple(name[1:]) for name in names if name[0] == "hnlpu"}
    return found


def files_of(room: str) -> list[Path]:
    folder = PACKAGE / room
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def test_every_room_is_in_the_order() -> None:
    doors = [name for name in wings() if name in rooms()]
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} == set(wings())
    there = set(doors)
    for wing in set(wings()) - set(doors):
        there |= {f"{wing}/{path.parent.name}" for path in (PACKAGE / wing).glob("*/__init__.py")}
        there |= {f"{wing}/{p.stem}" for p in (PACKAGE / wing).glob("*.py") if p.stem != "__init__"}
    assert there == set(rooms())
    assert len(rooms()) == len(set(rooms()))


def test_the_table_follows_the_wings() -> None:
    runs = [wing for wing, _ in itertools.groupby(name.split("/")[0] for name in rooms())]
    assert runs == wings()


def test_rooms_import_only_to_their_left() -> None:
    order = rooms()
    wrong = []
    for n, path in [(n, path) for n, name in enumerate(order) for path in files_of(name)]:
        for name in imported(path):
            room = room_of(name)
            if room is None and name[0] in wings():
                wrong.append(f"{path.relative_to(PACKAGE)} imports the wing {name[0]}")
            if room is not None and order.index(room) > n:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {room}")
    assert wrong == []


def test_what_all_may_import_imports_no_room() -> None:
    common = [path for path in PACKAGE.glob("*.py") if path.name not in DOORS_AT_THE_TOP]
    assert "errors.py" in {path.name for path in common}
    assert [path.name for path in common if any(map(room_of, imported(path)))] == []


@pytest.mark.parametrize("wing", [name for name in wings() if name not in rooms()])
def test_a_wing_itself_loads_nothing(wing: str) -> None:
    (only,) = ast.parse((PACKAGE / wing / "__init__.py").read_text(encoding="utf-8")).body
    assert isinstance(only, ast.Expr)
    assert isinstance(only.value, ast.Constant)


def test_folders_of_tests_are_folders_of_the_package() -> None:
    tests = ROOT / "tests"
    folders = {path.parent.relative_to(tests) for path in tests.rglob("test_*.py")} - {Path()}
    missing = {
        folder
        for folder in folders
        if not (PACKAGE / folder).is_dir() and str(folder) not in NOT_OF_THE_PACKAGE
    }
    assert missing == set()


def test_no_two_test_files_share_a_name() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))  # pytest imports them under their bare names


def test_no_two_classes_share_a_name() -> None:
    """A reader who meets a class's name knows which; names that begin with _ are of one file."""
    places: dict[str, list[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for item in ast.parse(path.read_text()).body:
            if isinstance(item, ast.ClassDef) and not item.name.startswith("_"):
                places.setdefault(item.name, []).append(str(path.relative_to(PACKAGE)))
    assert len(places) > 800
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
