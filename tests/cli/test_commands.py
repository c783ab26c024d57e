"""What each command prints, to people and to machines."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import pty
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import hnlpu
from decoys import BROKEN, write_decoys
from helpers import environment, run_cli, write_checkpoint
from hnlpu._bundled import bundled_model
from hnlpu.cli._schema import load_schema

TOKENS = "5,6,7,8"


def test_build_tells_what_it_made(tmp_path, tiny_checkpoint, cli):
    code, printed, errors = cli("build", tiny_checkpoint, "-o", tmp_path / "b", "--json")
    facts = json.loads(printed)
    assert (code, errors) == (0, "")
    assert facts["directory"] == str(tmp_path / "b")
    assert facts["weights"] == 2 * (4 * 192 * 64 + 4 * 64 * 96 + 384 * 64 + 4 * 64) + 97 * 64
    assert facts["weights"] < facts["digits"] < 2 * facts["weights"]
    assert facts["bytes"] == sum(p.stat().st_size for p in (tmp_path / "b/weights").iterdir())
    assert facts["policy"]["experts"] == "auto"
    assert facts["weights_covered"] == facts["weights"]
    assert facts["errors"]["experts"]["relative_error"] == 0
    assert 0 < facts["errors"]["attention"]["relative_error"] < 0.02
    assert len(facts["source_digest"]) == 64
    assert {"zeros", "seconds", "peak_memory_mb"} <= set(facts)
    code, printed, _ = cli("build", tiny_checkpoint, "-o", tmp_path / "b")
    assert code == 0
    assert f"{facts['weights']:,} weights" in printed
    assert f"coverage: {facts['weights']:,} of {facts['weights']:,} weights" in printed
    assert "exact" in printed


def test_build_options_reach_the_policy(tmp_path, tiny_checkpoint, cli):
    options = (
        "--preset", "paper", "--attention", "mxfp4x2", "--router", "auto", "--activation-bits", "6",
        "--unembedding", "mxfp4x2", "--max-spread", "7", "--requantize", "--experts", "mxfp4x2",
    )  # fmt: skip
    _, printed, _ = cli("build", tiny_checkpoint, "-o", tmp_path / "b", "--json", *options)
    assert json.loads(printed)["policy"] == {
        "attention": "mxfp4x2", "router": "auto", "experts": "mxfp4x2", "unembedding": "mxfp4x2",
        "activation_bits": 6, "max_spread": 7, "requantize": True,
    }  # fmt: skip


def test_verify_speaks_to_people(tiny_build, cli):
    code, printed, errors = cli("verify", tiny_build)
    assert (code, errors) == (0, "")
    assert printed.splitlines()[-1] == f"{tiny_build}: sound"
    assert "FAILED" not in printed


def test_generate_from_tokens(tiny_build, cli):
    code, printed, errors = cli(
        "generate", tiny_build, "--tokens", TOKENS, "--max-tokens", "6", "--ignore-end", "--json"
    )
    facts = json.loads(printed)
    assert (code, errors) == (0, "")
    assert len(facts["tokens"]) == 6
    assert facts["text"] is None
    assert facts["tokens_per_second"] > 0
    _, printed, _ = cli(
        "generate", tiny_build, "--tokens", TOKENS, "--max-tokens", "6", "--ignore-end"
    )
    assert [int(t) for t in printed.split()] == facts["tokens"]


def test_generate_from_text(spoken_build, cli):
    arguments = ("generate", spoken_build, "--prompt", "abc", "--max-tokens", "9", "--ignore-end")
    _, printed, _ = cli(*arguments, "--json")
    facts = json.loads(printed)
    assert len(facts["tokens"]) == 9
    assert cli(*arguments)[1] == facts["text"] + "\n"


def test_generate_is_reproducible_by_its_seed(tiny_build, cli):
    def tokens(*options: str) -> list[int]:
        _, printed, _ = cli(
            "generate", tiny_build, "--tokens", TOKENS, "--max-tokens", "12", "--ignore-end",
            "--temperature", "1.5", "--json", *options,
        )  # fmt: skip
        return json.loads(printed)["tokens"]

    assert tokens("--seed", "3") == tokens("--seed", "3") != tokens("--seed", "4")


def test_generate_ends_at_an_end_token(tmp_path, cli):
    """Every token is made an end token: nothing is generated, and that is no error."""
    checkpoint = write_checkpoint(tmp_path / "c", eos_token_id=list(range(97)))
    build = hnlpu.build(checkpoint, tmp_path / "b")
    code, printed, _ = cli("generate", build, "--tokens", TOKENS, "--json")
    assert code == 0
    assert json.loads(printed)["tokens"] == []
    assert json.loads(printed)["tokens_per_second"] == 0


def test_generate_streams(tiny_build, tmp_path):
    """The first token is on the pipe while later ones are still being made."""
    command = [sys.executable, "-m", "hnlpu", "generate", tiny_build, "--tokens", TOKENS,
               "--max-tokens", "1000000", "--past-limit", "--ignore-end"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        assert run.stdout is not None
        first = os.read(run.stdout.fileno(), 1)
        still_running = run.poll() is None
        run.stdout.close()  # the reader goes away: the command ends without a complaint
        assert run.stderr is not None
        assert run.wait(timeout=60) == 0
        assert run.stderr.read() == b""
    assert first.isdigit()
    assert still_running


def heed_interrupts():
    """A shell starts background jobs, CI's among them, deaf to SIGINT; undo that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_interrupted_generation_is_no_traceback(tiny_build):
    command = [sys.executable, "-m", "hnlpu", "generate", tiny_build, "--tokens", TOKENS,
               "--max-tokens", "1000000", "--past-limit", "--ignore-end"]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heed_interrupts
    ) as run:
        assert run.stdout is not None
        os.read(run.stdout.fileno(), 1)
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=60)
    assert run.returncode == 130
    assert b"Traceback" not in errors


