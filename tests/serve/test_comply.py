"""llm-comply against the three forms of a chat: it holds answers and streams to the makers' own schemas."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from test_chat import harmony  # noqa: F401  a fixture

pytest.importorskip("llm_comply")

ANTHROPIC = ("--auth-header", "x-api-key", "--no-bearer", "-H", "anthropic-version:2023-06-01")
NOT_HERE = {"Image Input"}
"""The model reads text alone."""
MODEL_MAY_BE_LEFT_OUT = {"Error Handling"}
"""It wants a request without `model` to be refused; here it means the model that is served."""


@pytest.mark.parametrize(
    ("options", "failing", "passing"),
    [
        (("--format", "openai-chat"), NOT_HERE | MODEL_MAY_BE_LEFT_OUT, 6),
        ((), NOT_HERE | MODEL_MAY_BE_LEFT_OUT, 9),
        (("--format", "anthropic", *ANTHROPIC), NOT_HERE, 7),
    ],
    ids=["chat", "responses", "messages"],
)
def test_llm_comply(harmony, options, failing, passing):  # noqa: F811
    command = [
        sys.executable, "-m", "llm_comply.cli", "-u", harmony.address + "/v1", "-k", "unused",
        "-m", "build", *options,
    ]  # fmt: skip
    for _ in range(
        3
    ):  # random weights may draw an end at once, where a text or a call is asked for
        result = subprocess.run(command, capture_output=True, text=True, timeout=200)
        told = result.stdout + result.stderr
        found = set(re.findall(r"✗ (.+?) \(", told))
        if found == failing:
            break
    drawn = {name for name in found if "Tool" in name}  # whether random weights call a tool
    assert found - drawn == failing, told
    assert told.count("✓ ") + len(drawn) >= passing, told
