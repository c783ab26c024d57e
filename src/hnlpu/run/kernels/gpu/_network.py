"""A network on a device: its kernels in the order of its steps, from rows to hidden states.

    tokens, cosines ... [rows] ─► launch ─► launch ─► ... ─► hidden states, members that fired

Nothing here waits for the device, so that a whole pass can be recorded once as a graph and played
again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from hnlpu.run.kernels.gpu import _vector_unit as vector_unit
from hnlpu.run.kernels.gpu._attention import Places
from hnlpu.run.kernels.gpu._project import (
    GpuStack,
    Integers,
    Meeting,
    gpu_project,
    meet_experts,
    meet_one,
)

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Inputs:
    """Rows to run: `values` [rows, ...] by the names of the network's values, and their places."""

    values: Tensors
    places: Places

    @property
    def rows(self) -> int:
        """Rows in all."""
        return len(self.places.positions)


@dataclass(frozen=True)
class Outputs:
    """`hidden` [rows, n], the members that `fired` [layers with experts, rows, active].

    `infinite` [rows] is true for a row with an activation that is not finite.
    """

    hidden: torch.Tensor
    fired: torch.Tensor
    infinite: torch.Tensor


@dataclass
class DeviceRun:
    """One run over some rows: what lies on the device while the launches follow each other.

    `values` [rows, ...] and `digits` by the names of the network's values; `states` by theirs.
    """

    places: Places
    rows: int
    device: torch.device
    bits: int
    states: Tensors
    stacks: Mapping[tuple[str, ...], GpuStack]
    constants: Tensors
    values: dict[str, torch.Tensor]
    digits: dict[str, Integers] = field(default_factory=dict)
    _meetings: dict[tuple[str | None, int], Meeting] = field(default_factory=dict)
    _flags: dict[int, torch.Tensor] = field(default_factory=dict)

    def value(self, name: str) -> torch.Tensor:
        """A value [rows, ...], or a constant [1, ...]."""
        found = self.values.get(name)
        return self.constants[name][None] if found is None else found

    def flags(self, entries: int) -> torch.Tensor:
        """int32 [entries], an equal number for each row: 1 where a value is not finite."""
        if entries not in self._flags:
            self._flags[entries] = torch.zeros(entries, dtype=torch.int32, device=self.device)
        return self._flags[entries]

    def infinite(self) -> torch.Tensor:
        """Rows [rows] that a flag is set for."""
        bad = torch.zeros(self.rows, dtype=torch.bool, device=self.device)
        for flags in self._flags.values():
            bad = bad | (flags.reshape(self.rows, -1) > 0).any(1)
        return bad

    def quantize(self, x: torch.Tensor) -> Integers:
        """x [rows, ..., n] as integers of the pass's width."""
        flat = x.reshape(-1, x.shape[-1]).contiguous()
        return vector_unit.quantize(flat, self.bits, self.flags(len(flat)))

    def project(
        self, names: tuple[str, ...], digits: str, chosen: str | None, count: int
    ) -> torch.Tensor:
        """Matrices below each other times digits, each row by the members `chosen`: [entries, rows]."""
        x = self.digits[digits]
        entries = len(x.scales)
        meeting = self._meetings.get((chosen, 0 if chosen else entries))
        if meeting is None:
            meeting = (
                meet_one(entries, self.device)
                if chosen is None
                else meet_experts(self.values[chosen], count)
            )
            self._meetings[chosen, 0 if chosen else entries] = meeting
        if chosen is not None and entries > self.rows:
            meeting = meeting.one_each()
        return gpu_project(self.stacks[names], x, meeting)


Launch = Callable[[DeviceRun], None]


@dataclass(frozen=True)
class GpuNetwork:
    """A network whose matrices and constants lie on a device; holds no state of any sequence.

    `launches` come with the names of values that nobody needs behind them; `inputs` are type and
    shape of what a row brings, by name.  `output` is what it gives, `choices` the members that fire.
    """

    launches: tuple[tuple[Launch, tuple[str, ...]], ...]
    inputs: Mapping[str, tuple[torch.dtype, tuple[int, ...]]]
    output: str
    choices: tuple[str, ...]
    constants: Tensors
    stacks: Mapping[tuple[str, ...], GpuStack]
    bits: int
    device: torch.device

    def run(self, states: Tensors, inputs: Inputs) -> Outputs:
        """Run rows; `states` [pages, ...] by name take in what they keep."""
        places = inputs.places
        now = DeviceRun(
            places, inputs.rows, self.device, self.bits, states, self.stacks, self.constants,
            dict(inputs.values),
        )  # fmt: skip
        for launch, last in self.launches:
            launch(now)
            for name in last:
                now.values.pop(name, None)
                now.digits.pop(name, None)
        fired = [now.values[name] for name in self.choices]
        none = torch.zeros((0, inputs.rows, 0), dtype=torch.int64, device=self.device)
        return Outputs(
            now.values[self.output], torch.stack(fired) if fired else none, now.infinite()
        )

    def project(self, matrix: str, hidden: torch.Tensor) -> torch.Tensor:
        """A matrix times hidden states [rows, n]: [rows, its rows]; NaN where they are not finite."""
        infinite = torch.zeros(len(hidden), dtype=torch.int32, device=self.device)
        x = vector_unit.quantize(hidden, self.bits, infinite)
        y = gpu_project(self.stacks[matrix,], x, meet_one(len(hidden), self.device))
        return torch.where(infinite[:, None] > 0, torch.nan, y)