def test_score_of_tokens(tiny_build, cli):
    code, printed, errors = cli("score", tiny_build, "--tokens", TOKENS, "--json", "--top", "3")
    facts = json.loads(printed)
    assert (code, errors) == (0, "")
    assert len(facts["logprobs"]) == 3
    assert all(value < 0 for value in facts["logprobs"])
    assert facts["nll"] == pytest.approx(-sum(facts["logprobs"]) / 3)
    assert facts["perplexity"] == pytest.approx(math.exp(facts["nll"]))
    assert [len(best) for best in facts["top"]] == [3, 3, 3]
    for best in facts["top"]:
        values = [entry["logprob"] for entry in best]
        assert values == sorted(values, reverse=True)
        assert all(0 <= entry["token"] < 97 for entry in best)
    assert "top" not in json.loads(cli("score", tiny_build, "--tokens", TOKENS, "--json")[1])


def test_top_holds_the_scored_tokens_own_logprob(tiny_build, cli):
    _, printed, _ = cli("score", tiny_build, "--tokens", TOKENS, "--json", "--top", "97")
    facts = json.loads(printed)
    for token, value, best in zip([6, 7, 8], facts["logprobs"], facts["top"], strict=True):
        assert {entry["token"]: entry["logprob"] for entry in best}[token] == value
        assert math.fsum(math.exp(entry["logprob"]) for entry in best) == pytest.approx(1)


def test_score_of_text_and_of_a_file_agree(spoken_build, tmp_path, cli):
    (tmp_path / "text").write_text("def f(x):\n\treturn x\n")
    _, one, _ = cli("score", spoken_build, "--file", tmp_path / "text", "--json")
    _, two, _ = cli("score", spoken_build, "--text", "def f(x):\n\treturn x\n", "--json")
    assert json.loads(one)["logprobs"] == json.loads(two)["logprobs"]
    facts = json.loads(one)
    bits = facts["nll"] * facts["scored_tokens"] / math.log(2)
    tokenizer = hnlpu.open(spoken_build).tokenizer
    first = tokenizer.decode(tokenizer.encode("def f(x):\n\treturn x\n")[:1])
    assert facts["bits_per_byte"] == pytest.approx(bits / (20 - len(first)))
    code, printed, _ = cli("score", spoken_build, "--file", tmp_path / "text", "--top", "2")
    assert code == 0
    assert "perplexity" in printed


