"""Shipped small models as whole chips: one in Verilator, the others' programs in Python.

Chips of all of them in Verilator: `python benchmarks/chip_tokens.py checkpoints/NAME`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from instruction_set import run
from rtl_arrays import needs

import hnlpu
from hnlpu.errors import InvalidInput
from hnlpu.insight.verify import check_chip
from hnlpu.model.policy import make_policy
from hnlpu.run.emulate import hardwired
from hnlpu.silicon.hardwire import open_build
from hnlpu.silicon.rtl.chip import (
    ChipRequest,
    Work,
    array_steps,
    build_chip,
    chip_shape,
    predict_cycles,
    simulate_chip,
    token_cycles,
    write_chip,
)

CHECKPOINTS = Path(__file__).resolve().parents[3] / "checkpoints"
CHECKPOINT = CHECKPOINTS / "stdlib-140k"
PROMPTS = ["import os\n\ndef ", "    for ", "try:\n", "    return ", "        self."]


@needs("verilator", "c++")
def test_the_trained_chip_talks_as_the_emulator_does(tmp_path: Path) -> None:
    policy = make_policy("default", activation_bits=8)
    build = open_build(hnlpu.build(CHECKPOINT, tmp_path / "build", policy))
    shape = chip_shape(build)
    written = write_chip(build, tmp_path / "chip", shape)
    assert written.weights >= 100_000
    build_chip(tmp_path / "chip")
    greedy = check_chip(build, tmp_path / "chip", shape, PROMPTS, max_tokens=64, stalls=(0, 40))
    assert greedy.fault == ""
    assert [len(answer.expected) for answer in greedy.answers] == [64] * 5
    drawn = check_chip(
        build, tmp_path / "chip", shape, PROMPTS[:2], max_tokens=40, temperature=0.8, seed=5
    )
    assert drawn.fault == ""
    assert drawn.answers[0].expected != greedy.answers[0].expected[:40]
    steps = array_steps(build)
    for users, prompt, answer in ((1, 1, 8), (1, 30, 2), (3, 12, 4), (6, 5, 4)):
        asked = [tuple((7 * n + 11 * k) % 256 for k in range(prompt)) for n in range(users)]
        counted = simulate_chip(tmp_path / "chip", [ChipRequest(ids, answer) for ids in asked])
        works = [Work(prompt, len(made)) for made in counted.tokens]
        assert predict_cycles(shape, steps, works) == counted.cycles, (users, prompt, answer)
    for stall, ran in drawn.runs:
        assert stall == 0
        ids = [len(answer.prompt) for answer in drawn.answers]
        drew = [Work(n, len(t), True, t) for n, t in zip(ids, ran.tokens, strict=True)]
        assert predict_cycles(shape, steps, drew) == ran.cycles


VERILATOR = {"stdlib-140k": 141_573, "llama-90k": 114_696, "qwen3-90k": 153_103, "gru-106k": 32_678}
"""Cycles that Verilator counts for PROMPTS and 64 tokens each (docs/chip.md, benchmarks/chip_tokens.py)."""


LOADS = {
    (1, 40, 8): 35_009, (1, 200, 8): 188_929, (4, 1, 8): 10_522, (4, 100, 8): 137_735, (5, 12, 16): 53_507,
}  # fmt: skip
"""The same of stdlib-140k for (users, tokens of each prompt, tokens of each answer)."""


def test_cycles_of_several_contexts_and_users_are_verilators(tmp_path: Path) -> None:
    policy = make_policy("default", activation_bits=8)
    build = open_build(hnlpu.build(CHECKPOINT, tmp_path / "build", policy))
    shape, steps = chip_shape(build), array_steps(build)
    found = {
        load: predict_cycles(shape, steps, [Work(load[1], load[2])] * load[0]) for load in LOADS
    }
    assert found == LOADS


@pytest.mark.parametrize("name", VERILATOR)
def test_cycles_of_other_families_are_verilators(name: str, tmp_path: Path) -> None:
    policy = make_policy("default", activation_bits=8)
    build = open_build(hnlpu.build(CHECKPOINTS / name, tmp_path / "build", policy))
    encode = hardwired(build, numerics="chip").encode
    works = [Work(len(encode(prompt)), 64) for prompt in PROMPTS]
    assert predict_cycles(chip_shape(build), array_steps(build), works) == VERILATOR[name]


def test_what_no_chip_is_asked_has_no_cycles(tmp_path: Path) -> None:
    build = open_build(hnlpu.build(CHECKPOINTS / "gru-106k", tmp_path / "build"))
    shape = chip_shape(build, context=16)
    steps = array_steps(build)
    for works, says in (
        ([], "no requests"),
        ([Work(0, 1)], "at least one token"),
        ([Work(10, 8)], "pass the chip's 16 positions"),
    ):
        with pytest.raises(InvalidInput, match=says):
            predict_cycles(shape, steps, works)
    # alone, a token of a GRU takes the same time wherever it stands
    assert token_cycles(build, shape, 1, 1) == token_cycles(build, shape, 1, 8)
    assert token_cycles(build, shape, 4, 1) > token_cycles(build, shape, 1, 1)
    with pytest.raises(InvalidInput, match=r"5 users .* give 1 to 4 users"):
        token_cycles(build, shape, 5, 1)


@pytest.mark.parametrize("name", ["llama-90k", "qwen3-90k", "gru-106k"])
def test_programs_of_trained_models_give_the_emulators_logits(name: str, tmp_path: Path) -> None:
    policy = make_policy("default", activation_bits=8)
    build = open_build(hnlpu.build(CHECKPOINTS / name, tmp_path / "build", policy))
    model = hardwired(build, numerics="chip")
    tokens = model.encode(PROMPTS[0])
    found = run(build, chip_shape(build), tokens.tolist())
    hidden = model.transformer.forward(tokens, model.transformer.new_cache())
    assert found.tolist() == model.transformer.logits(hidden).tolist()
    [likeliest] = model.generate(PROMPTS[0], max_tokens=1)
    assert int(found[-1].argmax()) == likeliest.id
