"""What the interpreter asks of numerics: what a step does, and how numbers come in and are kept."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hnlpu.model.network import Input, State, ops
from hnlpu.run.emulate._float_steps import Constants, run_step

Array = npt.NDArray[Any]


class StepNumerics(Protocol):
    """One kind of numbers.  `scope` names the repetitions that a step is in, outermost first."""

    def parameter(self, name: str) -> Array:
        """A parameter in its shape."""
        ...

    def given(self, declared: Input, x: Array) -> Array:
        """An input [n, ...] from outside."""
        ...

    def initial(self, state: State) -> np.generic:
        """What a state holds before it is written."""
        ...

    def step(
        self, step: ops.Step, args: list[Any], lead: int = 0, scope: tuple[str, ...] = ()
    ) -> tuple[Any, ...]:
        """Values that a step defines, of one position or, with `lead` 1, of many (`run_step`)."""
        ...

    def written(self, state: str, name: str, x: Array) -> Array:
        """The value x called `name` as its state keeps it."""
        ...

    def handed(self, name: ops.Arg, x: Any, scope: tuple[str, ...] = ()) -> Any:
        """The value x called `name` as a repetition takes it, and as the network gives it."""
        ...


class FloatNumerics:
    """Float32, and float64 for wides (`_float_steps`)."""

    def __init__(self, constants: Constants):
        self._constants = constants

    def parameter(self, name: str) -> Array:
        """A parameter in its shape."""
        return self._constants.parameter(name)

    def given(self, declared: Input, x: Array) -> Array:
        """As it is."""
        return x

    def initial(self, state: State) -> np.generic:
        """As declared."""
        return np.float32(state.initial)

    def step(
        self, step: ops.Step, args: list[Any], lead: int = 0, scope: tuple[str, ...] = ()
    ) -> tuple[Any, ...]:
        """Values that a step defines."""
        return run_step(step.op, args, self._constants, lead)

    def written(self, state: str, name: str, x: Array) -> Array:
        """As it is."""
        return x

    def handed(self, name: ops.Arg, x: Any, scope: tuple[str, ...] = ()) -> Any:
        """As it is."""
        return x
