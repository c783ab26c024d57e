"""Bad input to any command: exit code 2 and one line that says what is wrong, never a traceback."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from helpers import environment, run_cli, write_checkpoint


@pytest.fixture
def bad(cli):
    """Run a command that must be refused; returns its one line."""

    def check(*arguments) -> str:
        code, printed, line = cli(*arguments)
        assert code == 2, (printed, line)
        assert printed == ""
        assert line.startswith("hnlpu: ")
        assert line.count("\n") == 1
        assert "Traceback" not in line
        return line

    return check


COMMANDS = {
    "verify": [], "generate": ["--tokens", "1"], "score": ["--tokens", "1,2"],
    "report": ["-o", "report.html"], "draw": ["-o", "net.svg"],
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_a_directory_that_is_none(bad, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for name in ("nowhere", "file", "empty", "file/below", "x" * 300, "~nosuchuser0/x"):
        line = bad(command, name, *COMMANDS[command])
        assert name in line


@pytest.mark.parametrize("command", ["generate", "score", "report"])
def test_a_damaged_build_is_named(bad, tmp_path, tiny_build, command):
    build = shutil.copytree(tiny_build, tmp_path / "b")
    (build / "weights/layer-001.safetensors").write_bytes(b"short")
    assert "layer-001.safetensors" in bad(command, build, *COMMANDS[command])
    (build / "manifest.json").write_text("{}")
    assert "manifest.json" in bad(command, build, *COMMANDS[command])


UNUSABLE = [
    ("--tokens", "1,x", "whole numbers"),
    ("--tokens", "1.5", "whole numbers"),
    ("--tokens", "1;2", "whole numbers"),
    ("--tokens", "9" * 5000, "whole numbers"),
    ("--tokens", "1,97", "token 97 is outside of the vocabulary (0 to 96)"),
    ("--tokens", "-1", "token -1 is outside"),
    ("--tokens", "9" * 30, "0 to 96"),
    ("--tokens", "", ""),
    ("--tokens", ",,", ""),
]


@pytest.mark.parametrize(("option", "value", "expected"), UNUSABLE)
@pytest.mark.parametrize("command", ["generate", "score"])
def test_tokens_that_make_no_sense(
    bad, tiny_build, tiny_checkpoint, command, option, value, expected
):
    for directory in (tiny_build, tiny_checkpoint):
        assert expected in bad(command, directory, option, value)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--temperature", "nan"], "temperature"),
        (["--temperature", "inf"], "temperature"),
        (["--temperature", "-1"], "temperature"),
        (["--temperature", "hot"], "temperature"),
        (["--seed", "-1"], "seed"),
        (["--seed", "1.5"], "seed"),
        (["--max-tokens", "-1"], "max tokens"),
        (["--max-tokens", "many"], "max-tokens"),
        (["--nonsense"], "--nonsense"),
        (["--prompt", "x"], "either --prompt TEXT or --tokens"),
        (["extra"], "extra"),
    ],
)
def test_generate_options_that_make_no_sense(bad, tiny_build, options, expected):
    assert expected in bad("generate", tiny_build, "--tokens", "1,2", *options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "give one of"),
        (["--tokens", "1,2", "--text", "x"], "give one of"),
        (["--tokens", "1"], "at least 2 tokens"),
        (["--tokens", "1,2", "--top", "-1"], "top -1"),
        (["--tokens", "1,2", "--top", "98"], "top 98"),
        (["--tokens", "1,2", "--context", "1"], "context 1"),
        (["--tokens", "1,2", "--context", "-5"], "context -5"),
        (["--file", "/nonexistent/file"], "/nonexistent/file"),
        (["--file", "/"], "/: cannot be read"),
        (["--text", "x"], "has no tokenizer.json"),
    ],
)
def test_score_options_that_make_no_sense(bad, tiny_build, options, expected):
    assert expected in bad("score", tiny_build, *options)


def test_a_file_that_is_not_utf8(bad, tiny_build, tmp_path):
    (tmp_path / "latin").write_bytes("naïve".encode("latin-1"))
    assert "latin: is not UTF-8 text (byte 2)" in bad(
        "score", tiny_build, "--file", tmp_path / "latin"
    )


def test_an_empty_prompt(bad, spoken_build, tiny_build):
    assert "prompt is empty" in bad("generate", spoken_build, "--prompt", "")
    assert "prompt is empty" in bad("generate", tiny_build, "--tokens", "")
    assert "either --prompt TEXT or --tokens" in bad("generate", tiny_build)
    assert "at least 2 tokens" in bad("score", spoken_build, "--text", "")


def test_text_without_a_tokenizer(bad, tiny_build, tiny_checkpoint):
    for directory in (tiny_build, tiny_checkpoint):
        assert "give token ids with --tokens" in bad("generate", directory, "--prompt", "x")


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b"[1]", b'{"model": null}'])
def test_a_tokenizer_that_cannot_be_read(bad, tmp_path, content):
    checkpoint = write_checkpoint(tmp_path / "c")
    (checkpoint / "tokenizer.json").write_bytes(content)
    assert "not a readable tokenizer" in bad("generate", checkpoint, "--prompt", "x")
    assert "not a readable tokenizer" in bad("score", checkpoint, "--text", "xyz")


def test_text_that_is_not_unicode(spoken_build):
    """Bytes of an argument that are no UTF-8 reach Python as lone surrogates."""
    for command in (["generate", "--prompt"], ["score", "--text"]):
        result = subprocess.run(
            [sys.executable, "-m", "hnlpu", command[0], spoken_build, command[1], b"ab\xff\xfe"],
            capture_output=True, text=True, check=False, env=environment(PYTHONUTF8="1"),
        )  # fmt: skip
        assert result.returncode == 2
        assert result.stderr.count("\n") == 1
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--preset", "best"], "preset 'best' is unknown; choose from default, paper"),
        (["--attention", "int5"], "attention 'int5'"),
        (["--experts", "native"], "experts 'native'"),
        (
            ["--activation-bits", "1"],
            "activation bits 1: Input should be greater than or equal to 2",
        ),
        (["--activation-bits", "17"], "activation bits 17"),
        (["--activation-bits", "x"], "activation-bits"),
        (["--max-spread", "21"], "max spread 21"),
        (["--max-spread", "-1"], "max spread -1"),
        (["--workers", "0"], "workers"),
        (["--workers", "-3"], "workers"),
        (["--revision", "main"], "drop --revision"),
        (["--bogus"], "--bogus"),
    ],
)
def test_build_options_that_make_no_sense(bad, tmp_path, tiny_checkpoint, options, expected):
    line = bad("build", tiny_checkpoint, "-o", tmp_path / "a/b", *options)
    assert expected in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [(["--workers", "0"], "workers"), (["--workers", "-1"], "workers"),
     (["--samples", "0"], "samples"), (["--seed", "-1"], "seed"), (["--seed", "x"], "seed")],
)  # fmt: skip
def test_verify_options_that_make_no_sense(bad, tiny_build, options, expected):
    assert expected in bad("verify", tiny_build, *options)


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["build"], ["build", "x"], ["--nope"], ["verify"]]
)
def test_usage_errors_point_to_the_help(bad, arguments):
    assert "try 'hnlpu --help'" in bad(*arguments)


def test_a_checkpoint_whose_values_leave_float32_says_so(bad, tmp_path):
    """Legal weights, but their activations overflow: an answer, not a traceback or a warning."""
    import numpy as np

    huge = np.full((97, 64), 0x7F00, np.uint16)
    tensors = {"model.embed_tokens.weight": huge, "lm_head.weight": huge}
    checkpoint = write_checkpoint(tmp_path / "c", tensors=tensors)
    assert "leave float32's range" in bad("score", checkpoint, "--tokens", "1,2,3")


def test_a_tiny_temperature_is_greedy(cli, tiny_build):
    arguments = ("generate", tiny_build, "--tokens", "5,6", "--ignore-end", "--json")
    code, printed, errors = cli(*arguments, "--temperature", "1e-320")
    assert (code, errors) == (0, "")
    greedy = cli(*arguments)[1]
    assert printed.split('"text"')[0] == greedy.split('"text"')[0]


@pytest.mark.parametrize("command", ["verify", "generate"])
def test_bad_input_in_a_process_of_its_own(tmp_path, command):
    code, printed, line = run_cli(command, tmp_path / "nowhere", *COMMANDS[command])
    assert (code, printed) == (2, "")
    assert (
        line
        == f"hnlpu: {tmp_path / 'nowhere'}: no such build folder; make one with 'hnlpu build'\n"
    )


def test_output_that_cannot_be_written_is_one_line(tiny_build):
    with open("/dev/full", "w") as full:  # noqa: PTH123  a device, no path
        result = subprocess.run(
            [sys.executable, "-m", "hnlpu", "verify", tiny_build, "--json"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert "No space left on device" in result.stderr