def test_a_checkpoint_speaks_too_unquantised(tiny_checkpoint, tiny_build, cli):
    _, printed, _ = cli("score", tiny_checkpoint, "--tokens", TOKENS, "--json")
    unquantised = json.loads(printed)["logprobs"]
    _, printed, _ = cli("score", tiny_build, "--tokens", TOKENS, "--json", "--float-activations")
    float_activations = json.loads(printed)["logprobs"]
    _, printed, _ = cli("score", tiny_build, "--tokens", TOKENS, "--json")
    hardwired = json.loads(printed)["logprobs"]
    assert unquantised != float_activations != hardwired
    assert float_activations == pytest.approx(unquantised, abs=0.1)
    assert hardwired == pytest.approx(unquantised, abs=0.1)
    code, printed, _ = cli("generate", tiny_checkpoint, "--tokens", TOKENS, "--json")
    assert code == 0
    assert json.loads(printed)["tokens"]


def test_markup_in_a_path_is_printed_as_it_is(tmp_path, tiny_checkpoint, cli):
    """A folder named like a closing tag once ended the command with a traceback."""
    out = tmp_path / "a[/b]:smile:[bold]x"
    code, printed, errors = cli("build", tiny_checkpoint, "-o", out)
    assert (code, errors) == (0, "")
    assert printed.startswith(f"{out}: ")
    (out / "[red]").touch()
    code, printed, errors = cli("verify", out)
    assert (code, errors) == (1, "")
    assert f"{out}/[red]: is not part of the build" in printed


def test_doctor_finds_this_environment_able(cli):
    code, printed, errors = cli("doctor", "--json")
    Draft202012Validator(load_schema("doctor")).validate(json.loads(printed))
    findings = {finding["name"]: finding for finding in json.loads(printed)}
    assert (code, errors) == (0, "")
    assert all(finding["ok"] for finding in findings.values() if finding["needed"])
    assert {"python", "cores", "numpy", "numba", "safetensors", "tokenizers"} <= set(findings)
    assert findings["kernel: packed digits"]["detail"] == "exact"
    assert findings["kernel: matrix product"]["detail"] == "exact"
    assert all(finding["ok"] or finding["remedy"] for finding in findings.values())


def test_doctor_says_no_where_something_needed_is_missing(monkeypatch, cli):
    import importlib.metadata

    version = importlib.metadata.version

    def without_numba(name: str) -> str:
        if name == "numba":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without_numba)
    code, printed, _ = cli("doctor")
    assert code == 1
    assert "missing   numba" in printed
    assert "install: pip install 'numba" in printed


def test_doctor_tells_what_is_there_and_broken(monkeypatch, cli, tmp_path):
    pytest.importorskip("gdstk")
    from hnlpu.cli import _doctor

    work = {
        "klayout": "raise RuntimeError('no such symbol')",
        "gdstk": "import os; os.abort()",
    }
    optional = [dataclasses.replace(one, work=work[one.name])
                for one in _doctor._OPTIONAL if one.name in work]  # fmt: skip
    monkeypatch.setattr(_doctor, "_OPTIONAL", optional)
    write_decoys(tmp_path, BROKEN, "g++", "cc", "chromium")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", str(tmp_path / "g++"))
    code, printed, errors = cli("doctor", "--json")
    assert (code, errors) == (0, "")
    findings = {finding["name"]: finding for finding in json.loads(printed)}
    for name, said in {
        "klayout": "RuntimeError: no such symbol",
        "gdstk": "ends with -6",
        "C++ compiler": f"CXX={tmp_path}/g++: does not compile (a decoy of g++)",
        "browser": f"{tmp_path}/chromium: a decoy of chromium",
    }.items():
        assert findings[name]["state"] == "broken", name
        assert findings[name]["ok"] is False
        assert said in findings[name]["detail"]
    assert findings["make"]["state"] == "missing"
    _, printed, _ = cli("doctor")
    assert f"broken    browser           {tmp_path}/chromium: a decoy of chromium" in printed


def test_doctor_shows_the_version_of_a_browser_whose_start_script_complains(
    monkeypatch, cli, tmp_path
):
    path = tmp_path / "chromium"
    path.write_text("#!/bin/sh\necho 'chromium: 9: [: operator' >&2\necho Chromium 156.0.8078.1\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    _, printed, _ = cli("doctor", "--json")
    findings = {finding["name"]: finding for finding in json.loads(printed)}
    assert findings["browser"]["detail"] == "Chromium 156.0.8078.1"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["build", "--help"], ["score", "--help"]])
