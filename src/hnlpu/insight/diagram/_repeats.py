"""Blocks of a network -> the kinds there are, and the pattern in which they follow each other.

b0 b1 b2 b3 ... b23  ─►  kinds A (b0, b2, ...) and B (b1, b3, ...)  ─►  (A B) × 12

Two blocks are of one kind if only names differ: the same operations on values of the same types,
matrices, parameters and states of the same form, joined in the same way.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from hnlpu.model.network import Matrix, Network, Parameter, State, Step, ValueType, ops

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LONGEST_UNIT = 64


@dataclass(frozen=True)
class RepeatedUnit:
    """`unit` again and again: parts of a pattern are kinds, by number, or repeats themselves."""

    unit: Pattern
    times: int


Pattern = tuple[int | RepeatedUnit, ...]


@dataclass(frozen=True)
class Kind:
    """Blocks that differ in names only, by their numbers; the first stands for all."""

    letter: str
    blocks: tuple[int, ...]


@dataclass(frozen=True)
class BlockStack:
    """Blocks that follow each other: steps `start` to `stop`, the one behind the last.

    `sequence` has a block's kind (an index of `kinds`) for every block.
    """

    start: int
    stop: int
    blocks: tuple[int, ...]
    sequence: tuple[int, ...]
    kinds: tuple[Kind, ...]

    @property
    def pattern(self) -> str:
        """How the kinds follow each other: (A B) × 12."""
        return pattern_text(pattern(self.sequence), [kind.letter for kind in self.kinds])


def stacks(
    network: Network, types: Mapping[str, ValueType], notes: Mapping[str, str]
) -> tuple[BlockStack, ...]:
    """Runs of blocks.  Blocks whose matrices have different `notes` are of different kinds."""
    found, at, letters = [], 0, 0
    for inside, run in groupby(network.steps, lambda step: step.block is not None):
        steps = list(run)
        start, at = at, at + len(steps)
        if not inside:
            continue
        blocks = tuple(dict.fromkeys(s.block for s in steps if s.block is not None))
        alike: dict[Any, list[int]] = {}
        signs = _signatures(network, types, notes, blocks, start)
        for block, sign in zip(blocks, signs, strict=True):
            alike.setdefault(sign, []).append(block)
        order = list(alike)
        kinds = tuple(
            Kind(_letter(letters + n), tuple(alike[sign])) for n, sign in enumerate(order)
        )
        letters += len(order)
        sequence = tuple(order.index(sign) for sign in signs)
        found.append(BlockStack(start, at, blocks, sequence, kinds))
    return tuple(found)


def _letter(number: int) -> str:
    """A to Z, then A1 ..."""
    turn, place = divmod(number, len(LETTERS))
    return LETTERS[place] + (str(turn) if turn else "")


def _signatures(
    network: Network, types: Mapping[str, ValueType], notes: Mapping[str, str],
    blocks: Sequence[int], start: int,
) -> list[Any]:  # fmt: skip
    """For each block what makes its kind; equal ones differ in names only."""
    at: dict[int, list[int]] = {block: [] for block in blocks}
    made_in: dict[str, int] = {}
    for n, step in enumerate(network.steps):
        if step.block in at:
            at[step.block].append(n)
            made_in.update(dict.fromkeys(step.outs, step.block))
    place = {block: n for n, block in enumerate(blocks)}
    users = Counter[str]()
    for block in blocks:
        steps = [network.steps[n] for n in at[block]]
        users.update({a for step in steps for a in step.args if isinstance(a, str)})
    outer = set(network.outputs)
    for step in network.steps:
        outer.update(a for a in step.args if isinstance(a, str) and made_in.get(a) != step.block)
    spans: dict[int | None, list[Any]] = {block: [] for block in blocks}
    for span in network.spans:
        within = network.steps[span.start].block
        if within in at:
            first = at[within][0]
            spans[within].append(
                (span.composite, span.start - first, span.stop - first, span.options)
            )

    def comes_from(name: str, block: int) -> tuple[object, ...]:
        """Where a value from outside of a block comes from, in a way that repeats."""
        if name in made_in:
            return ("blocks before", place[block] - place[made_in[name]])
        first = block == blocks[0] and users[name] == 1
        return ("blocks before", 1) if first else ("outside", name)

    signs = []
    for block in blocks:
        sign = _Signature(network, types, notes, block)
        steps = [network.steps[n] for n in at[block]]
        body = tuple(sign.step(step, comes_from) for step in steps)
        given = tuple(sign.local[o] for step in steps for o in step.outs if o in outer)
        signs.append((body, given, tuple(spans[block])))
    return signs


class _Signature:
    """Names of a block as numbers, in the order in which they appear."""

    def __init__(
        self, network: Network, types: Mapping[str, ValueType], notes: Mapping[str, str],
        block: int,
    ):  # fmt: skip
        self.local: dict[str, int] = {}
        self._types, self._notes, self._block = types, notes, block
        known = network.declared()
        self._declared: dict[str, Matrix | Parameter | State] = {
            **known.matrices, **known.parameters, **known.states
        }  # fmt: skip

    def step(self, step: Step, comes_from: Any) -> Any:
        op = step.op
        fields: list[Any] = []
        if isinstance(op, ops.Repeat):
            inner = dict.fromkeys(op.inputs)
            self.local.update({name: len(self.local) + n for n, name in enumerate(inner)})
            fields = [op.ticks, tuple(self.step(s, comes_from) for s in op.body)]
            fields += [tuple(self.local[o] for o in op.outputs), self.local.get(op.until or "")]
        else:
            for field in dataclasses.fields(op):
                value = getattr(op, field.name)
                named = field.name in ("matrix", "table", "state")
                fields.append(self._thing(value) if named else value)
        args = tuple(
            self._value(arg, comes_from) if isinstance(arg, str) else arg for arg in step.args
        )
        for out in step.outs:
            self.local[out] = len(self.local)
        shapes = tuple(self._types[out] for out in step.outs if out in self._types)
        return type(op).__name__, tuple(fields), args, shapes

    def _value(self, name: str, comes_from: Any) -> Any:
        if name in self.local:
            return self.local[name]
        if name in self._declared:
            return self._thing(name)
        self.local[name] = len(self.local)
        return self.local[name], self._types[name], comes_from(name, self._block)

    def _thing(self, name: str) -> Any:
        """What a declaration is without its name; one that all blocks share, by its name."""
        thing = self._declared[name]
        if name in self.local or thing.block is None:
            return self.local.get(name, name)
        self.local[name] = len(self.local)
        form: tuple[Any, ...]
        match thing:
            case Matrix():
                form = (
                    thing.shape, thing.role, thing.cut.how, thing.cut.group, thing.padding,
                    thing.bias is None,
                )  # fmt: skip
            case Parameter():
                form = (thing.shape,)
            case State():
                form = (thing.shape, thing.keeps, thing.initial)
        return self.local[name], form, self._notes.get(name)


def pattern(sequence: Sequence[int]) -> Pattern:
    """`sequence` with what repeats written once.

    From the left, the unit whose repeats cover most, the shortest of those.
    """
    parts: list[int | RepeatedUnit] = []
    at = 0
    while at < len(sequence):
        unit, times = _longest(sequence, at)
        if times == 1:
            parts.append(sequence[at])
            at += 1
            continue
        inner = tuple(sequence[at : at + unit])
        parts.append(RepeatedUnit(pattern(inner), times))
        at += unit * times
    return tuple(parts)


def _longest(sequence: Sequence[int], at: int) -> tuple[int, int]:
    """Length of the unit that is repeated from `at` on, and how often."""
    best = (1, 1)
    for unit in range(1, min(_LONGEST_UNIT, (len(sequence) - at) // 2) + 1):
        end = at + unit
        while end < len(sequence) and sequence[end] == sequence[end - unit]:
            end += 1
        times = (end - at) // unit
        if times > 1 and unit * times > best[0] * best[1]:
            best = (unit, times)
    return best


def pattern_text(parts: Pattern, letters: Sequence[str]) -> str:
    """A pattern as people write it: A (B C) × 12."""
    texts = []
    for part in parts:
        if isinstance(part, RepeatedUnit):
            inner = pattern_text(part.unit, letters)
            texts.append(
                f"{inner} × {part.times}"
                if len(part.unit) == 1 and not isinstance(part.unit[0], RepeatedUnit)
                else f"({inner}) × {part.times}"
            )
        else:
            texts.append(letters[part])
    return " ".join(texts)
