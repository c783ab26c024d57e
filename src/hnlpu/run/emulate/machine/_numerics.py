"""`ChipNumerics` on a grid of chips: what crosses links is rounded as its format says, or exact.

A plan (`hnlpu.silicon.exchange`) says what is gathered before a step, whose sums are parts of
several chips, and which scales belong to one column.  What every chip has is worked out once.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic import fixed_point
from hnlpu.arithmetic.exchange import owned, sent, summed_over_grid
from hnlpu.arithmetic.fixed_point import FRACTION, clipped
from hnlpu.model.network import Network, ops
from hnlpu.run.emulate._chip_numerics import AttentionInputs, ChipNumerics, Scope, factors
from hnlpu.run.emulate._float_steps import Digits, sides
from hnlpu.run.emulate.machine._attention import attention_by_row
from hnlpu.run.emulate.machine._constants import MachineConstants
from hnlpu.silicon.exchange import Crossing, ExchangePlan, OfMembers, Shared, Where, unit_name

Array = npt.NDArray[Any]


class _Chosen(threading.local):
    """Members that were chosen last, by the name of the value that says so, in this thread."""

    def __init__(self) -> None:
        self.by_name: dict[str, Array] = {}


@dataclass(frozen=True)
class _Rows:
    """Positions in front of a value, or one position alone."""

    lead: int

    def flat(self, x: Array) -> Array:
        """[positions, numbers]."""
        return x.reshape(x.shape[0] if self.lead else 1, -1)


class MachineNumerics(ChipNumerics):
    """Fixed point over the matrices of many chips; `plan` is that of `network`."""

    together = False  # something may cross links before each step

    def __init__(
        self, network: Network, constants: MachineConstants, made: Mapping[str, Array],
        plan: ExchangePlan,
    ):  # fmt: skip
        super().__init__(network, constants, made)
        self._machine, self.plan = constants, plan
        self._grid, self._exchange = constants.grid, constants.exchange
        self._chosen = _Chosen()

    def taken(self, unit: str, name: str, x: Any) -> Any:
        """The value x called `name` [n, ...] as it is on all chips, or on those that go on with it."""
        crossing = self.plan.before.get((unit, name))
        return x if crossing is None else self._gathered(x, crossing.where, 1)

    def step(
        self, step: ops.Step, args: list[Any], lead: int = 0, scope: Scope = ()
    ) -> tuple[Any, ...]:
        """Values that a step defines; see `run_step`."""
        if scope:  # within a repetition, whose inputs are on all chips
            return super().step(step, args, lead, scope)
        unit = unit_name(step)
        args = [
            self._gathered(x, self.plan.before[unit, str(name)].where, lead)
            if (unit, name) in self.plan.before
            else x
            for name, x in zip(step.args, args, strict=True)
        ]
        within = self.plan.within.get(unit)
        match step.op:
            case ops.Project(members="chosen"):
                self._chosen.by_name[str(step.args[1])] = np.asarray(args[1])
            case ops.Quantize(scope=of) if within is not None:
                return (self._quantized(step, args[0], of, within, lead),)
            case ops.Dot() if within is not None:
                return (self._weighed(step, args, within, lead),)
        return super().step(step, args, lead, scope)

    def attend(self, unit: str, given: AttentionInputs, start: int) -> Array:
        """Attention over positions that are dealt to the chips of a column."""
        crossing = self.plan.within.get(unit)
        if crossing is None:
            return super().attend(unit, given, start)
        return attention_by_row(given, start, crossing.where, self._grid, self._exchange)

    # -- what crosses -----------------------------------------------------------------------------

    def _gathered(self, x: Any, where: Where, lead: int) -> Any:
        """A value as all chips have it once it was sent."""
        form = self._exchange.formats.values
        whole = not isinstance(x, np.ndarray) or x.dtype == bool
        if form in ("exact", "vector") or whole:
            return x
        return self._pieces_sent(x, where, lead, form)

    def _pieces_sent(self, x: Array, where: Where, lead: int, form: Any) -> Array:
        """Each chip's numbers as a message of its own."""
        out = np.array(x, np.int64)
        if isinstance(where, OfMembers):
            self._members_sent(out, where, lead, form)
            return out
        for piece in self._pieces(out, where, lead):
            flat = _Rows(lead).flat(piece)
            for first, behind in self._shares(where, flat.shape[1]):
                flat[:, first:behind] = sent(flat[:, first:behind], form)
            piece[...] = flat.reshape(piece.shape)
        return out

    def _members_sent(self, x: Array, where: OfMembers, lead: int, form: Any) -> None:
        """Outputs of members, in place: a chip's numbers of a member are one message, a member's of several chips are several."""
        chosen = None if where.chosen is None else self._chosen.by_name[where.chosen]
        for m in range(x.shape[lead]):
            piece = x[(slice(None),) * lead + (m,)]
            flat = _Rows(lead).flat(piece)
            own = (
                np.full(len(flat), m) if chosen is None else np.asarray(chosen)[..., m].reshape(-1)
            )
            for member in np.unique(own):
                rows = own == member
                for first, behind in self._made_of(where.matrix, int(member), flat.shape[1]):
                    flat[rows, first:behind] = sent(flat[rows, first:behind], form)
            piece[...] = flat.reshape(piece.shape)

    def _made_of(self, matrix: str, member: int, numbers: int) -> list[tuple[int, int]]:
        """Runs of a member's outputs that a chip makes each, where the value has as many numbers per row."""
        parts = self._grid.slices[matrix]
        having = [part for part in parts if part.members[0] <= member < part.members[1]]
        whole = max(part.neurons[1] for part in parts)
        each = numbers * np.array(sorted({part.neurons for part in having})) // whole
        return [(int(a), int(b)) for a, b in each]

    def _pieces(self, x: Array, where: Where, lead: int) -> list[Array]:
        """Views of what lies apart."""
        match where:
            case Shared(axis=axis, spans=spans):
                moved = np.moveaxis(x, axis, -1)
                return [np.moveaxis(moved[..., a:b], -1, axis) for a, b in spans]
            case OfMembers() | None:
                return [x]

    def _shares(self, where: Where, numbers: int) -> list[tuple[int, int]]:
        """Runs of a piece's numbers that each chip sends: those of a column have the same."""
        if isinstance(where, Shared) and where.over == "columns":
            return owned(numbers, self._grid.rows)
        return [(0, numbers)]

    def _quantized(
        self, step: ops.Step, x: Any, scope: str, crossing: Crossing, lead: int
    ) -> Digits:
        has = self._of(()).of(str(step.args[0]))
        x = fixed_point.brought(np.asarray(x, np.int64), has or FRACTION, FRACTION)
        formats = self._exchange.formats
        if crossing.kind == "activations":
            if formats.activations != "exact":
                x = self._pieces_sent(x, crossing.where, lead, formats.activations)
            return self._quantize(x, scope, lead)
        if formats.sums == "exact":
            return self._quantize(x, scope, lead)
        assert isinstance(crossing.where, Shared)
        flat = np.ascontiguousarray(x.reshape(-1, x.shape[-1]))
        rows = int(np.prod(x.shape[lead:-1])) if scope == "value" else 1
        spans = list(crossing.where.spans)
        return Digits(self._machine.prepare_apart(flat, rows, spans), 0, x.shape[:-1])

    def _weighed(self, step: ops.Step, args: list[Any], crossing: Crossing, lead: int) -> Array:
        """A sum over members: each chip adds those that it has."""
        assert isinstance(step.op, ops.Dot)
        assert isinstance(crossing.where, OfMembers)
        known = self._of(())
        has = [known.of(arg) if isinstance(arg, str) else None for arg in step.args]
        args = [np.asarray(arg, np.int64) for arg in args]
        (a, b), places = factors(args, has, known.of(step.outs[0]))
        ours = next(
            n for n, arg in enumerate(step.args) if self.plan.places.get(str(arg)) == crossing.where
        )
        numbers = self._chosen.by_name[str(crossing.where.chosen)]
        parts = []
        for chip in range(self._grid.chips):
            both = [a, b]
            both[ours] = self._held(crossing.where.matrix, chip, numbers, both[ours])
            (left, right), kept = sides(step.op.axes, both[0], both[1], lead)
            parts.append(fixed_point.inner_sums(left, right, kept))
        half, form = 1 << (places - 1), self._exchange.formats.experts
        if form == "exact":
            return clipped((sum(parts) + half) >> places)
        values = np.stack([clipped((part + half) >> places) for part in parts])
        grid = values.reshape(self._grid.rows, self._grid.columns, *values.shape[1:])
        return summed_over_grid(grid, form, (self._exchange.row, self._exchange.column))

    def _held(self, matrix: str, chip: int, numbers: Array, outputs: Array) -> Array:
        """Of outputs [..., n] of the members that numbers [...] name those that a chip makes, else 0."""
        held = np.zeros_like(outputs)
        for part in self._grid.slices[matrix]:
            if part.chip == chip:
                made = slice(*part.neurons)
                mine = (numbers >= part.members[0]) & (numbers < part.members[1])
                held[..., made] += np.where(mine[..., None], outputs[..., made], 0)
        return held
