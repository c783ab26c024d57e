"""A network's steps as launches of Triton kernels, or the one line in which a step is refused.

    steps ─┬► spans that a kernel does at once ─┬► launches, in the order of the steps
           └► single steps ─────────────────────┘

Matrices that share their activations lie below each other and are one launch.  What only adds to the
stream of hidden states is done where that lies, by the kernel that makes or takes the sum.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch

from hnlpu.model.network import Network, Step, all_steps, check, op_name, ops
from hnlpu.run.kernels.gpu._network import DeviceRun, Launch


class NotOnDevice(Exception):
    """A step that no kernel does, or not in this place."""


@dataclass(frozen=True)
class Surroundings:
    """What a lowering is made of beside a network's steps.

    `outside`: values that come with every call; `before`: all values that others make; `constants`:
    names of parameters and of what follows from them alone; `digits_of`: how many digits a
    matrix has.
    """

    outside: tuple[str, ...]
    before: Collection[str]
    constants: Collection[str]
    digits_of: Callable[[str], int]


@dataclass(frozen=True)
class Turned:
    """Heads that attention turns by cosines and sines, by the names of the three."""

    x: str
    cos: str
    sin: str


@dataclass(frozen=True)
class Lowered:
    """Launches with the names that are of no use behind them, and the constants that they take.

    `stacks`: names of matrices that lie below each other.  `tables` are looked up by entries.
    """

    launches: tuple[tuple[Launch, tuple[str, ...]], ...]
    stacks: frozenset[tuple[str, ...]]
    constants: frozenset[str]
    tables: frozenset[str]


class GpuLowering:
    """The launches of a network so far, and what is known of its values."""

    def __init__(self, network: Network, known: Surroundings, kept: Collection[str]):
        self.network, self.known = network, known
        self.types, self.declared = check(network), network.declared()
        self.steps: Sequence[Step] = network.steps
        self.taken: dict[str, list[int]] = {}
        for n, step in enumerate(network.steps):
            for arg in {a for s in all_steps([step]) for a in s.args if isinstance(a, str)}:
                self.taken.setdefault(arg, []).append(n)
        self.turned: dict[str, Turned] = {}
        self.own: set[str] = set()
        """Values in memory of their own that no other value is a view of."""
        self.done: set[int] = set()
        """Steps that an earlier launch has done."""
        self.stacks: set[tuple[str, ...]] = set()
        self.tables: set[str] = set()
        self.kept = {*network.outputs, *kept}
        self._launches: list[tuple[Launch, frozenset[str]]] = []

    def add(self, launch: Launch, *names: str) -> None:
        """Append a launch that takes and gives values of these names."""
        self._launches.append((launch, frozenset(names)))

    def uses(self, name: str) -> list[int]:
        """Steps that take a value; one behind the last for an output."""
        end = [len(self.steps)] if name in self.kept else []
        return [*self.taken.get(name, []), *end]

    def only_use(self, name: str, kind: type[ops.Op]) -> Step | None:
        """The step that alone takes a value, if it is of a kind."""
        uses = self.uses(name)
        if len(uses) != 1 or uses[0] == len(self.steps):
            return None
        step = self.steps[uses[0]]
        return step if isinstance(step.op, kind) else None

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a value at one position; raises NotOnDevice."""
        type_ = self.types[name]
        if type_.kind not in ("real", "index", "digits", "sums"):
            raise NotOnDevice(f"{name} is {type_.kind}")
        if not all(isinstance(length, int) for length in type_.shape):
            raise NotOnDevice(f"{name} has an axis of positions, outside of attention")
        return tuple(length for length in type_.shape if isinstance(length, int))

    def plain(self, name: ops.Arg) -> str:
        """A value that lies in memory; raises NotOnDevice."""
        if not isinstance(name, str) or name in self.turned:
            raise NotOnDevice(f"{name} does not lie in memory")
        return name

    def constant(self, name: ops.Arg) -> str:
        """A parameter, or what follows from some; raises NotOnDevice."""
        if name not in self.known.constants:
            raise NotOnDevice(f"{name} is worked out at every position")
        return str(name)

    def quantized(self, name: str) -> str | None:
        """The digits of a value that one step alone makes of it, which is then done."""
        found = [n for n in self.uses(name) if n < len(self.steps)]
        found = [n for n in found if isinstance(self.steps[n].op, ops.Quantize)]
        if len(found) != 1 or self.steps[found[0]].op != ops.Quantize():
            return None
        self.done.add(found[0])
        return self.steps[found[0]].outs[0]

    def finished(self) -> Lowered:
        """What was written."""
        last: dict[str, int] = {}
        for n, (_, names) in enumerate(self._launches):
            last.update(dict.fromkeys(names, n))
        freed: dict[int, list[str]] = {}
        for name, n in last.items():
            if name not in self.kept:
                freed.setdefault(n, []).append(name)
        return Lowered(
            tuple(
                (launch, tuple(sorted(freed.get(n, []))))
                for n, (launch, _) in enumerate(self._launches)
            ),
            frozenset(self.stacks),
            frozenset(last) & frozenset(self.known.constants),
            frozenset(self.tables),
        )


