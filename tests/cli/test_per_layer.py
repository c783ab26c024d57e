"""Checkpoints whose layers have different sizes: commands take them, or say in one line why not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers import run_cli
from hnlpu.model.checkpoint import read_model
from hnlpu.model.edit import Edit, LayerSelection, edited, write_checkpoint
from hnlpu.model.families import find_family

ALL = LayerSelection()
HALF = (LayerSelection(attention=False), LayerSelection(heads=(0, 2)))
EXPERTS = (ALL, LayerSelection(experts=(0, 1, 3)))
EXPERTS_DIFFER = "machines are simulated with one way of choosing"


def _built(source: str, layers: tuple[LayerSelection, ...], folder: Path) -> Path:
    checkpoint = Path("checkpoints") / source
    values = json.loads((checkpoint / "config.json").read_text())
    family, edit = find_family(values["model_type"]), Edit(layers)
    (folder / "smaller").mkdir()
    cutting = edited(family, values, edit)
    assert "per_layer" in cutting.config
    write_checkpoint(read_model(checkpoint, family), cutting, edit, folder / "smaller")
    code, _, told = run_cli("build", str(folder / "smaller"), "-o", str(folder / "build"))
    assert code == 0, told
    return folder / "build"


@pytest.mark.parametrize(
    ("source", "layers", "refused"),
    [
        ("llama-90k", HALF, {}),
        ("stdlib-140k", EXPERTS, {"design": EXPERTS_DIFFER, "chip": "experts unlike those of the layers"}),
    ],
)  # fmt: skip
def test_layers_of_different_sizes(
    source: str, layers: tuple[LayerSelection, ...], refused: dict[str, str], tmp_path: Path
) -> None:
    build = str(_built(source, layers, tmp_path))
    for command, *others in (
        ["place"], ["design"], ["chip", "-o", str(tmp_path / "chip")],
        ["generate", "--prompt", "def", "--max-tokens", "2"],
    ):  # fmt: skip
        code, _, told = run_cli(command, build, *others)
        if command not in refused:
            assert code == 0, (command, told)
            continue
        assert code == 2, command
        assert refused[command] in told
        assert len(told.splitlines()) == 1
    assert (tmp_path / "chip").exists() == ("chip" not in refused)
