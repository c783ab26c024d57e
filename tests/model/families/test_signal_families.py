"""What every family of signals promises: torch's numbers, states to the bit, every tensor and key minded."""

from __future__ import annotations

import numpy as np
import pytest

from hnlpu.errors import InvalidConfig, UnsupportedArchitecture
from hnlpu.model.families import families, network_of
from hnlpu.model.network import chosen_leaves, dump, leaf_tensors, load
from hnlpu.run.emulate import FloatConstants, Interpreter, States, open_signal_model
from hnlpu.silicon.hardwire import open_build
from run.emulate.test_chip_networks_by_hand import by_hand_of
from signal_samples import MAKERS, SignalSample, made_signals, signal_sample

FAMILIES = list(MAKERS)


def opened(of: SignalSample) -> Interpreter:
    network = network_of(of.config)
    return Interpreter(network, FloatConstants(network, of.tensors))


def after(runs: Interpreter, x: np.ndarray, states: States) -> tuple[bytes, States]:
    (found,), states = runs.run({"signals": x}, states)
    return found.tobytes(), states


def bits(states: States) -> dict[str, bytes]:
    return {name: entries.tobytes() for name, entries in states.entries.items()}


def test_every_family_of_signals_is_here() -> None:
    assert {name for name, family in families().items() if not family.of_text} == set(FAMILIES)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("family", FAMILIES)
def test_outputs_are_those_of_torch(family: str, seed: int) -> None:
    model = signal_sample(family, seed)
    runs, x = opened(model), model.signals(13, seed)
    (found,), _ = runs.run({"signals": x}, runs.start())
    expected = model.outputs(x)
    assert expected.std() > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_tensor_is_taken_once_and_whole(family: str) -> None:
    model = signal_sample(family, 0)
    network = network_of(model.config)
    sources = [p.source for p in network.parameters]
    for matrix in network.matrices:
        sources += [matrix.source, *([matrix.bias] if matrix.bias is not None else [])]
    taken: dict[str, tuple[int, ...]] = {}
    for source in sources:
        for leaf in chosen_leaves(source, model.tensors.__contains__):
            taken |= leaf_tensors(leaf)
    assert taken == {name: tensor.shape for name, tensor in model.tensors.items()}
    assert load(dump(network)) == network


@pytest.mark.parametrize("family", FAMILIES)
def test_any_split_save_and_rewind_gives_the_same_bits(family: str) -> None:
    model = signal_sample(family, 2)
    runs, x = opened(model), model.signals(12, 2)
    whole, end = after(runs, x, runs.start())
    for split in ([1, 2, 3], [5], list(range(1, 12))):
        states, said = runs.start(), b""
        for piece in np.split(x, split):
            more, states = after(runs, piece, states)
            said += more
        assert said == whole
        assert bits(states) == bits(end)
    _, saved = after(runs, x[:5], runs.start())
    expected, _ = after(runs, x[5:], saved)
    astray, _ = after(runs, model.signals(7, 9), saved)
    assert after(runs, x[5:], saved)[0] == expected != astray
    assert after(runs, x[5:], runs.start())[0] != expected  # the control: the states do matter


@pytest.mark.parametrize("family", FAMILIES)
def test_a_tape_has_the_bits_of_the_interpreter(family: str) -> None:
    made = made_signals(family)
    model = open_signal_model(made.build)
    assert model.taped is not None
    x = {"signals": made.sample.signals(11)}
    first, states = model.run({"signals": x["signals"][:4]}, model.start())
    second, end = model.run({"signals": x["signals"][4:]}, states)
    (expected,), kept = model.interpreter.run(x, model.start())
    assert np.concatenate([first, second]).tobytes() == np.asarray(expected, np.float32).tobytes()
    assert bits(end) == bits(kept)


@pytest.mark.parametrize("family", FAMILIES)
def test_chip_numerics_are_those_of_the_page(family: str) -> None:
    """Integer for integer those of the definition by hand, and near the float ones."""
    made = made_signals(family)
    chip, floats = (open_signal_model(made.build, numerics=n) for n in ("chip", "float"))
    x = made.sample.signals(6)
    found, states = chip.run({"signals": x}, chip.start())
    hand = by_hand_of(open_build(made.build))
    values = np.rint(x.astype(np.float64) * 65536).astype(np.int64)
    expected = [hand.run(data={"signals": row.tolist()})[0] for row in values]
    assert (found * 65536).tolist() == np.array(expected, float).tolist()
    for name, entries in states.entries.items():
        assert entries.tolist() == hand.still_kept(name, len(entries))
    near, _ = floats.run({"signals": x}, floats.start())
    np.testing.assert_allclose(found, near, atol=0.02)


@pytest.mark.parametrize("family", FAMILIES)
def test_keys_are_minded(family: str) -> None:
    config = signal_sample(family, 0).config
    with pytest.raises(UnsupportedArchitecture, match="vocab_size = 3"):
        network_of(config | {"vocab_size": 3})
    with pytest.raises(UnsupportedArchitecture, match="task is 'guess'"):
        network_of(config | {"task": "guess"})
    for key in ("input_size", "hidden_size", "output_size"):
        with pytest.raises(InvalidConfig, match=key):
            network_of(config | {key: 0})
