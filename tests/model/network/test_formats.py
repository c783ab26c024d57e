"""Fraction bits of a network's reals follow from its steps, as docs/vector-unit.md has the rules."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings

from hnlpu.model.families import network_of
from hnlpu.model.network import (
    AT_ONCE,
    WHOLE,
    Builder,
    Given,
    Input,
    Network,
    Replace,
    Value,
    check,
    constant_steps,
    done_at_once,
    formats,
    ops,
)
from network_samples import networks
from readers import CONFIGS, sample


@settings(max_examples=10, deadline=None)
@given(networks())
def test_every_real_has_one_of_three_formats(network: Network) -> None:
    found, types = formats(network), check(network)
    for step in network.steps:
        for name in step.outs:
            real = types[name].kind in ("real", "wide")
            assert found.of(name) in ((16, 20, 24) if real else (WHOLE, 16)), name
    for input_ in network.inputs:
        assert found.of(input_.name) == (WHOLE if input_.kind == "index" else 16)
    assert set(found.states.values()) <= {16, 20}


HYBRID = {"granitemoehybrid", "qwen3_next"}
RECURRENT = {"gru", "mamba", "mamba2", "rwkv7", *HYBRID}


@pytest.mark.parametrize("family", CONFIGS)
def test_what_each_family_keeps(family: str, tmp_path: Path) -> None:
    network = network_of(sample(family, 2, tmp_path).config)
    found = formats(network)
    recurrent, attends = family in RECURRENT, family in HYBRID or family not in RECURRENT
    kept = {20 if isinstance(s.keeps, Replace) else 16 for s in network.states}
    assert set(found.states.values()) == kept
    assert (20 in kept) == recurrent
    assert {found.of(name) for name in network.outputs} == {16}
    spans = {span.composite for span in done_at_once(network).values()}
    assert spans <= set(AT_ONCE)
    assert ("attend" in spans) == attends
    constants = {type(step.op) for step in constant_steps(network).values()}
    assert (ops.Table in constants) == (family in RECURRENT - {"gru", "rwkv7"})


def test_only_what_a_memory_takes_in_is_made_finer() -> None:
    b = Builder("sample")
    x, y = (b.input(Input(name, "data", (4,), "real")) for name in "xy")
    state = b.state("memory", (4,), Replace())
    shared = x * y
    alone = x * 2.0
    added = shared.reshape(2, 2).reshape(4) + alone
    after = b.read(state, "before") * y.table("sigmoid") + added
    b.write(state, after)
    found = formats(b.finish(after, shared + y))
    asked = {"after": after, "added": added, "alone": alone}
    assert {name: found.of(value.name) for name, value in asked.items()} == dict.fromkeys(asked, 20)
    assert found.of(shared.name) == 16  # others take it too


def test_an_exponent_is_fine_where_nothing_else_takes_it() -> None:
    def exponent(used_twice: bool) -> int:
        b = Builder("sample")
        x = b.input(Input("x", "data", (4,), "real"))
        a = b.parameter("a", (4,), Given((1.0,) * 4, (4,))).table("exp", -1.0)
        product = x.table("softplus") * a
        outs: list[Value] = [product.table("exp"), *([product] if used_twice else [])]
        return formats(b.finish(*outs)).of(product.name)

    assert (exponent(False), exponent(True)) == (24, 16)
