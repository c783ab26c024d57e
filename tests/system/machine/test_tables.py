"""docs/machine.md holds what the code computes."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[3]


def load_script():
    path = ROOT / "scripts" / "machine_tables.py"
    spec = importlib.util.spec_from_file_location("machine_tables", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_of_the_page_are_current():
    script = load_script()
    page = script.PAGE.read_text(encoding="utf-8")
    assert script.filled(page) == page


def test_a_page_with_an_old_number_is_noticed(tmp_path, monkeypatch, capsys):
    script = load_script()
    monkeypatch.setattr(script, "tables", lambda: {"one": "| 2 |"})
    page = tmp_path / "machine.md"
    page.write_text("<!-- one -->\n| 1 |\n<!-- end -->\n")
    monkeypatch.setattr(script, "PAGE", page)
    assert script.main(["--check"]) == 1
    assert "not what the code computes" in capsys.readouterr().out
    assert script.main([]) == 0
    assert page.read_text() == "<!-- one -->\n| 2 |\n<!-- end -->\n"
    assert script.main(["--check"]) == 0
