"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

import hnlpu
from helpers import write_checkpoint, write_tokenizer
from hnlpu.cli import main

# a matrix library that spins on every core makes a shared machine crawl
os.environ.setdefault("OMP_NUM_THREADS", "1")

# kernels for GPUs run in Triton's interpreter here; it asks once, when it is loaded
os.environ.setdefault("TRITON_INTERPRET", "1")

# shared machines stall for seconds; and a failure must come again on the next run
settings.register_profile("hnlpu", deadline=None, derandomize=True)
settings.load_profile("hnlpu")

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random gpt-oss checkpoint with MXFP4 experts and no tokenizer; do not alter it."""
    return write_checkpoint(tmp_path_factory.mktemp("tiny") / "checkpoint")


@pytest.fixture(scope="session")
def tiny_build(tiny_checkpoint: Path) -> Path:
    """The build of `tiny_checkpoint` under the default policy; do not alter it."""
    return hnlpu.build(tiny_checkpoint, tiny_checkpoint.with_name("build"))


@pytest.fixture(scope="session")
def spoken_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build whose checkpoint has a tokenizer; do not alter it."""
    checkpoint = write_checkpoint(tmp_path_factory.mktemp("spoken") / "checkpoint")
    write_tokenizer(checkpoint)
    return hnlpu.build(checkpoint, checkpoint.with_name("build"))


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """The command line in this process: arguments in, (exit code, stdout, stderr) out."""

    def call(*args: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hnlpu", *map(str, args)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main()
        captured = capsys.readouterr()
        return int(exit_.value.code or 0), captured.out, captured.err

    return call
