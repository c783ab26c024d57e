"""The whole chip in Verilator gives the emulator's tokens, whatever its neighbours do."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from chips import CONTEXT, DRAWN, LANES, SEQUENCES, TEMPERATURE, build_model, compile_chip, shape_of
from rtl_arrays import needs

from helpers import run_cli
from hnlpu.arithmetic.fixed_point import inverse_temperature
from hnlpu.errors import DoesNotFit, HnlpuError, InvalidInput, ToolFailed
from hnlpu.insight.verify import check_chip
from hnlpu.run.emulate import chip_tokens, hardwired
from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.rtl.chip import (
    ChipRequest,
    Op,
    _simulate,
    chip_shape,
    make_program,
    simulate_chip,
    write_chip,
)

verilator = needs("verilator", "c++")

PROMPTS = [[5], [3, 4, 5, 6, 7], [9] * 12, [30, 39, 1, 0], list(range(20))]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return build_model(tmp_path_factory.mktemp("model"), 0)


@pytest.fixture(scope="module")
def chip(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_chip(build, tmp_path_factory.mktemp("chip") / "rtl")


@verilator
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_more_prompts_than_sequences_give_the_emulators_tokens(
    build: Build, chip: Path, temperature: float
) -> None:
    found = check_chip(
        build, chip, shape_of(build), PROMPTS, max_tokens=18, temperature=temperature, seed=3,
        stalls=(0, 60),
    )  # fmt: skip
    assert found.fault == ""
    assert [len(answer.expected) for answer in found.answers] > [1] * len(PROMPTS)


@verilator
def test_hundreds_of_drawn_tokens_are_the_emulators(build: Build, chip: Path) -> None:
    model = hardwired(build, numerics="chip")
    made = simulate_chip(chip, DRAWN, stall=20).tokens
    for request, found in zip(DRAWN, made, strict=True):
        new = model.generate(
            list(request.prompt), max_tokens=len(found), temperature=TEMPERATURE,
            seed=request.seed, ignore_end=True,
        )  # fmt: skip
        assert tuple(token.id for token in new) == found
    assert sum(map(len, made)) > 300


@verilator
def test_the_emulators_own_function_says_the_same(build: Build, chip: Path) -> None:
    (tokens,) = simulate_chip(chip, [ChipRequest((9,) * 12, 10)]).tokens
    assert list(tokens) == chip_tokens(build, [9] * 12, 10)


@verilator
def test_a_request_ends_with_an_end_of_text(build: Build, chip: Path) -> None:
    [end] = build.architecture.eos_token_ids
    requests = [ChipRequest((7, n), 0, inverse_temperature(1.5), n) for n in range(8)]
    tokens = simulate_chip(chip, requests).tokens
    ended = [t for t in tokens if t[-1] == end]
    assert ended
    assert all(end not in t[:-1] for t in tokens)
    model = hardwired(build, numerics="chip")
    for n, found in enumerate(tokens):
        new = model.generate(
            [7, n], max_tokens=len(found), temperature=1.5, seed=n, ignore_end=True
        )
        assert tuple(token.id for token in new) == found


@verilator
def test_a_request_ends_at_the_last_position(chip: Path) -> None:
    run = simulate_chip(
        chip, [ChipRequest((3,) * (CONTEXT - 2)), ChipRequest((3,) * CONTEXT), ChipRequest((3,), 1)]
    )
    assert [len(t) for t in run.tokens] == [3, 1, 1]
    assert run.refused == (False, False, False)


@verilator
def test_a_prompt_longer_than_the_room_is_refused_and_harms_nobody(
    build: Build, chip: Path
) -> None:
    requests = [ChipRequest((1,) * (CONTEXT + 9), 4), ChipRequest((5,), 4)]
    run = simulate_chip(chip, requests)
    assert run.refused == (True, False)
    assert run.tokens[0] == (0,)
    assert list(run.tokens[1]) == chip_tokens(build, [5], 4)


@verilator
def test_a_run_without_end_tells_the_handshakes(chip: Path) -> None:
    with pytest.raises(
        ToolFailed, match=r"no end after 200 cycles: 1 of 1 requests sent.*in_ready"
    ):
        simulate_chip(chip, [ChipRequest((5,), 4)], cycle_limit=200)


@verilator
def test_a_chip_of_other_weights_is_found_out(chip: Path, tmp_path: Path) -> None:
    other = build_model(tmp_path, 1)
    found = check_chip(other, chip, shape_of(other), PROMPTS[:2], max_tokens=8)
    assert "differs from the emulator's" in found.fault


def test_answers_under_other_tags_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bench").mkdir()
    said = '{"answers": {"0": {}, "7": {}}, "cycles": 1, "seconds": 1}'
    ran = subprocess.CompletedProcess([], 0, said, "")
    monkeypatch.setattr(_simulate, "run_tool", lambda *_: ran)
    with pytest.raises(ToolFailed, match=r"tags 0, 7 have answers, not 0, 1"):
        simulate_chip(tmp_path, [ChipRequest((5,)), ChipRequest((5,))])


def test_silicon_does_not_depend_on_weights(build: Build, tmp_path: Path) -> None:
    other = build_model(tmp_path, 5)
    for n, one in enumerate((build, other)):
        write_chip(one, tmp_path / f"rtl-{n}", shape_of(one))
    texts = [
        {path.name: path.read_bytes() for path in (tmp_path / f"rtl-{n}" / "silicon").iterdir()}
        for n in range(2)
    ]
    assert texts[0] == texts[1]
    wired = [
        (tmp_path / f"rtl-{n}" / "wiring" / "stored_embedding.sv").read_bytes() for n in range(2)
    ]
    assert wired[0] != wired[1]


def test_the_program_is_a_token_long(build: Build) -> None:
    shape = shape_of(build)
    program = make_program(shape)
    ops = [one.op for one in program.instructions]
    assert ops[0] == Op.EMBED
    assert ops[-1] == Op.FINISH
    firsts = [one for one in program.instructions if one.op == Op.SQUARES and one.first]
    assert len(firsts) == 2 * build.architecture.num_hidden_layers + 1
    for taken, freed in ((Op.ACQUIRE, Op.RELEASE), (Op.ISSUE, Op.AWAIT)):
        assert ops.count(taken) == ops.count(freed)
    assert max(one.dst for one in program.instructions if one.op != Op.LOGITS) < program.registers


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"context": 5000}, "`context` 5000: the model knows 4096 positions"),
        ({"context": 1}, "1 positions: the attention unit counts 2 to 65536"),
        ({"lanes": 24}, "`lanes` 24: a power of two"),
        ({"lanes": 8}, "of layer 0 .step .*heads of 16 numbers; the vector unit has 8 lanes"),
        ({"sequences": 0}, "0 sequences in flight"),
    ],
)
def test_shapes_that_no_chip_has_are_refused(
    build: Build, options: dict[str, int], said: str
) -> None:
    with pytest.raises(HnlpuError, match=said):
        chip_shape(build, **options)


def test_more_experts_than_lanes_are_refused(tmp_path: Path) -> None:
    build = build_model(tmp_path, 0, experts=18, layers=1)
    with pytest.raises((DoesNotFit, InvalidInput)):
        chip_shape(build, lanes=LANES)


def test_the_command_refuses_before_it_writes(build: Build, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for options, said in (
        (["--simulate"], "give --prompt TEXT"),
        (["--prompt", "x"], "are for --simulate"),
        (["--stalls", "5"], "--stalls is for --simulate"),
        (["--lanes", "8"], "heads of 16 numbers"),
        (["--context", "70000"], "70000 positions"),
    ):
        code, _, err = run_cli("chip", build.directory, "-o", out, *options)
        assert code == 2
        assert said in err
        assert len(err.strip().splitlines()) == 1
        assert not out.exists()


def test_the_command_writes_a_chip(build: Build, tmp_path: Path) -> None:
    code, said, _ = run_cli(
        "chip", build.directory, "-o", tmp_path / "out", "--lanes", str(LANES), "--context",
        str(CONTEXT), "--sequences", str(SEQUENCES),
    )  # fmt: skip
    assert code == 0
    assert "28,096 weights in 15 arrays" in " ".join(said.split())
    listed = (tmp_path / "out" / "chip.f").read_text().split()
    assert all((tmp_path / "out" / path).is_file() for path in listed)
