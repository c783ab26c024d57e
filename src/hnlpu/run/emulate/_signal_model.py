"""A network of signals: numbers in at every position, numbers out, states that a caller may carry on.

signals [positions, ...] ─► tape, interpreter or chip numerics ─► outputs [positions, m] ─► the task's answer
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu._paths import absolute
from hnlpu.arithmetic.fixed_point import FRACTION
from hnlpu.errors import InvalidInput, NotFinite
from hnlpu.model.checkpoint import Architecture, ModelFacts, is_checkpoint, read_model
from hnlpu.model.families import Family, Task
from hnlpu.model.network import Network, check, dump
from hnlpu.run.emulate._chip_constants import ChipConstants
from hnlpu.run.emulate._chip_network import chip_interpreter
from hnlpu.run.emulate._interpreter import Interpreter
from hnlpu.run.emulate._language_model import Numerics
from hnlpu.run.emulate._network_constants import HardwiredConstants, ModelConstants
from hnlpu.run.emulate._states import States
from hnlpu.run.emulate._taped import SequenceMemory, TapedNetwork
from hnlpu.run.emulate._threads import one_blas_thread
from hnlpu.run.kernels.tape import NotOnTape, TapeRows
from hnlpu.silicon.hardwire import MANIFEST, Build, open_build

Array = npt.NDArray[Any]
LARGEST_SIGNAL = 32768.0
"""Chip numerics have values below this magnitude: 32 bits in units of 2^-16."""


@dataclass(frozen=True)
class SignalModel:
    """A network of signals over its constants; holds no state of any sequence.

    `identity` tells whose states are whose: the network, its weights and the numerics.
    """

    network: Network
    task: Task
    numerics: Numerics
    identity: str
    interpreter: Interpreter
    taped: TapedNetwork | None

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """Shapes of what it takes at a position, by name."""
        types = check(self.network)
        return {
            x.name: tuple(dim for dim in types[x.name].shape if isinstance(dim, int))
            for x in self.network.inputs
            if x.carries == "data"
        }

    @property
    def largest_signal(self) -> float:
        """Signals must be below this magnitude."""
        return LARGEST_SIGNAL if self.numerics == "chip" else math.inf

    @property
    def width(self) -> int:
        """Numbers that it gives at a position."""
        (size,) = check(self.network)[self.network.outputs[0]].shape
        assert isinstance(size, int)
        return size

    def start(self) -> States:
        """The states of an empty sequence."""
        return self.interpreter.start()

    def run(self, signals: Mapping[str, Array], states: States) -> tuple[Array, States]:
        """Outputs [n, m] of signals [n, ...] by the inputs' names, and the states behind them.

        In chip numerics the outputs are the chip's values as float64, each exactly.  Where the sequence is
        cut makes no difference to any bit.  Raises NotFinite.
        """
        given = {name: np.asarray(x, np.float32) for name, x in signals.items()}
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"), one_blas_thread():
            if self.taped is not None:
                found, after = self._on_tape(self.taped, given, states)
            else:
                (found,), after = self.interpreter.run(given, states)
        if self.numerics == "chip":
            return np.asarray(found, np.float64) / 2.0**FRACTION, after
        if not np.isfinite(found).all():
            raise NotFinite(
                "an output is NaN or infinite; the signals or the weights leave float32's range"
            )
        return np.asarray(found, np.float32), after

    def _on_tape(
        self, taped: TapedNetwork, given: dict[str, Array], states: States
    ) -> tuple[Array, States]:
        memory = SequenceMemory(taped)
        memory.restore(states)
        count = len(next(iter(given.values())))
        memory.reserve(states.position + count)
        rows = TapeRows(
            np.zeros(count, np.int64), np.arange(states.position, states.position + count)
        )
        (found,) = taped.run(given, rows, memory.memory())
        memory.length += count
        return found, memory.save()

    def answer(self, outputs: Array, task: Task | None = None) -> Array:
        """What a task makes of a sequence's outputs [n, m]: a class [], numbers [m], or all [n, m].

        Of equal outputs the first is the class.
        """
        match task or self.task:
            case "classify":
                return np.asarray(np.argmax(outputs[-1]), np.int64)
            case "regress":
                return np.asarray(outputs[-1])
            case "stream":
                return outputs


def open_signal_model(
    directory: str | Path,
    *,
    float_activations: bool = False,
    numerics: Numerics = "float",
    family: Family[Any] | None = None,
) -> SignalModel:
    """The hardwired network of signals of a build directory, or the float one of a checkpoint's.

    Raises the errors of `open_build` or `read_model`, InvalidInput for a model of text, for a network
    with outputs that no task knows, and for numerics that a checkpoint has not; in chip numerics what
    `chip_interpreter` does.
    """
    folder = absolute(directory)
    _expect_numerics(numerics)
    if (folder / MANIFEST).exists() or not is_checkpoint(folder):
        if family is not None:
            raise InvalidInput(f"{folder}: a build says its own family; leave the family out")
        return hardwired_signals(
            open_build(folder), float_activations=float_activations, numerics=numerics
        )
    if float_activations or numerics != "float":
        raise InvalidInput(
            f"{folder}: is a checkpoint, whose activations and numerics are float; give a build"
        )
    model = read_model(folder, family)
    task = expect_signals(model.network, model.architecture, folder)
    digest = hashlib.sha256(dump(model.network).encode())
    for path in model.weight_files():
        digest.update(path.read_bytes())
    interpreter = Interpreter(model.network, ModelConstants(model))
    identity = f"{digest.hexdigest()} float"
    return SignalModel(model.network, task, "float", identity, interpreter, None)


def hardwired_signals(
    build: Build, *, float_activations: bool = False, numerics: Numerics = "float"
) -> SignalModel:
    """The network of signals that a build hardwires; raises as `open_signal_model`."""
    _expect_numerics(numerics)
    if numerics == "chip" and float_activations:
        raise InvalidInput("chip numerics have integer activations; leave out float activations")
    network = build.network
    task = expect_signals(network, build.facts, build.directory)
    manifest = (build.directory / MANIFEST).read_bytes()
    how = "float activations" if float_activations else numerics
    identity = f"{hashlib.sha256(manifest).hexdigest()} {how}"
    taped: TapedNetwork | None = None
    if numerics == "chip":
        interpreter = chip_interpreter(network, ChipConstants(build), build.directory)
    else:
        constants = HardwiredConstants(build, float_activations)
        interpreter = Interpreter(network, constants)
        try:
            taped = TapedNetwork(network, constants)
        except NotOnTape:
            taped = None  # the interpreter gives the same bits
    return SignalModel(network, task, numerics, identity, interpreter, taped)


def _expect_numerics(numerics: Numerics) -> None:
    """Raise InvalidInput for numerics that networks of signals do not have."""
    if numerics not in ("float", "chip"):
        raise InvalidInput(f"numerics {numerics!r}: a network of signals has float and chip")


def expect_signals(network: Network, facts: Architecture | ModelFacts, where: Path) -> Task:
    """The task of a network of signals; raises InvalidInput for any other network."""
    if not isinstance(facts, ModelFacts) or facts.task is None:
        raise InvalidInput(
            f"{where}: is a model of text, which takes tokens; use 'hnlpu generate' or 'hnlpu score'"
        )
    types = check(network)
    for given in network.inputs:
        if given.carries == "data" and given.kind not in ("real", "truth"):
            raise InvalidInput(f"{where}: its input {given.name} is {given.kind}, not numbers")
    outputs = [types[name] for name in network.outputs]
    if len(outputs) != 1 or outputs[0].kind != "real" or len(outputs[0].shape) != 1:
        told = ", ".join(map(str, outputs))
        raise InvalidInput(f"{where}: gives {told}; a task is known for one row of numbers")
    return facts.task
