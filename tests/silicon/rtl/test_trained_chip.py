"""The shipped small model as a whole chip: five prompts, 64 tokens each, at once and under stalls."""

from __future__ import annotations

from pathlib import Path

from rtl_arrays import needs

import hnlpu
from hnlpu.insight.verify import check_chip
from hnlpu.model.policy import make_policy
from hnlpu.silicon.hardwire import open_build
from hnlpu.silicon.rtl.chip import build_chip, chip_shape, write_chip

CHECKPOINT = Path(__file__).resolve().parents[3] / "checkpoints" / "stdlib-140k"
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
