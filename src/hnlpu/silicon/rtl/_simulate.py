"""The bench of an array, built by Verilator and run -> a verdict: every product held to golden's."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from hnlpu._programs import first_line
from hnlpu.silicon.rtl._compiler import require_simulator, verilate
from hnlpu.silicon.rtl._design import ArrayUnit
from hnlpu.silicon.rtl._tools import run_tool
from hnlpu.silicon.rtl._vectors import LANES

STALLS = (0, 40)
"""Percent of cycles in which `in_valid` and `out_ready` are withheld, one run each."""


@dataclass(frozen=True)
class ArraySimulation:
    """What the bench of one array found.

    `vectors` went through in every run of `STALLS`; `macs` are multiply-accumulates of the run
    without stalls, `seconds` its time; `fault` is empty where every product was right.
    """

    name: str
    vectors: int
    macs: int
    cycles: int
    seconds: float
    build_seconds: float
    fault: str

    @property
    def macs_per_second(self) -> float:
        """Of the run without stalls."""
        return self.macs / self.seconds if self.seconds else 0.0


def simulate(
    folder: str | Path, unit: ArrayUnit, timeout_s: float = 1200, cycle_limit: int | None = None
) -> ArraySimulation:
    """Build and run the bench that `write_rtl` put into `folder`.

    A run that is not through after `cycle_limit` cycles (100 products a vector, unless given) ends
    with the state of the handshakes.

    Raises ToolMissing without Verilator, a C++ compiler or make.
    """
    require_simulator()
    folder = Path(folder)
    objects = folder / f"obj_{unit.name}"
    began = time.monotonic()
    try:
        built = verilate(f"bench/{unit.name}.f", folder, timeout_s, plain=True)
        build_seconds = time.monotonic() - began
        if built is None:
            return _failed(unit, build_seconds, f"Verilator took more than {timeout_s:.0f} s")
        if built.returncode:
            return _failed(unit, build_seconds, f"Verilator: {first_line(built.stderr)}")
        return _run(folder, unit, build_seconds, timeout_s, cycle_limit)
    finally:
        shutil.rmtree(objects, ignore_errors=True)


def _run(
    folder: Path, unit: ArrayUnit, build_seconds: float, timeout_s: float, cycle_limit: int | None
) -> ArraySimulation:
    runs = []
    for stall in STALLS:
        command = [f"./obj_{unit.name}/bench", f"bench/{unit.name}.bin", str(stall)]
        command += [] if cycle_limit is None else [str(cycle_limit)]
        found = run_tool(command, folder, timeout_s)
        if found is None:
            return _failed(unit, build_seconds, f"the simulation took more than {timeout_s:.0f} s")
        try:
            told = json.loads(found.stdout.splitlines()[-1])
        except (ValueError, IndexError):
            text = first_line(found.stderr + found.stdout)
            return _failed(unit, build_seconds, f"with {stall} % stalls: {text}")
        if told["wrong"]:
            return _failed(
                unit, build_seconds,
                f"with {stall} % stalls, {told['wrong']} of {told['batches']} batches differ from the "
                f"golden integers, the first in neuron {told['neuron']}, vector "
                f"{told['batch'] * LANES + told['lane']}",
            )  # fmt: skip
        runs.append(told)
    vectors, shape = runs[0]["batches"] * LANES, unit.shape
    return ArraySimulation(
        unit.name, vectors, vectors * shape.neurons * shape.inputs, runs[0]["cycles"],
        runs[0]["seconds"], build_seconds, "",
    )  # fmt: skip


def _failed(unit: ArrayUnit, build_seconds: float, fault: str) -> ArraySimulation:
    return ArraySimulation(unit.name, 0, 0, 0, 0.0, build_seconds, fault)
