"""hnlpu generate: how tokens are kept, and the position limit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHECKPOINT = Path(__file__).parents[2] / "checkpoints" / "stdlib-140k"
LIMIT = json.loads((CHECKPOINT / "config.json").read_text())["max_position_embeddings"]


def generate(*options):
    command = [
        sys.executable,
        "-m",
        "hnlpu",
        "generate",
        str(CHECKPOINT),
        "--tokens",
        "5,9",
        *options,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def tokens(*options):
    found = generate("--json", *options)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)["tokens"]


def test_unlikely_tokens_are_dropped():
    best = tokens("--max-tokens", "6", "--ignore-end")
    hot = ["--max-tokens", "6", "--ignore-end", "--temperature", "3", "--seed", "4"]
    assert tokens(*hot) != best
    for kept in (["--top-k", "1"], ["--top-p", "0"], ["--min-p", "1"]):
        assert tokens(*hot, *kept) == best
    assert tokens(*hot, "--top-k", "-1") == tokens(*hot)
    found = generate("--top-p", "2", "--max-tokens", "1")
    assert (found.returncode, "must be from 0 to 1" in found.stderr) == (2, True)


@pytest.mark.skipif(LIMIT > 4096, reason="the model's limit is too long for a test")
def test_the_position_limit_is_kept_unless_asked():
    found = generate("--max-tokens", str(LIMIT), "--ignore-end")
    assert found.returncode == 2
    assert f"position limit of {LIMIT}" in found.stderr
    assert "--past-limit" in found.stderr
    past = tokens("--max-tokens", str(LIMIT), "--ignore-end", "--past-limit")
    assert len(past) == LIMIT