def lower(network: Network, known: Surroundings, kept: Collection[str] = ()) -> Lowered:
    """The launches of a checked network; raises NotOnDevice, naming the step.

    Values called `kept` stay beside the output.
    """
    from hnlpu.run.kernels.gpu._spans import SPANS

    of, n = GpuLowering(network, known, kept), 0
    if len(network.outputs) != 1:
        raise NotOnDevice("it has several outputs")
    spans = {s.start: s for s in reversed(network.spans) if s.composite in SPANS}
    while n < len(of.steps):
        step, span = of.steps[n], spans.get(n)
        try:
            if n in of.done or (set(step.outs) and set(step.outs) <= set(known.before)):
                n += 1
            elif span is not None:
                SPANS[span.composite](of, span)
                n = span.stop
            else:
                _step(of, n, step)
                n += 1
        except NotOnDevice as error:
            name = span.composite if span is not None else op_name(step.op)
            raise NotOnDevice(f"step {n} ({name} {step.outs[0] if step.outs else ''}): {error}") from None  # fmt: skip
    if network.outputs[0] in of.turned:
        raise NotOnDevice("its output is turned by no attention")
    return of.finished()


def _step(of: GpuLowering, n: int, step: Step) -> None:
    match step.op:
        case ops.Lookup(table):
            _lookup(of, step, table)
        case ops.Quantize():
            _quantize(of, step)
        case ops.Project():
            _project(of, n, step)
        case ops.FromSums():
            _view(of, step, lambda x, shape: x)
        case ops.Add():
            if not _added(of, n, step):
                _pointwise(of, step, torch.add)
        case ops.Sub():
            _pointwise(of, step, torch.sub)
        case ops.Mul():
            _pointwise(of, step, torch.mul)
        case ops.Reshape():
            _view(of, step, lambda x, shape: x.reshape(x.shape[0], *shape))
        case ops.Split(sizes, axis):
            _split(of, step, sizes, axis)
        case ops.Dot("k,kn->n", wide=False):
            _mix(of, n, step)
        case _:
            raise NotOnDevice("no kernel does it")


def _lookup(of: GpuLowering, step: Step, table: str) -> None:
    numbers, out = of.plain(step.args[0]), step.outs[0]
    of.tables.add(table)

    def launch(now: DeviceRun) -> None:
        now.values[out] = now.constants[table][now.value(numbers)].to(torch.float32)

    of.add(launch, numbers, out)
    of.own.add(out)


def _quantize(of: GpuLowering, step: Step) -> None:
    x, out = of.plain(step.args[0]), step.outs[0]
    of.shape(x)
    if step.op != ops.Quantize():
        raise NotOnDevice("its scales or bits are not those of the build")

    def launch(now: DeviceRun) -> None:
        now.digits[out] = now.quantize(now.value(x))

    of.add(launch, x, out)


def _project(of: GpuLowering, n: int, step: Step) -> None:
    """A matrix, and all behind it that meet the same activations as it does."""
    digits, chosen = str(step.args[0]), None
    assert isinstance(step.op, ops.Project)
    if step.op.members == "each":
        raise NotOnDevice("every member meets a row of its own")
    if step.op.members == "chosen":
        chosen = of.plain(step.args[1])
    alike = [m for m in of.taken[digits] if m >= n and _alike(of, step, of.steps[m])]
    together = [of.steps[m] for m in alike]
    of.done.update(alike)
    names = tuple(s.op.matrix for s in together if isinstance(s.op, ops.Project))
    matrices = [of.declared.matrices[name] for name in names]
    lead = of.shape(together[0].outs[0])[:-1]
    ends = [0]
    for matrix in matrices:
        ends.append(ends[-1] + matrix.rows)
    outs, count = [s.outs[0] for s in together], matrices[0].count
    of.stacks.add(names)

    def launch(now: DeviceRun) -> None:
        y = now.project(names, digits, chosen, count).reshape(now.rows, *lead, ends[-1])
        for out, start, stop in zip(outs, ends, ends[1:], strict=False):
            now.values[out] = y[..., start:stop]

    of.add(launch, digits, *outs, *([chosen] if chosen else []))
    if len(outs) == 1:
        of.own.add(outs[0])


