"""The rate that cost takes for a network: users whose states the buffers hold."""

from __future__ import annotations

import pytest

from hnlpu.errors import InvalidInput
from hnlpu.model.families import network_of
from hnlpu.system.catalog import NetworkShape, load_system, shape_of_network
from hnlpu.system.cost import rate_bound
from hnlpu.system.machine import busy_machine, open_network


def mamba(state: int) -> NetworkShape:
    """A Mamba-2 whose states have so many numbers per channel."""
    config = {
        "model_type": "mamba2", "vocab_size": 512, "hidden_size": 512, "num_hidden_layers": 4,
        "num_heads": 16, "head_dim": 64, "state_size": state, "n_groups": 1,
    }  # fmt: skip
    return shape_of_network(network_of(config), "mamba")


def test_users_are_those_whose_states_fit() -> None:
    system = load_system("hnlpu-asplos26")
    small, large = mamba(64), mamba(2048)
    assert rate_bound(system, small, 1, 100).users == 24
    found = rate_bound(system, large, 1, 100)
    kept = 4 * (4 * (1024 + 2 * 2048) + 1024 * 2048) * 4  # bytes of one sequence
    assert found.users == int(320e6 // kept) == 9
    simulated = busy_machine(open_network(large), 100)
    assert simulated.admitted == found.users
    assert simulated.tokens_per_second <= found.tokens_per_second * 1.02
    with pytest.raises(InvalidInput, match="cannot keep the states of fixed size of one sequence"):
        rate_bound(system, mamba(60_000), 1, 100)
