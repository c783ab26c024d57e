"""Programs of several chips give the logits of the emulator on one, whatever the grid."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from machine_programs import run_machine
from network_chips import build_random

import hnlpu
from helpers import write_checkpoint
from hnlpu.errors import DoesNotFit, InvalidInput
from hnlpu.model.policy import make_policy
from hnlpu.run.emulate import hardwired
from hnlpu.silicon.hardwire import Build, open_build
from hnlpu.silicon.place import make_target
from hnlpu.silicon.rtl.chip import Op, Operand, chip_shape, make_program
from hnlpu.silicon.rtl.chip._program import AttentionSizes, parts_of_heads

EVEN: dict[str, Any] = {
    "hidden_size": 64, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 8,
    "intermediate_size": 64, "vocab_size": 64, "num_hidden_layers": 1,
}  # fmt: skip
CHANGES: dict[str, dict[str, Any]] = {
    "llama": EVEN,
    "mistral": EVEN | {"num_key_value_heads": 4},
    "qwen3": EVEN,
    "qwen3_moe": EVEN | {
        "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "mlp_only_layers": [],
    },
    "mamba2": {"num_heads": 8, "head_dim": 4, "hidden_size": 16, "vocab_size": 64, "state_size": 4},
    "gru": {"hidden_size": 64, "vocab_size": 64, "num_hidden_layers": 1},
}  # fmt: skip


def gpt_oss(folder: Path, chips: int, hidden: int = 64, heads: int = 4) -> Build:
    """Sinks, windows, experts that are spread over chips."""
    checkpoint = write_checkpoint(
        folder / "checkpoint", seed=0, layers=2, hidden=hidden, intermediate=32, heads=heads,
        kv_heads=heads, head_dim=16, experts=heads, active=2, vocab=64,
    )  # fmt: skip
    policy = make_policy("default", activation_bits=8, max_spread=2, requantize=True)
    return open_build(hnlpu.build(checkpoint, folder / "build", policy, make_target(chips=chips)))


def expect_the_emulators(build: Build, chips: int, lanes: int) -> None:
    shape = chip_shape(build, lanes=lanes, context=16, chips=chips)
    assert shape.chips == chips
    tokens = np.random.default_rng(1).integers(0, shape.vocabulary, 5)
    model = hardwired(build, numerics="chip").transformer
    wanted = model.logits(model.forward(tokens, model.new_cache()))
    assert run_machine(build, shape, tokens.tolist()).tolist() == wanted.tolist()


@pytest.mark.parametrize(
    ("name", "chips"), [*((name, 4) for name in CHANGES), ("llama", 2), ("gru", 2)]
)
def test_several_chips_give_the_emulators_logits(name: str, chips: int, tmp_path: Path) -> None:
    build = build_random(name, tmp_path, chips=chips, **CHANGES[name])
    expect_the_emulators(build, chips, 16)


@pytest.mark.parametrize(
    ("chips", "grid", "hidden"),
    [(2, (1, 2), 64), (4, (2, 2), 64), (8, (2, 4), 128), (16, (4, 4), 128)],
)
def test_gpt_oss_too(chips: int, grid: tuple[int, int], hidden: int, tmp_path: Path) -> None:
    # 16 chips have 8 experts: two share one, and each makes half of its outputs
    build = gpt_oss(tmp_path, chips, hidden, hidden // 16)
    assert build.manifest.placement.grid == grid
    expect_the_emulators(build, chips, 32)


def test_what_a_link_carries_is_what_is_missing(tmp_path: Path) -> None:
    shape = chip_shape(gpt_oss(tmp_path, 4), lanes=16, context=16)
    program = make_program(shape)
    sent = {
        program.reads[one.index].matrix
        for one in program.instructions
        if one.op == Op.SEND and one.operand != Operand.REGISTER
    }
    # every chip has the whole router, and experts whole or not at all: their outputs are told
    experts = {name for name in shape.slices if "experts" in name}
    assert sent == shape.exchanged - experts
    assert {name for name in shape.slices if name not in sent | experts} == {
        name for name in shape.slices if name.endswith("router")
    }
    # the program of one chip beside exchanges
    alone = chip_shape(gpt_oss(tmp_path / "alone", 1), lanes=16, context=16)
    one_chip = Counter(one.op for one in make_program(alone).instructions)
    others = {Op.SEND, Op.MEET, Op.PART, Op.LEAVE, Op.HAVE, Op.JOIN}
    several = Counter(one.op for one in program.instructions if one.op not in others)
    # of four heads, a beat each, a chip has one
    assert one_chip - several == Counter({Op.MIXED: 2 * 3})
    assert not several - one_chip
    # all parts of an exchange are sent, then nothing is held, then all are read, each once
    sending: list[int] = []
    for one in program.instructions:
        if one.op == Op.SEND and one.operand != Operand.REGISTER:
            assert one.b == len(sending)
            sending.append(one.index)
        if one.op in (Op.READ, Op.LOGITS) and one.both:
            assert sending[one.b] == one.index
        if one.op == Op.PART:
            sending = []


@pytest.mark.parametrize(
    ("sizes", "parts"),
    [
        ((4, 2, 16, 16, 2), 2), ((4, 2, 16, 16, 4), 4),  # a head a beat; two chips share a key head
        ((4, 2, 16, 64, 4), 4), ((8, 8, 16, 32, 4), 4),  # a beat has the heads of four chips, of one
        ((6, 2, 16, 16, 4), 1), ((6, 2, 16, 16, 3), 1),  # 6 among 4; 2 of 3 that share a key head
        ((6, 3, 16, 16, 3), 3), ((6, 3, 16, 64, 3), 3), ((6, 6, 16, 64, 2), 1),  # 48 of 64 lanes
        ((4, 2, 16, 16, 1), 1), ((2, 2, 16, 16, 4), 1),
    ],
)  # fmt: skip
def test_heads_are_divided_where_their_parts_fit_beats(
    sizes: tuple[int, int, int, int, int], parts: int
) -> None:
    heads, key_heads, size, width, _ = sizes
    assert parts_of_heads(*sizes) == parts
    found = AttentionSizes(heads, key_heads, size, 1, (), parts)
    every = range(-(-heads * size // width))
    assert {n: found.places(n, width) for n in every} == {
        beat: [
            place for place in range(parts)
            if any(h * size // width == beat for h in range(place * heads // parts, (place + 1) * heads // parts))
        ]
        for beat in every
    }  # fmt: skip


def test_unlike_chips_are_refused_by_name(tmp_path: Path) -> None:
    uneven = build_random("llama", tmp_path, chips=2, **(EVEN | {"vocab_size": 63}))
    with pytest.raises(DoesNotFit, match="lm_head is not cut into 2 equal slices"):
        chip_shape(uneven, lanes=16)
    with pytest.raises(InvalidInput, match="placed on 2 chips, not 3"):
        chip_shape(uneven, lanes=16, chips=3)