def _alike(of: GpuLowering, step: Step, other: Step) -> bool:
    """Whether two steps are projections that one launch does."""
    if not isinstance(other.op, ops.Project) or not isinstance(step.op, ops.Project):
        return False
    a, b = (of.declared.matrices[op.matrix] for op in (step.op, other.op))
    same = (step.op.members, step.args) == (other.op.members, other.args)
    digits_of = of.known.digits_of
    return (
        same
        and (a.count, a.bias is None) == (b.count, b.bias is None)
        and digits_of(a.name) == digits_of(b.name)
    )


def _view(
    of: GpuLowering, step: Step, made: Callable[[torch.Tensor, tuple[int, ...]], torch.Tensor]
) -> None:
    x, out = of.plain(step.args[0]), step.outs[0]
    shape = of.shape(out)

    def launch(now: DeviceRun) -> None:
        now.values[out] = made(now.value(x), shape)

    of.add(launch, x, out)
    if x in of.own and len(of.uses(x)) == 1:
        of.own.add(out)


def _split(of: GpuLowering, step: Step, sizes: Sequence[object], axis: int) -> None:
    x, outs = of.plain(step.args[0]), step.outs
    lengths = [of.shape(out)[axis] for out in outs]
    at = axis if axis < 0 else axis + 1

    def launch(now: DeviceRun) -> None:
        now.values.update(zip(outs, torch.split(now.value(x), lengths, at), strict=True))

    of.add(launch, x, *outs)


def _pointwise(of: GpuLowering, step: Step, function: Callable[..., torch.Tensor]) -> None:
    """A sum or product of float32, rounded once."""
    args = [of.plain(arg) if isinstance(arg, str) else float(arg) for arg in step.args]
    out = step.outs[0]
    rank = len(of.shape(out))
    if any(of.types[arg].kind != "real" for arg in args if isinstance(arg, str)):
        raise NotOnDevice("it takes more than real numbers")

    def launch(now: DeviceRun) -> None:
        sides = [
            torch.full((), arg, dtype=torch.float32, device=now.device)
            if isinstance(arg, float)
            else _aligned(now.value(arg), rank)
            for arg in args
        ]
        y = function(*sides)
        now.values[out] = y.expand(now.rows, *y.shape[1:]).contiguous()

    of.add(launch, *(arg for arg in args if isinstance(arg, str)), out)
    of.own.add(out)


def _aligned(x: torch.Tensor, rank: int) -> torch.Tensor:
    """A value with `rank` axes behind that of rows."""
    return x.reshape(x.shape[0], *[1] * (rank + 1 - x.ndim), *x.shape[1:])


def in_place(of: GpuLowering, n: int, name: ops.Arg) -> bool:
    """Whether nobody but step n takes a value that lies in memory of its own."""
    return isinstance(name, str) and name in of.own and of.uses(name) == [n]


def _added(of: GpuLowering, n: int, step: Step) -> bool:
    """A sum that a norm right behind it takes: that adds it where the first part lies."""
    from hnlpu.run.kernels.gpu._spans import norm_at, write_norm

    out, shape = step.outs[0], of.shape(step.outs[0])
    span = norm_at(of, n + 1, out)
    if span is None or len(shape) != 1:
        return False
    for x, more in (step.args, step.args[::-1]):
        if in_place(of, n, x) and isinstance(more, str) and more not in of.turned:
            if of.shape(str(x)) != shape or of.shape(more) != shape:
                continue
            if more in of.known.constants:
                continue
            of.own.add(out)
            write_norm(of, span, out, str(x), more)
            of.done.update(range(span.start, span.stop))
            return True
    return False


def _mix(of: GpuLowering, n: int, step: Step) -> None:
    """Members' outputs, each times its share; added to the stream where that is all they are for."""
    from hnlpu.run.kernels.gpu import _vector_unit as vector_unit

    shares, outputs, out = of.plain(step.args[0]), of.plain(step.args[1]), step.outs[0]
    (width,) = of.shape(out)
    into, added = None, of.only_use(out, ops.Add)
    if added is not None and of.uses(out) == [n + 1]:
        for x in added.args:
            if x != out and in_place(of, n + 1, x) and of.shape(str(x)) == (width,):
                into = str(x)
                of.done.add(n + 1)
    result = added.outs[0] if into is not None and added is not None else out

    def launch(now: DeviceRun) -> None:
        x = None if into is None else now.values[into]
        parts = now.value(outputs).reshape(-1, width).contiguous()
        now.values[result] = vector_unit.mix(x, parts, now.value(shares).contiguous())

    of.add(launch, shares, outputs, result, *([into] if into else []))
    of.own.add(result)
