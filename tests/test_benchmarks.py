"""`python -m benchmarks`: what it lists, what it keeps, and what it tells of a fall."""

import ast
import importlib
import importlib.util
import json
from pathlib import Path

import pytest

DOOR = Path(__file__).parents[1] / "benchmarks" / "__main__.py"
SCRIPT = '''"""Rates of nothing.

More.
"""
import json, sys
from pathlib import Path
assert sys.argv[-1] == "--json"
rate = float(Path(__file__).with_name("rate").read_text())
if __name__ == "__main__":
    print(json.dumps({"seen": sys.argv[1:-1], "medians": {"decode": rate, "prefill": 7.0}}))
'''


@pytest.fixture
def door():
    spec = importlib.util.spec_from_file_location("benchmarks_door", DOOR)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(door, tmp_path, monkeypatch):
    """A folder with one benchmark, which is as fast as the file `rate` says."""
    (tmp_path / "nothing.py").write_text(SCRIPT)
    (tmp_path / "rate").write_text("100")
    monkeypatch.setattr(door, "FOLDER", tmp_path)
    return tmp_path


def test_all_that_is_listed_runs_by_itself(door):
    for name, about in door.benchmarks().items():
        assert about, name
        compile(DOOR.with_name(f"{name}.py").read_text(), name, "exec")
    assert {"decode", "families", "kernels", "gpu"} <= set(door.benchmarks())


def test_the_figures_come_with_their_circumstances(door, folder):
    out = folder / "out.json"
    assert door.main(["nothing", "--threads", "1", "--work", "/x", "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found["figures"] == {"seen": ["--threads", "1", "--work", "/x"]}
    assert found["medians"] == {"decode": 100.0, "prefill": 7.0}
    assert found["options"] == ["--threads", "1"]
    assert set(found["machine"]) == {"processor", "cores", "instructions"}


def test_a_fall_of_a_tenth_is_told(door, folder, capsys):
    history = folder / "history.jsonl"
    words = ["nothing", "--history", str(history)]
    assert door.main([*words, "--record"]) == 0
    (folder / "rate").write_text("91")
    assert door.main(words) == 0
    (folder / "rate").write_text("89")
    capsys.readouterr()
    assert door.main([*words, "--record"]) == 1
    assert "decode: 89, -11% of 100 at " in capsys.readouterr().out
    assert door.main(words) == 0  # beside the last entry, it has not fallen
    assert len(history.read_text().splitlines()) == 2


@pytest.mark.parametrize("other", ["benchmark", "options", "machine"])
def test_only_what_is_alike_is_compared(door, other):
    now = {"benchmark": "a", "options": [], "machine": {"cores": 2}, "medians": {"x": 1.0}}
    before = now | {"medians": {"x": 9.0}, "commit": "c", "date": "d", "load": 0}
    assert len(door.falls(now, [before])) == 1
    assert door.falls(now, [before | {other: "another"}]) == []


def test_what_cannot_be_kept_is_one_line(door, folder):
    (folder / "nothing.py").write_text(
        '"""Text."""\nif __name__ == "__main__":\n    print("fast")\n'
    )
    with pytest.raises(SystemExit, match="nothing prints no JSON"):
        door.main(["nothing", "--out", str(folder / "out.json")])
    assert not (folder / "out.json").exists()
    with pytest.raises(SystemExit) as wrong:
        door.main(["nothing", "--record"])
    assert wrong.value.code == 2


@pytest.mark.parametrize("folder", ["benchmarks", "scripts", "training"])
def test_what_is_imported_is_there(folder):
    # nothing else runs most of these, and the type checker does not read them
    for path in sorted((DOOR.parents[1] / folder).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hnlpu"):
                module = importlib.import_module(node.module)
                for name in node.names:
                    assert hasattr(module, name.name), f"{path}:{node.lineno}: {name.name}"


def test_names_stand_apart_from_what_they_do(door, capsys):
    assert door.main([]) == 0
    for line, (name, about) in zip(
        capsys.readouterr().out.splitlines(), door.benchmarks().items(), strict=True
    ):
        assert line.startswith(f"{name} ")
        assert line.endswith(about)
