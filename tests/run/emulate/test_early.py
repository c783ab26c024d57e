"""What positions decide: a table that grows gives the bits of every position asked for alone."""

from __future__ import annotations

import numpy as np
import pytest

from hnlpu.model.families import embed, unembed
from hnlpu.model.network import Builder, Given
from hnlpu.model.network.composites import rope, turns
from hnlpu.run.emulate import EarlyValues, FloatConstants, early_steps
from hnlpu.run.emulate._early import PositionTable


@pytest.fixture(scope="module")
def early() -> EarlyValues:
    b = Builder("turned")
    x = embed(b, "embedding", 8, 16)
    table = b.parameter("frequencies", (4,), Given((1.0, 0.3, 0.1, 0.01), (4,)))
    x = rope(x.reshape(2, 8), turns(b.position(), table)).reshape(16)
    network = b.finish(unembed(x, 8))
    tensors = {f"{name}.weight": np.zeros((8, 16), np.float32) for name in ("embedding", "lm_head")}
    constants = FloatConstants(network, tensors)
    found = early_steps(network)
    return EarlyValues(found, found.constants(constants.parameter), constants)


def test_a_table_gives_what_each_position_gives_alone(early: EarlyValues) -> None:
    table = PositionTable(early, ["position"])
    for asked in ([0], [3, 1, 2], [63], [64], list(range(50, 400, 7)), [399, 0], [5000]):
        found = table.values(np.array(asked))
        assert len(found) == 2  # cosines and sines
        for row, position in enumerate(asked):
            alone = early.by_position({"position": np.array([position])})
            assert alone.keys() == found.keys()
            assert all(alone[n][0].tobytes() == found[n][row].tobytes() for n in found)
