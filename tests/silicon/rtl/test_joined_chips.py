"""Two chips with a link in Verilator say what the emulator says, whatever befalls the link, or name what is broken.

Trained models on two and four chips: `python benchmarks/machine_tokens.py`.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from network_chips import build_random
from rtl_arrays import needs
from slang import expect_clean

from helpers import run_cli
from hnlpu.errors import DoesNotFit, InvalidInput, LinkFailed
from hnlpu.insight.verify import check_chip
from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.rtl.chip import (
    ChipRequest,
    ChipShape,
    Wires,
    Work,
    array_steps,
    build_chip,
    chip_shape,
    link_of,
    predict_machine_cycles,
    simulate_chip,
    write_chip,
)

verilator = needs("verilator", "c++")
PROMPTS = [[5], [3, 4, 5, 6], [9] * 3]
CONFIG = {
    "hidden_size": 16, "moe_intermediate_size": 32, "num_attention_heads": 8, "num_key_value_heads": 2,
    "head_dim": 8, "vocab_size": 32, "num_hidden_layers": 1, "num_experts": 2, "num_experts_per_tok": 2,
    "mlp_only_layers": [],
}  # fmt: skip
"""The smallest whose attention outputs are cut by inputs: their parts are added.  A chip has half of the heads, and
an expert."""


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return build_random("qwen3_moe", tmp_path_factory.mktemp("model"), chips=2, **CONFIG)


def shape_of(build: Build) -> ChipShape:
    return chip_shape(build, sequences=2, context=24, lanes=8, chips=2)


@pytest.fixture(scope="module")
def written(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("machine") / "rtl"
    write_chip(build, folder, shape_of(build))
    return folder


@pytest.fixture(scope="module")
def machine(written: Path) -> Path:
    options = written / "bench" / "chip.f"
    text = options.read_text()
    assert "OPT_FAST=-O1" in text
    options.write_text(text.replace("OPT_FAST=-O1", "OPT_FAST=-O0"))
    build_chip(written)
    return written


@verilator
@pytest.mark.parametrize(("wires", "temperature"), [(Wires(), 1.5), (Wires(11, 40), 0.0)])
def test_two_chips_give_the_emulators_tokens(
    build: Build, machine: Path, wires: Wires, temperature: float
) -> None:
    found = check_chip(
        build, machine, shape_of(build), PROMPTS, max_tokens=6, temperature=temperature, seed=3,
        stalls=(30,), wires=wires,
    )  # fmt: skip
    assert found.fault == ""
    assert sum(len(answer.expected) for answer in found.answers) > 10


@verilator
def test_damaged_bits_change_no_token(build: Build, machine: Path) -> None:
    found = check_chip(
        build, machine, shape_of(build), PROMPTS, max_tokens=6, wires=Wires(7, 20, 100_000)
    )
    assert found.fault == ""
    [(_, run)] = found.runs
    assert run.flipped > 10
    assert run.again > 5


@verilator
@pytest.mark.parametrize("load", [(1, 1, 6, 4), (1, 14, 4, 9), (3, 5, 5, 4)])
def test_cycles_are_predicted(build: Build, machine: Path, load: tuple[int, ...]) -> None:
    users, prompt, answer, latency = load
    shape = shape_of(build)
    asked = [ChipRequest(tuple(range(n, n + prompt)), answer) for n in range(users)]
    counted = simulate_chip(machine, asked, wires=Wires(latency))
    works = [Work(prompt, len(made)) for made in counted.tokens]
    steps = array_steps(build)
    found = predict_machine_cycles(shape, steps, works, link_of(shape), latency)
    assert abs(found / counted.cycles - 1) < 0.05, (found, counted.cycles)


@verilator
@pytest.mark.parametrize(
    ("wires", "said"),
    [
        (Wires(dead=1, at=3000), "chip 0's link to chip 1 is silent"),
        (Wires(cut=(1, 0), at=3000), "chip 0's link to chip 1 is silent"),
        (Wires(cut=(0, 1), at=3000), "link to chip [01] is (stuck|silent)"),
    ],
)
def test_what_is_broken_is_named_in_time(
    build: Build, machine: Path, wires: Wires, said: str
) -> None:
    with pytest.raises(LinkFailed, match=said) as raised:
        simulate_chip(machine, [ChipRequest((5, 9, 7))] * 4, wires=wires, cycle_limit=100_000)
    [cycle] = re.findall(r"at cycle (\d+)", str(raised.value))
    link = link_of(shape_of(build))
    assert 3000 < int(cycle) <= 3000 + 2 * link.given_up_after


def test_chips_differ_in_their_tiles_alone(written: Path) -> None:
    first, second = ((written / "top" / f"chip_{n}.sv").read_text() for n in range(2))
    assert first != second
    arrays = re.compile(r"chip([01])_(\w+?)(?:_e\d+)?_n\d+_b\d+")
    assert {one[0] for one in arrays.findall(first)} == {"0"}
    assert {one[0] for one in arrays.findall(second)} == {"1"}
    alike = [arrays.sub(r"\2", text) for text in (first, second)]
    assert alike[0].replace("module chip_0", "module chip_1") == alike[1]
    order = (written / "chip.f").read_text().split()
    tiles = [path for path in order if path.startswith("wiring/wiring_")]
    assert {path[len("wiring/wiring_") :][:6] for path in tiles} == {"chip0_", "chip1_"}


@needs("pyslang")
def test_slang_has_nothing_to_say(
    written: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    expect_clean(written, "machine", monkeypatch, capfd)


def test_links_are_for_several_chips(build: Build, tmp_path: Path) -> None:
    alone = build_random("gru", tmp_path)
    for directory, options, said in (
        (alone.directory, ("--link-lanes", "8"), "is one chip, and has no links"),
        (build.directory, ("--chips", "4"), "is placed on 2 chips, not 4; build with --chips 4"),
        (build.directory, ("--link-lanes", "5"), "5 lanes of a link"),
        (build.directory, ("--link-lanes", "0"), "0 lanes of a link"),
        (build.directory, ("--bit-errors", "1000000001"), "--bit-errors"),
    ):
        code, _, told = run_cli("chip", directory, "-o", tmp_path / "refused", *options)
        assert (code, said in told) == (2, True), told
        assert not (tmp_path / "refused").exists()
    for directory, options, said in (
        (alone.directory, ("--chips", "4"), "is placed on 1 chips, not 4"),
        (alone.directory, ("--link-latency", "9"), "is one chip, and has no links"),
        (build.directory, ("--link-stalls", "9"), "counts links that refuse and invert nothing"),
    ):
        code, _, told = run_cli("chip", directory, "--predict", *options)
        assert (code, said in told) == (2, True), told
    code, told, _ = run_cli(
        "chip", build.directory, "-o", tmp_path / "rtl", "--lanes", "8", "--json"
    )
    assert code == 0
    facts = json.loads(told)
    assert (facts["chips"], facts["link"]["lanes"]) == (2, 16)


def test_waveforms_are_of_one_chip(build: Build, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="waveforms are of one chip; write 2 chips without"):
        write_chip(build, tmp_path / "traced", shape_of(build), trace=True)
    assert not (tmp_path / "traced").exists()


def test_the_start_of_a_token_fits_a_beat(build: Build) -> None:
    shape = shape_of(build)  # 5 bits of a token, 5 of a position and one
    link_of(replace(shape, sum_bits=2))
    with pytest.raises(DoesNotFit, match=r"start of a token has 11 bits, a beat .* 8; give more"):
        link_of(replace(shape, sum_bits=1))
