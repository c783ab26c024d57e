"""A GGUF file is designed, simulated, priced and audited as the folder that it was converted from."""

from __future__ import annotations

import json
from pathlib import Path

from gguf_samples import make
from helpers import run_cli


def test_a_file_is_its_folder(tmp_path: Path) -> None:
    sample = make("llama", tmp_path / "small", 8, ["Q4_K"])
    folder = tmp_path / "only"
    folder.mkdir()
    (folder / "small.gguf").write_bytes(sample.file.read_bytes())
    said = []
    for what in (folder / "small.gguf", folder, sample.folder / "config.json"):
        code, out, err = run_cli("design", what, "--json")
        assert code == 0, err
        values = json.loads(out)
        for of, keys in (
            (values, ("model",)),
            (values["values"], ("name", "title", "model", "checkpoint")),
        ):
            for key in keys:
                del of[key]
        said.append(values)
    assert said[0] == said[1] == said[2]
    code, out, _ = run_cli("simulate", folder / "small.gguf", "--json")
    assert code == 0


def test_a_file_of_another_kind_is_refused_with_what_may_be_given(tmp_path: Path) -> None:
    (tmp_path / "m.bin").write_bytes(b"0")
    code, _, line = run_cli("design", tmp_path / "m.bin")
    assert code == 2
    assert "a GGUF file, or a Hub id" in line
