"""Shipped small models as whole chips: one in Verilator, the others' programs in Python.

Chips of all of them in Verilator: `python benchmarks/chip_tokens.py checkpoints/NAME`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from instruction_set import run
from rtl_arrays import needs

import hnlpu
from hnlpu.insight.verify import check_chip
from hnlpu.model.policy import make_policy
from hnlpu.run.emulate import hardwired
from hnlpu.silicon.hardwire import open_build
from hnlpu.silicon.rtl.chip import build_chip, chip_shape, write_chip

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
