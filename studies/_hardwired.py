"""What studies of networks of signals share: a trained one built, run in chip numerics, drawn, and simulated."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

import hnlpu
from hnlpu.insight.verify import check_signal_chip, verify
from hnlpu.model.policy import Policy
from hnlpu.run.emulate import open_signal_model, score_classes
from hnlpu.silicon.hardwire import Build, open_build
from hnlpu.silicon.place import make_target
from hnlpu.silicon.rtl.chip import build_chip, chip_shape, write_chip

Array = npt.NDArray[Any]


@contextmanager
def built(checkpoint: Path, policy: Policy) -> Iterator[Build]:
    """A checkpoint's build, for as long as the block lasts."""
    with TemporaryDirectory() as folder:
        yield open_build(hnlpu.build(checkpoint, Path(folder) / "build", policy, workers=1))


def outputs(checkpoint: Path, build: Build, signals: Array) -> tuple[Array, Array]:
    """Outputs [sequences, positions, m] of the checkpoint in float32, and of its build in chip numerics."""
    models = (open_signal_model(checkpoint), open_signal_model(build.directory, numerics="chip"))
    made = []
    for model in models:
        (name,) = model.inputs
        made.append(np.stack([model.run({name: one}, model.start())[0] for one in signals]))
    return made[0], made[1]


def as_chip(build: Build, sequences: Sequence[Array]) -> dict[str, Any]:
    """The build's whole chip in Verilator: answers that differ, and cycles a position."""
    with TemporaryDirectory() as folder:
        longest = max(map(len, sequences))
        shape = chip_shape(build, sequences=2, context=max(2, longest), lanes=32)
        written = write_chip(build, Path(folder) / "chip", shape)
        build_chip(Path(folder) / "chip")
        found = check_signal_chip(build, Path(folder) / "chip", shape, sequences, stalls=(0, 40))
    different = sum(
        one != want
        for answers in found.found
        for one, want in zip(answers, found.expected, strict=True)
    )
    positions = sum(map(len, sequences))
    return {
        "rtl_differences": different, "rtl_sequences": len(sequences) * 2,
        "rtl_cycles_per_position": found.runs[0][1].cycles / positions,
        "chip_instructions": written.instructions, "chip_arrays": written.arrays,
    }  # fmt: skip


def facts(build: Build, checkpoint: Path) -> dict[str, Any]:
    """Weights in metal, states of a sequence, and the checkpoint's bytes."""
    states = build.network.states
    return {
        "weights": sum(m.count * m.rows * m.columns for m in build.network.matrices),
        "state_numbers": sum(
            math.prod(s.shape) * getattr(s.keeps, "length", 1) for s in states
        ),
        "checkpoint_bytes": sum(p.stat().st_size for p in checkpoint.glob("*.safetensors")),
    }  # fmt: skip


def unsound_masks(checkpoint: Path, technology: str) -> int:
    """Checks of the metal in a process that fail, each weight drawn and read back and by the rules."""
    with TemporaryDirectory() as folder:
        target = make_target(technology=technology, chips=1)
        build = hnlpu.build(checkpoint, Path(folder) / "build", target=target, workers=1)
        found = verify(build, masks=True, workers=1)
    masks = [check for check in found.checks if check.name.startswith("mask")]
    assert masks
    return sum(not check.passed for check in found.checks)


def steadiness(differences: Array) -> float:
    """Mean of differences over its standard error, 0 where the sign is not the same in four of five."""
    agree = int(np.sum(np.sign(differences) == np.sign(differences.mean())))
    if len(differences) < 2 or agree < 0.8 * len(differences):
        return 0.0
    error = float(differences.std(ddof=1) / math.sqrt(len(differences)))
    return float(differences.mean() / error) if error else math.inf


def f1(answers: Array, labels: Array) -> float:
    """The mean of F1 over classes."""
    return score_classes(answers, labels, int(max(labels.max(), answers.max())) + 1).f1
