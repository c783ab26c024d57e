"""What runs before a commit is what CI lints."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def hooks() -> list[dict[str, Any]]:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    assert repository["repo"] == "local"  # others are cloned from the network
    found: list[dict[str, Any]] = repository["hooks"]
    return found


def linted() -> list[str]:
    """The commands of `make lint`."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", makefile, re.M)
    assert recipe
    return [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe[1].splitlines()]


def test_hooks_are_the_commands_of_make_lint() -> None:
    assert [hook["entry"] for hook in hooks()] == linted()


@pytest.mark.parametrize("hook", hooks(), ids=lambda hook: str(hook["id"]))
def test_a_hook_sees_what_make_lint_sees(hook: dict[str, Any]) -> None:
    """The whole tree with the tools of .venv, not the changed files with tools of its own."""
    assert hook["language"] == "system"
    assert hook["pass_filenames"] is False
    assert {"python", "toml"} <= set(hook["types_or"])


def test_ci_lints() -> None:
    assert "make lint" in (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
