"""What studies measure can fail: each check sees a fault that is put before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from hnlpu.arithmetic import sharded as arithmetic
from hnlpu.model.network import Builder, Input, Network, ops
from studies.diagrams import run as diagrams
from studies.diagrams.count import by_diagram, by_torch
from studies.diagrams.models import random_model
from studies.diagrams.networks import NETWORKS, residual
from studies.mixers import scaling, sharded
from studies.nested import laws, lenses, mlp, systems


def test_a_diagram_of_another_network_counts_otherwise() -> None:
    network = residual(diagrams.SHORT)
    wider = residual(replace(diagrams.SHORT, channels=4))
    again = diagrams.round_trips(network, "x")
    assert {by_diagram(each, 1) for each in again} == {by_diagram(network, 1)}
    ours, others = by_diagram(network, 1), by_diagram(wider, 1)
    assert others.flops > ours.flops
    assert others.constant_bytes > ours.constant_bytes
    assert others.product_bytes > ours.product_bytes


@pytest.mark.parametrize("name", NETWORKS)
def test_a_wider_torch_model_is_seen(name: str) -> None:
    sizes = diagrams.SHORT
    model = random_model(name, replace(sizes, channels=6, width=24), 0)
    given = (
        torch.arange(sizes.tokens)
        if name == "transformer"
        else torch.zeros(1, 3, sizes.side, sizes.side)
    )
    _, cost = by_torch(model, given)
    ours = by_diagram(NETWORKS[name](sizes), sizes.tokens if name == "transformer" else 1)
    assert cost.flops > ours.flops > 0
    assert cost.constant_bytes > ours.constant_bytes > 0
    assert cost.product_bytes > ours.product_bytes > 0


def shifted(shapes: systems.Shapes) -> Network:
    """An identity that is none."""
    b = Builder("identity")
    given = [b.input(Input(f"x{n}", "data", s, "real")) for n, s in enumerate(shapes)]
    return b.finish(*(x * (1 + 2**-20) for x in given))


@pytest.mark.parametrize(
    ("law", "name", "fault"),
    [
        (laws.identities, "identity", shifted),
        (laws.lenses, "put", lambda keeps, x, states=None: systems.put(keeps, x[::-1], states)),
        (laws.wires, "ran", lambda network, data: ([np.random.default_rng().bytes(40)] * 9, [])),
        (laws.associative, "graph", lambda network: object()),
        (laws.nesting, "extract", lambda network, span: shifted(((2,),))),
    ],
)
def test_laws_can_be_broken(
    law: Callable[[int], bool], name: str, fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert all(law(seed) for seed in range(3))
    monkeypatch.setattr(laws, name, fault)
    with pytest.raises((AssertionError, ValueError, KeyError)):
        assert all(law(seed) for seed in range(3))


def test_graphs_of_other_systems_differ() -> None:
    made = [systems.system(np.random.default_rng(seed), ((2,),), ((3,),)) for seed in (0, 0, 1)]
    assert laws.graph(made[0]) == laws.graph(made[1])
    assert laws.graph(made[0]) != laws.graph(made[2])


def test_wirings_of_right_types_are_no_refusals() -> None:
    part = systems.identity(((2,),))
    assert not laws._refused("none of these", part, ((2,),))


def test_a_wrong_derivative_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = lenses._asks

    def wrong(op: ops.Op, args: list[Any], dy: Any) -> list[Any]:
        return [dy] if isinstance(op, ops.Table) else right(op, args, dy)

    assert mlp.differences(0)[1] < 1e-12
    monkeypatch.setattr(lenses, "_asks", wrong)
    assert mlp.differences(0)[1] > 1e-2


def test_parts_that_are_not_rescaled_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def unscaled(parts: list[arithmetic.PartialAttention]) -> arithmetic.PartialAttention:
        return arithmetic.PartialAttention(
            parts[0].largest, sum(p.total for p in parts), sum(p.mixed for p in parts)
        )  # fmt: skip

    monkeypatch.setattr(arithmetic, "merge", unscaled)
    found = sharded.compare([0], (2,), 40, 4, 8)
    assert found["difference"] > 1e-3
    assert found["exact_bits"] == 0
    assert found["orders"] > 0, "processes answered in one order only"


def test_the_formula_of_scaling_by_hand() -> None:
    by = scaling.Processor(4.0, 1000.0, 8.0, 64.0)
    of = scaling.Attention(2, heads=1, head_dim=1)
    assert of.flops == 16
    assert scaling.vanilla_seconds(of, by) == 16 / 4
    # each of two: half of the products; rows of a value, a maximum and a sum, half of them elsewhere
    assert scaling.sharded_seconds(of, by, 2) == 8 / 4 + 2 * 3 / 2 * 4 / 8
    assert scaling.vanilla_pairs(by, of) == 8