def test_help(cli, arguments):
    code, printed, errors = cli(*arguments)
    assert (code, errors) == (0, "")
    assert "Usage" in printed


def test_version(cli):
    assert cli("--version") == (0, f"hnlpu {hnlpu.__version__}\n", "")


def test_progress_is_drawn_on_a_terminal_only(tmp_path, tiny_checkpoint):
    code, _, errors = run_cli("build", tiny_checkpoint, "-o", tmp_path / "b", "--json")
    assert (code, errors) == (0, "")
    main, terminal = pty.openpty()
    command = [sys.executable, "-m", "hnlpu", "build", tiny_checkpoint, "-o", tmp_path / "b"]
    drawn = bytearray()

    def read() -> None:  # as it comes: a terminal that nobody reads holds up who writes
        with contextlib.suppress(OSError):
            while more := os.read(main, 100_000):
                drawn.extend(more)

    reader = threading.Thread(target=read)
    reader.start()
    run = subprocess.run(command, stderr=terminal, stdout=subprocess.PIPE, check=True)
    os.close(terminal)
    reader.join()
    assert b"hardwiring" in drawn
    assert b"hardwiring" not in run.stdout
    os.close(main)


def test_both_entry_points_are_the_same_program():
    script = Path(sys.executable).with_name("hnlpu")
    result = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert result.stdout == run_cli("--version")[1]


@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii:strict"])
def test_names_and_text_that_the_terminal_cannot_show(tmp_path, tiny_checkpoint, encoding):
    """A file name need not be UTF-8, nor a terminal: neither ends in a traceback."""
    out = os.fsencode(tmp_path) + "/ü".encode() + b"\xff"
    for arguments in (["build", tiny_checkpoint, "-o", out], ["verify", out]):
        result = subprocess.run(
            [sys.executable, "-m", "hnlpu", *arguments],
            capture_output=True, check=False, env=environment(PYTHONIOENCODING=encoding),
        )  # fmt: skip
        assert result.stderr == b""
        assert result.returncode == 0


def test_short_options_and_completion(cli):
    assert cli("-V")[1] == cli("--version")[1] == f"hnlpu {hnlpu.__version__}\n"
    for words in (("-h",), ("cost", "-h"), ("catalog", "show", "-h")):
        code, printed, _ = cli(*words)
        assert code == 0
        assert "Usage:" in printed
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv = ['hnlpu']; from hnlpu.cli import main; main()"],
        env=environment(_HNLPU_COMPLETE="complete_bash", COMP_WORDS="hnlpu de", COMP_CWORD="1"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert set(done.stdout.split()) >= {"demo", "design"}


def test_the_demo_refuses_before_it_works(tmp_path, cli):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    code, printed, errors = cli("demo", "-o", tmp_path / "there")
    assert (code, printed) == (2, "")
    assert "is there already; remove it or choose another with --output" in errors
    assert bundled_model().name == "stdlib-140k"


def test_zeros_that_fill_blocks_are_no_weights(tmp_path, cli):
    model = Path(__file__).parents[2] / "studies" / "gru_svm" / "model"
    _, printed, _ = cli("build", model, "-o", tmp_path / "b", "--json")
    built = json.loads(printed)
    config = json.loads((model / "config.json").read_text())
    wide, inputs, out = config["hidden_size"], config["input_size"], config["output_size"]
    assert built["weights"] == 3 * wide * (inputs + wide) + out * wide
    assert built["fill"] == 3 * wide * (-inputs % 32) + 3 * wide * (-wide % 32) + out * (-wide % 32)
    placed = json.loads(cli("place", tmp_path / "b", "--json")[1])
    verified = json.loads(cli("verify", tmp_path / "b", "--samples", "1", "--json")[1])
    priced = json.loads(cli("cost", tmp_path / "b", "--trials", "20", "--json")[1])
    checked = next(c for c in verified["checks"] if c["name"] == "weights")
    assert (placed["weights"], placed["fill"]) == (built["weights"], built["fill"])
    assert checked["covered"] == priced["weights"] == built["weights"] == built["digits"]
    assert sum(e["weights"] for e in built["errors"].values()) == built["weights"]
    _, printed, _ = cli("place", tmp_path / "b")
    assert f"{built['fill']:,} zeros that fill blocks of 32" in printed
