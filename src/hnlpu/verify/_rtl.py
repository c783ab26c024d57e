"""The RTL of a build: sampled neurons simulated, every product held to the golden integers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from hnlpu.hardwire import Build, Progress
from hnlpu.rtl import Unit, simulate, write_rtl
from hnlpu.verify._check import Check, collect

VECTORS = 10_000
"""Vectors that every simulated array takes."""


def check_rtl(build: Build, units: Sequence[Unit], seed: int, progress: Progress | None) -> Check:
    """Simulate `units`, see `hnlpu.rtl.sample_units`; raises ToolMissing without a simulator."""
    return collect("rtl", "products", _simulate(build, units, seed, progress))


def _simulate(
    build: Build, units: Sequence[Unit], seed: int, progress: Progress | None
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
