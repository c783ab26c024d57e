"""Serial regions are where a position needs what the one before left, and nowhere else."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings

from helpers import make_config
from hnlpu.model.families import network_of
from hnlpu.model.network import Network, ops, regions
from network_samples import networks

GRU = {"model_type": "gru", "vocab_size": 9, "hidden_size": 32, "num_hidden_layers": 2}
MAMBA = {
    "model_type": "mamba2", "vocab_size": 9, "hidden_size": 32, "num_hidden_layers": 2,
    "num_heads": 4, "head_dim": 16, "state_size": 8, "n_groups": 2,
}  # fmt: skip


def serial_ops(config: dict[str, Any]) -> list[list[type]]:
    network = network_of(config)
    return [
        [type(step.op) for step in network.steps[region.start : region.stop]]
        for region in regions(network)
        if region.serial
    ]


def test_attention_is_never_serial() -> None:
    assert serial_ops(make_config()) == []


def test_a_state_space_is_serial_in_its_memory_alone() -> None:
    first, second = serial_ops(MAMBA)
    assert first == second
    assert ops.Project not in first
    assert first == [ops.Read, ops.Mul, ops.Outer, ops.Add, ops.Write]


def test_a_recurrence_is_serial_with_its_matrix() -> None:
    for region in serial_ops(GRU):
        assert region.count(ops.Project) == 1  # that of the hidden state, not that of the input
        assert region[0] == ops.Read
        assert region[-1] == ops.Write


@settings(max_examples=15, deadline=None)
@given(networks())
def test_regions_cover_all_steps_in_order(network: Network) -> None:
    found = regions(network)
    assert [n for r in found for n in range(r.start, r.stop)] == list(range(len(network.steps)))
    assert all(a.serial != b.serial for a, b in itertools.pairwise(found))
    for region in found:
        reads = [
            step for step in network.steps[region.start : region.stop]
            if isinstance(step.op, ops.Read) and step.op.when == "before"
        ]  # fmt: skip
        assert bool(reads) == region.serial


@pytest.mark.parametrize("kind", [GRU, MAMBA])
def test_every_read_before_stands_with_its_write(kind: dict[str, Any]) -> None:
    network = network_of(kind)
    place = {n: r for r in regions(network) for n in range(r.start, r.stop)}
    for n, step in enumerate(network.steps):
        if isinstance(step.op, ops.Read) and step.op.when == "before":
            write = network.steps.index(
                next(s for s in network.steps if s.op == ops.Write(step.op.state))
            )
            assert place[n] == place[write]
