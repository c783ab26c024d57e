"""A tiny random checkpoint, and its build."""

from __future__ import annotations

from pathlib import Path

import pytest
from pages import write_talker

import hnlpu


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_talker(tmp_path_factory.mktemp("report") / "checkpoint")


@pytest.fixture(scope="session")
def build(checkpoint: Path) -> Path:
    return hnlpu.build(checkpoint, checkpoint.with_name("tiny"), workers=1)
