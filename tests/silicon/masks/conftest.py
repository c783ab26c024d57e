"""Fixtures of the tests of masks."""

from __future__ import annotations

from pathlib import Path

import pytest
from builds import TARGETS, Builds

import hnlpu
from helpers import write_checkpoint
from hnlpu.silicon.hardwire import Build, open_build
from hnlpu.silicon.place import make_target


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One layer of 64, four experts, 40 tokens."""
    folder = tmp_path_factory.mktemp("small") / "checkpoint"
    return write_checkpoint(folder, layers=1, intermediate=64, heads=2, vocab=40)


@pytest.fixture(scope="session")
def builds(small_checkpoint: Path) -> Builds:
    """Builds of `small_checkpoint`, made when first asked for; do not alter them.

    Attention has two digits a weight, experts one, and three of them share arrays.
    """
    made: dict[str, Build] = {}

    def build(name: str) -> Build:
        if name not in made:
            folder = small_checkpoint.with_name(name.replace(" ", "-"))
            target = make_target(bank=3, **TARGETS[name])
            made[name] = open_build(hnlpu.build(small_checkpoint, folder, target=target))
        return made[name]

    return build
