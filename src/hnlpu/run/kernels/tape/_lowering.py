"""A network on its way to a tape: where each value lies, and what is known of the rest."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.model.network import (
    Network,
    Region,
    Span,
    Step,
    ValueType,
    all_steps,
    check,
    ops,
    regions,
)
from hnlpu.run.kernels._library import Descriptor
from hnlpu.run.kernels.tape._states import How, TapeState
from hnlpu.run.kernels.tape._views import Number, Outside, Sizes, View, constant, dense_steps
from hnlpu.run.kernels.tape._writer import NotOnTape, QuantizedValue, Writer

Describe = Callable[[str, int], Descriptor]
KINDS: Mapping[str, Number] = {
    "real": "float32", "wide": "float64", "index": "int64", "truth": "truth", "sums": "float32",
}  # fmt: skip


@dataclass(frozen=True)
class Known:
    """What a tape is made of beside a network's steps.

    `constants`: parameters and what follows from them alone, by name.  `outside`: names of values
    that come with every call.  `before`: of all values that others make.  `describe`: a matrix's member as the library takes it.  `bits`:
    width of integers.
    """

    constants: Mapping[str, npt.NDArray[Any]]
    outside: tuple[str, ...]
    before: frozenset[str]
    describe: Describe
    bits: int


class Lowering:
    """Values by name, and the writer of instructions.

    Where `outputs` are asked for, steps count up to the last
    of them, and to the end of the serial region that this is in.
    """

    def __init__(self, network: Network, known: Known, outputs: tuple[str, ...] | None):
        self.network, self.known = network, known
        self.outputs = network.outputs if outputs is None else outputs
        self.types: Mapping[str, ValueType] = check(network)
        self.declared = network.declared()
        serial = [region for region in regions(network) if region.serial]
        end = len(network.steps)
        if outputs is not None:
            end = 1 + max(n for n, s in enumerate(network.steps) if set(s.outs) & set(outputs))
            end = max([end, *(r.stop for r in serial if r.start < end)])
        self.steps: tuple[Step, ...] = network.steps[:end]
        self.serial: tuple[Region, ...] = tuple(r for r in serial if r.start < end)
        self.uses = Counter(
            arg for s in all_steps(self.steps) for arg in s.args if isinstance(arg, str)
        )
        self.uses.update(self.outputs)
        self._others: Counter[str] = Counter()
        self._touching: dict[str, list[int]] = {}
        for n, step in enumerate(self.steps):
            if isinstance(step.op, ops.Read | ops.Write):
                self._touching.setdefault(step.op.state, []).append(n)
        if not 2 <= known.bits <= 16:
            raise NotOnTape(f"activations of {known.bits} bits")
        self.writer = Writer(known.bits)
        self.values: dict[str, View] = {n: constant(x) for n, x in known.constants.items()}
        self.digits: dict[str, QuantizedValue] = {}
        self.digits_of: dict[str, QuantizedValue] = {}
        self.held: dict[str, TapeState] = {}
        for number, name in enumerate(known.outside):
            type_ = self.types[name]
            shape = self.sizes(name)
            steps, size = dense_steps(shape), math.prod(shape)
            self.values[name] = View(Outside(number), KINDS[type_.kind], shape, steps, 0, size)

    def sizes(self, name: str) -> Sizes:
        """Shape of a value without axes of positions; raises NotOnTape."""
        shape = self.types[name].shape
        if not all(isinstance(length, int) for length in shape):
            raise NotOnTape(f"{name} has an axis of positions, outside of an attention that fits")
        return tuple(length for length in shape if isinstance(length, int))

    def view(self, arg: str | float) -> View:
        """Where an argument lies; raises NotOnTape."""
        if not isinstance(arg, str):
            return constant(np.asarray(arg, np.float64))
        if arg not in self.values:
            raise NotOnTape(f"{arg} does not lie in memory")
        return self.values[arg]

    def move(self, name: str, to: str, view: View) -> None:
        """Let `to` be another view of the numbers of `name`."""
        self.values[to] = view
        self._others[to] = self.all_uses(name) - 1

    def all_uses(self, name: str) -> int:
        """Uses of a value, and of what it is a view of."""
        return self.uses[name] + self._others[name]

    def state(self, name: str, how: How, entries: int = 1) -> int:
        """The number of a state that is kept in a way; raises NotOnTape where it is in another."""
        state = self.declared.states[name]
        new = TapeState(len(self.held), name, how, state.shape, entries, state.initial)
        found = self.held.setdefault(name, new)
        if (found.how, found.entries) != (how, entries):
            raise NotOnTape(f"the state {name} is kept in two ways")
        return found.number

    def is_known(self, step: Step) -> bool:
        """Whether others make what a step gives."""
        return bool(step.outs) and self.known.before.issuperset(step.outs)

    def inside(self, span: Span) -> list[Step]:
        """Steps of a span, but for those that are known before."""
        return [s for s in self.steps[span.start : span.stop] if not self.is_known(s)]

    def stands_alone(self, span: Span) -> bool:
        """Whether serial regions lie around a span or within it, and its states are its own."""
        for region in self.serial:
            apart = region.stop <= span.start or span.stop <= region.start
            around = region.start <= span.start and span.stop <= region.stop
            within = span.start <= region.start and region.stop <= span.stop
            if not (apart or around or within):
                return False
        inside = range(span.start, span.stop)
        own = {op.state for s in self.steps[span.start : span.stop]
               if isinstance(op := s.op, ops.Read | ops.Write)}  # fmt: skip
        return all(n in inside for name in own for n in self._touching[name])
