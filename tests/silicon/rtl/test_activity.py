"""Activity of taps arrays in benchmarks: gates of netlists, neurons in phases, merged ports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hnlpu.silicon.embed import ArrayKind
from hnlpu.silicon.rtl import array_shape

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_gates_are_gates_and_no_adders() -> None:
    from netlists import Netlist

    rng = np.random.default_rng(0)
    given = {name: rng.integers(0, 1 << 63, 5).astype(np.uint64) for name in "abc"}
    net = Netlist()
    gate = net.any([net.both("a", "b"), "c"])
    found, toggles = net.activity(given, [gate])
    assert (found[gate] == (given["a"] & given["b"] | given["c"])).all()
    assert net.adder_outputs == []
    assert set(net.gates) < set(toggles)
    settled = np.bitwise_count(found[gate][1:] ^ found[gate][:-1]).sum() / 64 / 4
    assert toggles[gate] >= settled


@pytest.mark.parametrize("reach", [0, 2])
@pytest.mark.parametrize("fold", [1, 2, 4])
def test_neurons_in_phases_have_the_golden_integers(reach: int, fold: int) -> None:
    """Two phases are blocks, four are halves of blocks; the simulation asserts the products."""
    from activity import taps_neuron

    rng = np.random.default_rng(1)
    shape = array_shape(ArrayKind("taps", 1, 1, reach), 1, (2,), 4, fold)
    twice = rng.choice([-12, -8, -3, -1, 0, 1, 2, 6], 64)
    shifts = rng.integers(0, reach + 1, 2)
    vectors = rng.integers(-8, 8, (3, 64, 64))
    found = taps_neuron(shape, twice, shifts, vectors)
    assert found.adders > found.sums > 0
    assert (found.merge > 0) == (fold > 1)
    assert (found.turns > 0) == (fold > 1 and reach > 0)


def test_ports_of_phases_toggle_as_in_a_tree_of_gates() -> None:
    from activity import _merged
    from netlists import Netlist

    fold = 8
    words = np.random.default_rng(2).integers(0, 1 << 63, (40, 1)).astype(np.uint64)
    turns = np.arange(len(words)) % fold
    given = {f"p{n}": np.where(turns == n, words[:, 0], np.uint64(0)) for n in range(fold)}
    net = Netlist()
    merged = net.any(list(given))
    found, toggles = net.activity(given, [merged])
    assert (found[merged] == words[:, 0]).all()
    # paths are equally long, so that nothing toggles twice
    assert sum(toggles[gate] for gate in net.gates) == pytest.approx(_merged(words, fold))


def test_energy_grows_with_members_and_phases() -> None:
    """Members lengthen trunks, which all carry the product; phases toggle a trunk twice a one."""
    from activity import Energy, read_assumed, taps_energy
    from hnlpu.silicon.rtl import Synthesis, SynthesizedBlock
    from hnlpu.silicon.technology import load_technology

    rng = np.random.default_rng(3)
    codes = rng.integers(1, 8, (4, 64)).astype(np.uint8)
    shifts = rng.integers(0, 3, (4, 2))
    vectors = rng.integers(-8, 8, (3, 64, 64))

    def parts(bank: int, fold: int) -> dict[str, float]:
        shape = array_shape(ArrayKind("taps", 1, bank, 2), 4, (2,), 4, fold)
        taps = SynthesizedBlock("taps", 64, 0, 16, {}, 0.0, 0)
        adder = SynthesizedBlock("accumulator", 4, 0, 20, {}, 0.0, 0)
        return taps_energy(
            Synthesis(shape, (taps, adder)), load_technology("n5"), codes, shifts, vectors,
            Energy(read_assumed()), 500,
        )  # fmt: skip

    alone, bank, folded = parts(1, 1), parts(4, 1), parts(1, 2)
    assert bank["trunks"] == pytest.approx(4 * alone["trunks"])
    assert bank["ports"] == pytest.approx(4 * alone["ports"])
    assert bank["counts"] == alone["counts"]
    assert alone["selection"] == 0 < bank["selection"]
    assert alone["trunks"] < folded["trunks"]
    # generators shift once a step, and so do the low bits of accumulators
    assert alone["clocks"] < folded["clocks"] < 2 * alone["clocks"]
