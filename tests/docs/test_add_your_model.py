"""docs/add-your-model.md runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "add-your-model.md").read_text("utf-8")


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Any) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL)
    assert [name for name, _ in blocks] == ["my_gru.py", "write.py", "prove.py"]
    family, write, prove = (text for _, text in blocks)
    Path("my_gru.py").write_text(family)
    names: dict[str, Any] = {}
    exec(compile(write, "write.py", "exec"), names)
    commands = re.findall(r"^    hnlpu (.*?)(?: +#.*)?$", PAGE, re.MULTILINE)
    assert [words.split()[0] for words in commands] == [
        "build", "verify", "generate", "draw", "chip",
    ]  # fmt: skip
    for words in commands:
        code, _, line = cli(*words.split())
        assert code == 0, (words, line)
    exec(compile(prove, "prove.py", "exec"), names)
