"""The RTL of a build, simulated, every product held to the golden integers.

rtl       a neuron of every shape with its metal, both compiled
rtl all   every neuron of every array: silicon compiled, metal as its text says
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.insight.verify._check import Check, collect
from hnlpu.insight.verify._recorded import Recorded, record_activations
from hnlpu.silicon.hardwire import Build, Progress, TileReader
from hnlpu.silicon.rtl import (
    LANES,
    ArrayUnit,
    Programs,
    find_units,
    make_vectors,
    simulate,
    simulate_loaded,
    write_rtl,
)

VECTORS = 10_000
"""Random vectors that every simulated matrix takes, at least."""
TOKENS = 256
"""Tokens of the run whose activations are recorded."""


def check_rtl(
    build: Build, units: Sequence[ArrayUnit], seed: int, progress: Progress | None
) -> Check:
    """Simulate `units`, see `rtl.sample_units`; raises ToolMissing without a simulator."""
    return collect("rtl", "products", _simulate(build, units, seed, progress))


def _simulate(
    build: Build, units: Sequence[ArrayUnit], seed: int, progress: Progress | None
) -> Iterator[tuple[int, str | None]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "rtl"
        write_rtl(build, folder, units, VECTORS, seed)
        for done, unit in enumerate(units):
            if progress:
                progress(unit.array.matrix, done, len(units))
            found = simulate(folder, unit)
            fault = f"{unit.array.matrix}, neuron {unit.array.neurons[0]}: {found.fault}"
            yield found.vectors * unit.shape.neurons, fault if found.fault else None


def check_all_rtl(build: Build, seed: int, workers: int, progress: Progress | None) -> Check:
    """Simulate every neuron of every array on random and recorded vectors.

    Raises ToolMissing without a simulator.
    """
    return collect("rtl all", "products", _simulate_all(build, seed, workers, progress))


def _simulate_all(
    build: Build, seed: int, workers: int, progress: Progress | None
) -> Iterator[tuple[int, str | None]]:
    units = find_units(build)
    recorded = record_activations(build, TOKENS, seed)
    reader = TileReader(build)
    total, done = sum(unit.shape.weights for unit in units), 0
    with tempfile.TemporaryDirectory() as name:
        folder, programs = Path(name) / "rtl", Programs(Path(name))
        write_rtl(build, folder, units, vectors=0)
        for unit in units:
            matrix, shape = unit.array.matrix, unit.shape
            if progress:
                progress(matrix, done, total)
            program, weights = programs.find(unit), reader.weights(unit.whole)
            count = -(-VECTORS // LANES) * LANES * shape.kind.bank
            vectors = make_vectors(shape, weights, count, seed, _of_unit(recorded, unit))
            found = simulate_loaded(program, folder, unit, vectors, weights, workers)
            done += shape.weights
            fault = f"{matrix}, chip {unit.array.chip}: {found.fault}" if found.fault else None
            yield found.vectors * shape.neurons, fault


def _of_unit(recorded: Recorded, unit: ArrayUnit) -> list[npt.NDArray[np.int32]]:
    """What was recorded at the inputs of an array, by member."""
    array = unit.array
    inputs = slice(array.blocks[0] * BLOCK, array.blocks[1] * BLOCK)
    return [recorded[array.matrix][member][:, inputs] for member in range(*array.members)]
