"""A pass over a network: low-rank parts beside some of its matrices.

    x ─► quantize ─► project ─► from_sums ─► y ──────────────► ...
     └────────────────► low_rank ◄───────────┘ └─ the sum ───► ...

What comes out is a network like any other; A and B are parameters of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hnlpu.errors import InvalidInput
from hnlpu.model.network._check import check
from hnlpu.model.network._compose import Builder
from hnlpu.model.network._declare import Input, Matrix, Parameter
from hnlpu.model.network._form import Network, Span
from hnlpu.model.network._infer import all_steps
from hnlpu.model.network._source import Tensor
from hnlpu.model.network._types import ValueType
from hnlpu.model.network.composites._low_rank import low_rank
from hnlpu.model.network.ops import FromSums, Project, Quantize, Repeat, Step


@dataclass(frozen=True)
class LowRankPart:
    """The rank and the scaling of the part beside a matrix."""

    rank: int
    scaling: float


def down_name(matrix: str) -> str:
    """Name of the parameter A transposed, [columns, rank], or [members, columns, rank]."""
    return f"{matrix}.lora_A"


def up_name(matrix: str) -> str:
    """Name of the parameter B transposed, [rank, rows], or [members, rank, rows]."""
    return f"{matrix}.lora_B"


def with_low_rank(network: Network, parts: Mapping[str, LowRankPart]) -> Network:
    """A checked network with low-rank parts beside the matrices that `parts` names.

    Raises InvalidInput for a matrix that is not there, or that stands in repeated steps.
    """
    matrices = network.declared().matrices
    for name in parts:
        if name not in matrices:
            raise InvalidInput(f"the network has no matrix {name}")
    for step in network.steps:
        if isinstance(step.op, Repeat):
            for each in all_steps((step,)):
                if isinstance(each.op, Project) and each.op.matrix in parts:
                    raise InvalidInput(f"{each.op.matrix}: stands in steps that are repeated")
    types = check(network)
    makers = {name: step for step in network.steps for name in step.outs}
    behind: dict[int, list[_Inserted]] = {}
    for number, step in enumerate(network.steps):
        if isinstance(step.op, FromSums) and step.op.matrix in parts:
            at = _end_of_dense(network, number)
            matrix = matrices[step.op.matrix]
            part = _written(step, matrix, parts[matrix.name], makers, types)
            behind.setdefault(at, []).append(part)
    return _joined(network, parts, behind)


@dataclass(frozen=True)
class _Inserted:
    """Steps of a part, the value that they stand in for, and what does."""

    steps: tuple[Step, ...]
    span: Span
    old: str
    new: str


def _end_of_dense(network: Network, number: int) -> int:
    """The step behind a FromSums, or behind the `dense` span that it is in."""
    around = [s for s in network.spans if s.composite == "dense" and s.start <= number < s.stop]
    return min((span.stop for span in around), default=number + 1)


def _written(
    step: Step, matrix: Matrix, part: LowRankPart, makers: Mapping[str, Step],
    types: Mapping[str, ValueType],
) -> _Inserted:  # fmt: skip
    project = makers[str(step.args[0])]
    assert isinstance(project.op, Project)
    quantize = makers[str(project.args[0])]
    assert isinstance(quantize.op, Quantize)
    (y,) = step.outs
    outside = [str(quantize.args[0]), y, *map(str, project.args[1:])]
    b = Builder("beside")
    values = [
        b.input(Input(f"given_{n}", "data", types[name].shape, types[name].kind))
        for n, name in enumerate(outside)
    ]
    down, up = (
        b.parameter(p.name, p.shape, p.source) for p in _parameters(matrix, part, step.block)
    )
    chosen = values[2] if project.op.members == "chosen" else None
    made = low_rank(values[0], values[1], down, up, part.scaling, chosen=chosen)
    steps, (span,), _ = b.draft()
    names = dict(zip((v.name for v in values), outside, strict=True))
    names |= {name: f"{y}.{name}" for s in steps for name in s.outs}
    return _Inserted(
        tuple(
            Step(
                s.op,
                tuple(names.get(a, a) if isinstance(a, str) else a for a in s.args),
                tuple(names[name] for name in s.outs),
                step.block,
            )
            for s in steps
        ),
        replace(span, name=f"{y}.{span.name}"),
        y,
        names[made.name],
    )


def _parameters(matrix: Matrix, part: LowRankPart, block: int | None) -> list[Parameter]:
    lead = () if matrix.members is None else (matrix.count,)
    shapes = {
        down_name(matrix.name): (*lead, matrix.columns, part.rank),
        up_name(matrix.name): (*lead, part.rank, matrix.rows),
    }
    return [Parameter(name, shape, Tensor(name, shape), block) for name, shape in shapes.items()]


def _joined(
    network: Network, parts: Mapping[str, LowRankPart], behind: Mapping[int, list[_Inserted]]
) -> Network:
    """The network with the inserted steps where they belong, and their sums instead of the old."""
    steps: list[Step] = []
    spans: list[Span] = []
    starts, stops = {}, {}
    now: dict[str, str] = {}
    for number in range(len(network.steps) + 1):
        stops[number] = len(steps)
        for part in behind.get(number, ()):
            start = len(steps)
            steps += [_renamed(step, now) for step in part.steps]  # x may be such a sum itself
            spans.append(replace(part.span, start=start, stop=len(steps)))
        for part in behind.get(number, ()):
            now[part.old] = part.new
        starts[number] = len(steps)
        if number < len(network.steps):
            steps.append(_renamed(network.steps[number], now))
    moved = [replace(s, start=starts[s.start], stop=stops[s.stop]) for s in network.spans]
    declared = network.declared().matrices
    blocks = {s.op.matrix: s.block for s in network.steps if isinstance(s.op, FromSums)}
    new = [
        p for name, part in parts.items() for p in _parameters(declared[name], part, blocks[name])
    ]
    result = replace(
        network,
        steps=tuple(steps),
        spans=tuple(sorted([*moved, *spans], key=lambda s: (s.start, -s.stop))),
        parameters=(*network.parameters, *new),
        outputs=tuple(now.get(name, name) for name in network.outputs),
    )
    check(result)
    return result


def _renamed(step: Step, now: Mapping[str, str]) -> Step:
    args = tuple(now.get(a, a) if isinstance(a, str) else a for a in step.args)
    return replace(step, args=args) if args != step.args else step
