"""hnlpu chat: history, commands, interrupts and the position limit."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import hnlpu
from hnlpu.run.emulate import open_language_model

CHECKPOINT = Path(__file__).parents[2] / "checkpoints" / "stdlib-140k"


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    return hnlpu.build(CHECKPOINT, tmp_path_factory.mktemp("chat") / "build")


def begun(directory, *options):
    command = [
        sys.executable,
        "-m",
        "hnlpu",
        "chat",
        str(directory),
        "--temperature",
        "0",
        *options,
    ]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, bufsize=0, **pipes)


def chat(directory, lines, *options):
    process = begun(directory, *options)
    out, err = process.communicate("\n".join(lines), timeout=120)
    assert process.returncode == 0, err
    return out, err


def expected(model, text, count):
    return "".join(t.text for t in model.generate(text, max_tokens=count))


@pytest.mark.parametrize("source", ["build", "checkpoint"])
def test_answers_go_on_from_all_that_was_said(build, source):
    directory = build if source == "build" else CHECKPOINT
    model = open_language_model(directory)
    first = expected(model, "import os", 7)
    second = expected(model, f"import os\n{first}\ndef f(", 7)
    anew = expected(model, "x = 1", 7)
    lines = ["import os", "def f(", "/clear", "x = 1"]
    out, err = chat(directory, lines, "--max-tokens", "7")
    assert out == f"{first}\n{second}\n{anew}\n"
    assert err.count("7 tokens, ") == 3
    assert "no chat template" in err


def test_commands(build):
    out, err = chat(build, ["/help", "/nothing", "/system", "", "/quit", "x"])
    assert "/system TEXT" in out
    assert err.count("is no command") == 2
    assert "tokens/s" not in err


def test_what_is_wrong_is_told_and_the_conversation_goes_on(build):
    model = open_language_model(build)
    limit = model.transformer.architecture.max_position_embeddings
    lines = ["x " * limit, "a<|endoftext|>b", "import os"]
    out, err = chat(build, lines, "--max-tokens", "5")
    assert out == expected(model, "import os", 5) + "\n"
    assert f"position limit of {limit}; /clear begins a new one, and --past-limit" in err
    assert "is a special token" in err
    failed = begun(build, "--top-p", "3")
    assert "top_p 3" in failed.communicate("a", timeout=60)[1]
    assert failed.returncode == 2


def test_instructions_with_a_special_token_are_told_and_the_conversation_goes_on(build):
    _, err = chat(build, ["/system a<|endoftext|>", "import os"], "--max-tokens", "4")
    assert "'<|endoftext|>' is a special token" in err
    assert "[4 tokens" in err


def test_an_interrupt_ends_the_answer_alone(build):
    process = begun(build, "--max-tokens", "900", "--past-limit", "--temperature", "1")
    process.stdin.write("import os\n")
    process.stdin.flush()
    assert process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate("/help\n", timeout=60)
    assert process.returncode == 0, err
    assert "/clear" in out
    (count,) = re.findall(r"\[(\d+) token", err)
    assert 0 < int(count) < 900
