"""Chips of every family that has the operations: their programs give the emulator's logits."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_chip_programs import expect_the_emulators

import hnlpu
from hnlpu.errors import DoesNotFit, UnsupportedArchitecture
from hnlpu.model.policy import make_policy
from hnlpu.silicon.hardwire import Build, open_build
from hnlpu.silicon.place import make_target
from hnlpu.silicon.rtl.chip import chip_shape, make_program
from readers import CONFIGS, sample, write_sample

CHIPS = (
    "granite", "granitemoe", "gru", "llama", "mamba", "mamba2", "mistral", "mixtral", "olmo2", "olmo3", "phi3", "qwen2",
    "qwen2_moe", "qwen3", "qwen3_moe", "smollm3",
)  # fmt: skip
REFUSED = {
    "bitnet": "round of layer 0", "deepseek_v3": "project of layer 0", "gemma2": "attend of layer 0",
    "gemma3_text": "mul ", "granitemoehybrid": "attend of layer 1 .*heads of 20", "qwen3_next": "norm of layer 0 .*heads of 9", "rwkv7": "layer_norm of layer 0",
}  # fmt: skip
SEED = 2
"""Its heads have a power of two of numbers in all of these."""


def build_of(family: str, folder: Path) -> Build:
    checkpoint = write_sample(sample(family, SEED, folder / "written"), folder / "checkpoint")
    policy = make_policy(experts="mxfp4x2", activation_bits=8)
    target = make_target(chips=1)
    return open_build(hnlpu.build(checkpoint, folder / "build", policy, target, workers=1))


@pytest.mark.parametrize("family", CHIPS)
def test_programs_give_the_emulators_logits(family: str, tmp_path: Path) -> None:
    build = build_of(family, tmp_path)
    expect_the_emulators(build, chip_shape(build, lanes=64, context=32), 7)


@pytest.mark.parametrize("family", REFUSED)
def test_what_a_family_lacks_is_named(family: str, tmp_path: Path) -> None:
    build = build_of(family, tmp_path)
    with pytest.raises(
        (UnsupportedArchitecture, DoesNotFit), match=f"^hnlpu chip: {REFUSED[family]}"
    ):
        make_program(chip_shape(build, lanes=64, context=32))


def test_no_family_is_left_out() -> None:
    assert {*CHIPS, *REFUSED, "gpt_oss"} == set(CONFIGS)
