"""A family is found by its model type: ours, a user's file, or an installed package's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from elman import CONFIG, ELMAN
from hnlpu.errors import InvalidInput, UnsupportedArchitecture
from hnlpu.model.families import find_family, network_of, open_family
from hnlpu.run.emulate import FloatConstants, Interpreter


def test_a_file_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "elman.py").write_text(ELMAN)
    network = open_family(tmp_path / "elman.py").read(CONFIG)
    random = np.random.default_rng(0)
    shapes = {"embedding.weight": (7, 12), "0.input.weight": (12, 12), "0.hidden.weight": (12, 12),
              "lm_head.weight": (7, 12)}  # fmt: skip
    t = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    runs = Interpreter(network, FloatConstants(network, t))
    (logits,), _ = runs.run([3, 1, 4], runs.start())
    h = np.zeros(12)
    for token, row in zip([3, 1, 4], logits, strict=True):
        x = t["embedding.weight"][token]
        h = np.tanh(t["0.input.weight"] @ x + t["0.hidden.weight"] @ h)
        np.testing.assert_allclose(row, t["lm_head.weight"] @ h, atol=1e-5)


def test_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnsupportedArchitecture):
        find_family("elman")
    (tmp_path / "elman_family.py").write_text(ELMAN)
    info = tmp_path / "elman_family-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: elman-family\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hnlpu.families]\nelman = elman_family:FAMILY\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert network_of(CONFIG).family == "elman"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("FAMILY = 3", "has no FAMILY"),
        ("", "has no FAMILY"),
        ("1 / 0", "cannot be run .ZeroDivisionError"),
        ("def", "cannot be run .SyntaxError"),
        (None, "cannot be run .FileNotFoundError"),
    ],
)
def test_a_file_that_is_no_family(text: str | None, words: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "mine.py").write_text(text)
    with pytest.raises(InvalidInput, match=words):
        open_family(tmp_path / "mine.py")


def test_a_package_that_fails_harms_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hnlpu.families]\nbroken = no_such_module:FAMILY\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "llama" in find_family("llama").model_types
    with pytest.raises(InvalidInput, match=r"entry point broken .* cannot be loaded .*package"):
        find_family("elman")
