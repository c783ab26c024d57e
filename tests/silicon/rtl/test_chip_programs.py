"""Programs of chips, run instruction by instruction, give the logits of the emulator."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import moved_networks
import numpy as np
import odd_network
import pytest
from chips import build_model, shape_of
from instruction_set import run
from moved_networks import MOVED, family
from moving_networks import moving_family
from network_chips import CONFIGS, build_random, random_config, small_shape
from random_networks import PIECE, random_family
from test_trained_chip import CHECKPOINT

import hnlpu
from hnlpu.errors import UnsupportedArchitecture
from hnlpu.model.families import embed, linear, unembed
from hnlpu.model.network import Builder, Cut, Given, Network, Tensor, Value, ops
from hnlpu.model.network.composites import attend, dense, rope, softmax, turns
from hnlpu.model.policy import make_policy
from hnlpu.run.emulate import hardwired
from hnlpu.silicon.hardwire import Build, open_build
from hnlpu.silicon.rtl.chip import ChipShape, Op, chip_shape, make_program
from hnlpu.silicon.rtl.chip._tables import program


def digest(shape: ChipShape) -> str:
    # words had a bit less before there were instructions for several chips; nothing else has changed
    text = program(make_program(shape))
    for now, then in (("103'h", "102'h"), ("103 bits", "102 bits"), ("[102:0]", "[101:0]")):
        assert now in text
        text = text.replace(now, then)
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_shipped_models_program_is_what_it_was(tmp_path: Path) -> None:
    policy = make_policy("default", activation_bits=8)
    build = open_build(hnlpu.build(CHECKPOINT, tmp_path / "build", policy))
    shape = chip_shape(build)
    assert digest(shape) == "625d55309f8afe311acf4555530573eb0a13b91697cd9b2a15185241797cec0d"
    assert make_program(shape).registers == 14


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "a838c898092f74fc878a9f689c642a7afc1c26a9df1544de0873eacef678ed9e"),
        (
            {"layers": 3, "hidden": 96, "intermediate": 64, "heads": 4, "active": 3},
            "59c703ffcca810c7c4ee9f9e22ec0c799a67465c470f91bbd66d32293d33016a",
        ),
    ],
)
def test_programs_of_gpt_oss_are_what_they_were(
    changes: dict[str, int], said: str, tmp_path: Path
) -> None:
    assert digest(shape_of(build_model(tmp_path, 0, **changes))) == said


def expect_the_emulators(build: Build, shape: ChipShape, count: int = 9) -> None:
    tokens = np.random.default_rng(1).integers(0, shape.vocabulary, count)
    model = hardwired(build, numerics="chip").transformer
    wanted = model.logits(model.forward(tokens, model.new_cache()))
    found = run(build, shape, tokens.tolist())
    assert found.tolist() == wanted.tolist()
    assert len(np.unique(wanted)) > wanted.size // 4


@pytest.mark.parametrize("name", CONFIGS)
def test_programs_give_the_emulators_logits(name: str, tmp_path: Path) -> None:
    build = build_random(name, tmp_path)
    expect_the_emulators(build, small_shape(build))


def test_gpt_oss_too(tmp_path: Path) -> None:
    build = build_model(tmp_path, 3)
    expect_the_emulators(build, shape_of(build))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", CONFIGS)
def test_random_shapes(name: str, seed: int, tmp_path: Path) -> None:
    changes, lanes = random_config(name, np.random.default_rng(seed))
    build = build_random(name, tmp_path, seed, **changes)
    expect_the_emulators(build, chip_shape(build, lanes=lanes, context=16), 5)


@pytest.mark.parametrize(("swapped", "lanes"), [(False, 16), (False, 32), (True, 8)])
def test_a_network_of_no_family(swapped: bool, lanes: int, tmp_path: Path) -> None:
    config = odd_network.CONFIG | {"swapped": swapped}
    build = build_random(config, tmp_path, family=odd_network.FAMILY)
    shape = chip_shape(build, lanes=lanes)
    assert shape.context == 1024
    expect_the_emulators(build, shape)


@pytest.mark.parametrize("seed", range(2))
def test_pieces_that_change_places_in_their_registers(seed: int, tmp_path: Path) -> None:
    build = build_random(odd_network.CONFIG, tmp_path, seed, family=odd_network.TRADING)
    expect_the_emulators(build, chip_shape(build, lanes=8))


def test_a_state_whose_own_pieces_move_on(tmp_path: Path) -> None:
    build = build_random(odd_network.CONFIG, tmp_path, family=odd_network.DELAYING)
    expect_the_emulators(build, chip_shape(build, lanes=8))


@pytest.mark.parametrize("seed", range(24, 32))
def test_drawn_networks_of_no_family(seed: int, tmp_path: Path) -> None:
    build = build_random(odd_network.CONFIG, tmp_path, family=random_family(seed))
    expect_the_emulators(build, chip_shape(build, lanes=PIECE), 5)


def test_pieces_within_a_beat(tmp_path: Path) -> None:
    config = odd_network.CONFIG | {"swapped": True}
    build = build_random(config, tmp_path, family=odd_network.FAMILY)
    shape = chip_shape(build, lanes=16)
    assert make_program(shape).uses(Op.MOVE)
    expect_the_emulators(build, shape)


@pytest.mark.parametrize("lanes", [8, 32])
@pytest.mark.parametrize("name", MOVED)
def test_numbers_that_change_lanes(name: str, lanes: int, tmp_path: Path) -> None:
    build = build_random(moved_networks.CONFIG, tmp_path, family=family(MOVED[name]))
    expect_the_emulators(build, chip_shape(build, lanes=lanes), 5)


@pytest.mark.parametrize("seed", range(10))
def test_drawn_networks_whose_numbers_move(seed: int, tmp_path: Path) -> None:
    build = build_random(moved_networks.CONFIG, tmp_path, family=moving_family(seed))
    expect_the_emulators(build, chip_shape(build, lanes=(8, 32)[seed % 2]), 4)


def test_a_chip_is_found_out_if_its_program_is_not_the_networks(tmp_path: Path) -> None:
    build, other = build_random("gru", tmp_path), build_random("gru", tmp_path, 1)
    shape = small_shape(build)
    assert run(build, shape, [3, 4]).tolist() != run(other, shape, [3, 4]).tolist()


def shape_for(network: Network) -> ChipShape:
    return ChipShape(network, 20, (), 8, 16, 32, 2, 24)


def decoded(middle: Callable[[Builder, Value], Value]) -> Network:
    """A network of one step or composite between embedding and unembedding."""
    b = Builder("one", context=32)
    x = embed(b, "embedding", 20, 16)
    with b.block(0):
        x = middle(b, x)
    return b.finish(unembed(x, 20))


def attention(width: int = 8, **options: Any) -> Callable[[Builder, Value], Value]:
    def middle(b: Builder, x: Value) -> Value:
        heads = x.reshape(2, 8)
        matrix = b.matrix(linear("v", 2 * width, 16, "attention", Cut("copy")))
        values = dense(x, matrix).reshape(2, width)
        return attend(heads, heads, values, scale=0.5, **options).reshape(2 * width)

    return middle


def differently_turned(b: Builder, x: Value) -> Value:
    x = x.reshape(2, 8)
    for name, scale in (("slow", 1.0), ("quick", 1.25)):
        table = b.parameter(name, (4,), Given((1.0, 0.5, 0.25, 0.125), (4,)))
        x = rope(x, turns(b.position(), table, scale))
    return x.reshape(16)


def parameter(b: Builder, n: int, name: str = "w") -> Value:
    return b.parameter(name, (n,), Tensor(name, (n,)))


REFUSED: dict[str, tuple[Callable[[Builder, Value], Value], str]] = {
    "log": (lambda b, x: x.table("log"), "log of layer 0"),
    "softmax": (lambda b, x: softmax(x), "softmax of layer 0"),
    "root": (lambda b, x: b.step(ops.InverseRoot(), x), "inverse_root of layer 0"),
    "top": (lambda b, x: x + b.steps(ops.TopK(1), x, outs=2)[0], "top_k of layer 0"),
    "wide": (lambda b, x: x + b.step(ops.Sum(-1, True, True), x), "sum of layer 0"),
    "constant": (
        lambda b, x: x + parameter(b, 16).table("gelu"),
        "gelu of layer 0 .*parameters alone",
    ),
    "differently": (differently_turned, "turns of layer 0 .*a factor of 1.25 beside one of 1"),
    "softcap": (attention(softcap=30.0), "attend of layer 0 .*soft cap"),
    "narrow": (attention(width=4), "attend of layer 0 .*values of 4"),
    "far": (lambda b, x: x.shift(40), "shift of layer 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_instruction_does_is_refused_by_its_name(name: str) -> None:
    middle, said = REFUSED[name]
    with pytest.raises(UnsupportedArchitecture, match=f"^hnlpu chip: {said}") as raised:
        make_program(shape_for(decoded(middle)))
    assert "\n" not in str(raised.value)
    assert "hnlpu rtl writes the arrays of any network" in str(raised.value)


def test_units_that_are_not_used_are_left_out(tmp_path: Path) -> None:
    build = build_random("gru", tmp_path)
    found = make_program(small_shape(build))
    assert (found.attention, found.rope, found.experts, found.norms.epsilons) == (
        None,
        None,
        None,
        (),
    )
    assert not found.uses(Op.SQUARES)
    build = build_random("qwen3", tmp_path, 1)
    found = make_program(small_shape(build))
    assert found.uses(Op.SQUARES, banked=True)
    assert found.attention is not None
    assert found.attention.sinks == ()
