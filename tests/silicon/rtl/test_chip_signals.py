"""Whole chips of signals in Verilator: answers are the emulator's, number for number, with stalls too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from rtl_arrays import needs

import hnlpu
from helpers import run_cli
from hnlpu.errors import UnsupportedArchitecture
from hnlpu.insight.verify import check_signal_chip
from hnlpu.model.network import Builder, Input
from hnlpu.model.policy import make_policy
from hnlpu.silicon.hardwire import open_build
from hnlpu.silicon.rtl.chip import ChipShape, build_chip, chip_shape, write_chip
from hnlpu.silicon.rtl.chip._lower import make_program
from hnlpu.silicon.rtl.chip._write import bench_options
from signal_samples import SignalSample, made_signals, write_signal_sample
from studies.cura.definition import Cura
from studies.lif.definition import Lif

ROOT = Path(__file__).parents[3]
SMALL = {"hidden_size": 6, "num_hidden_layers": 1}
CHIPS = {
    "lif": ({"input_size": 7, "output_size": 2, "task": "classify"}, lambda: Lif(7, 6, 2)),
    "cura": (
        {"input_size": 2, "output_size": 1, "task": "stream", "taps": 3, "inner_size": 5},
        lambda: Cura(2, 6, 5, 1, 3),
    ),
}
"""A class out of a spiking network's registers, numbers at every position of a delay line.

The class of a GRU is a figure of studies/gru_svm.
"""


@needs("verilator", "c++")
@pytest.mark.parametrize("family", CHIPS)
def test_answers_are_the_emulators(family: str, tmp_path: Path) -> None:
    torch.manual_seed(4)
    config, make = CHIPS[family]
    tensors = {name: x.detach().numpy() for name, x in make().state_dict().items()}
    for name in tensors:  # biases alone would say one thing for ever
        tensors[name] = tensors[name] * (1.0 if "beta" in name else 0.0 if "bias" in name else 4.0)
    of = SignalSample({"model_type": family, **SMALL, **config}, tensors, lambda x: x)
    events = family == "lif"
    policy = make_policy(activation_bits=2 if events else 8)
    build = open_build(
        hnlpu.build(write_signal_sample(of, tmp_path / "c"), tmp_path / "b", policy, workers=1)
    )
    shape = chip_shape(build, sequences=2, context=8, lanes=4)
    write_chip(build, tmp_path / "chip", shape)
    options = "".join(f"{line}\n" for line in bench_options("-O0"))
    (tmp_path / "chip" / "bench" / "chip.f").write_text(options)
    build_chip(tmp_path / "chip")
    sequences = [of.signals(count, count) for count in (8, 1, 5, 3, 8)]
    found = check_signal_chip(build, tmp_path / "chip", shape, sequences, stalls=(0, 40))
    assert found.fault == ""
    assert len(set(found.expected)) > 1  # a chip that says one thing proves little
    sizes = {"lif": [1] * 5, "cura": [8, 1, 5, 3, 8]}[family]
    assert [list(map(len, answers)) for answers in found.found] == [sizes] * 2


def test_two_inputs_are_refused_by_name() -> None:
    b = Builder("two")
    x, y = (b.input(Input(name, "data", (4,), "real")) for name in ("left", "right"))
    shape = ChipShape(b.finish(x + y), 4, (), 8, 4, 8, 2, 24, "regress")
    with pytest.raises(
        UnsupportedArchitecture, match=r"inputs left \[4\] real, right \[4\] real: a chip"
    ):
        make_program(shape)


@needs("verilator", "c++")
def test_what_a_chip_cannot_be_asked_is_said_before_it_is_written(tmp_path: Path) -> None:
    """Not behind minutes of compiling."""
    signals, text = made_signals("gru_svm"), ROOT / "checkpoints" / "gru-106k"
    build = hnlpu.build(text, tmp_path / "b", make_policy(activation_bits=8), workers=1)
    np.save(tmp_path / "x.npy", signals.sample.signals(9))
    for directory, options, said in (
        (build, ("--prompt", ""), "prompt 0 has 0 tokens"),
        (
            signals.build,
            ("--predict",),
            "cycles of signals: they are counted of chips that take",
        ),
        (build, ("--prompt", "a", "--temperature", "1e-9"), "temperature 1e-09"),
        (build, ("--prompt", "a", "--seed", str(2**64)), "take 0 to 2^64 - 1"),
        (signals.build, ("--input", tmp_path / "x.npy", "--context", "8"), "has 9 positions"),
    ):
        doing = () if "--predict" in options else ("-o", tmp_path / "out", "--simulate")
        code, _, told = run_cli("chip", directory, *doing, *options)
        assert (code, said in told, told.count("\n")) == (2, True, 1), told
        assert not (tmp_path / "out").exists()
