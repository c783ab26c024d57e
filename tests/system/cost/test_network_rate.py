"""The closed form of a network: users whose states the buffers hold."""

from __future__ import annotations

import pytest

from hnlpu.errors import InvalidInput
from hnlpu.model.families import network_of
from hnlpu.system.catalog import NetworkShape, load_system, shape_of_network
from hnlpu.system.machine import ClosedForm, busy_machine, closed_form, machine_target, open_network


def mamba(state: int) -> NetworkShape:
    """A Mamba-2 whose states have so many numbers per channel."""
    config = {
        "model_type": "mamba2", "vocab_size": 512, "hidden_size": 512, "num_hidden_layers": 4,
        "num_heads": 16, "head_dim": 64, "state_size": state, "n_groups": 1,
    }  # fmt: skip
    return shape_of_network(network_of(config), "mamba")


def rate(shape: NetworkShape) -> ClosedForm:
    """On one chip like those of the published machine."""
    target = machine_target(load_system("hnlpu-asplos26"), shape, 1e6)
    return closed_form(target.specification, shape, 100)


def test_users_are_those_whose_states_fit() -> None:
    small, large = mamba(64), mamba(2048)
    assert rate(small).users == 24
    found = rate(large)
    kept = 4 * (4 * (1024 + 2 * 2048) + 1024 * 2048) * 4  # bytes of one sequence
    assert found.users == int(320e6 // kept) == 9
    simulated = busy_machine(open_network(large), 100)
    assert simulated.admitted == found.users
    assert simulated.tokens_per_second <= found.tokens_per_second
    spec = open_network(large).specification
    assert simulated.bound == closed_form(spec, large, 100).tokens_per_second
    with pytest.raises(InvalidInput, match=r"one sequence needs .* MB for states of fixed size"):
        rate(mamba(60_000))
