"""A network of the form in torch: logits of whole texts with gradients, for any family of decoders.

    tokens [batch, n] ─► steps, each for all positions of all texts ─► logits [batch, n, vocabulary]

Attention over positions is done at once; other states (recurrences) are refused by name.  Only this module imports torch;
who uses it says so in an extra.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from hnlpu.arithmetic.mx import BLOCK, dequantize, quantize_mxfp4
from hnlpu.errors import UnsupportedArchitecture
from hnlpu.model.checkpoint import Model
from hnlpu.model.network import Given, Matrix, Span, leaf_tensors, ops, read_source
from hnlpu.model.network import all_leaves as leaves_of

T = torch.Tensor
LEAD = 2
"""Axes in front of every value: texts and positions."""


class TorchNetwork(torch.nn.Module):
    """A checkpoint's network with weights that can be learnt.

    Matrices in `one_digit` meet activations as one MXFP4 digit holds them, and learn as if they did not (a straight-through
    estimator), so that what is learnt still fits.  Raises UnsupportedArchitecture for a step that is not done here.
    """

    def __init__(self, model: Model, one_digit: Container[str] = ()):
        super().__init__()
        self.network = model.network
        self._one_digit = one_digit
        self._matrices = {m.name: m for m in model.network.matrices}
        self._attention = {s.start: s for s in model.network.spans if s.composite == "attend"}
        self._named: dict[str, torch.nn.Parameter] = {}
        self._held: dict[str, T] = {}
        shared: dict[str, torch.nn.Parameter] = {}
        for p in model.network.parameters:
            if isinstance(p.source, Given):
                self._held[p.name] = torch.tensor(read_source(p.source, {}, dequantize))
            else:
                self._learn(p.name, np.asarray(model.vector(p.name)))
                for leaf in leaves_of(p.source):
                    shared |= dict.fromkeys(leaf_tensors(leaf), self._named[p.name])
        for m in model.network.matrices:
            stored = model.matrices[m.name]
            own = getattr(stored, "tensors", {})
            tied = next((shared[name] for name in own if name in shared), None)
            if tied is None:
                self._learn(m.name, _weights(model, m))
            else:
                self._named[m.name] = tied
            if m.bias is not None:
                bias = stored.bias()
                assert bias is not None
                self._learn(f"{m.name} bias", bias if m.members is not None else bias[0])
        for step in model.network.steps:
            if not isinstance(step.op, ops.Read | ops.Write):
                self._refuse_unknown(step)
        self._refuse_states()

    def _learn(self, name: str, values: np.ndarray[Any, Any]) -> None:
        parameter = torch.nn.Parameter(torch.tensor(np.array(values, np.float32)))
        self.register_parameter(name.replace(".", "/"), parameter)
        self._named[name] = parameter

    def _refuse_unknown(self, step: ops.Step) -> None:
        if isinstance(step.op, ops.Repeat | ops.Window):
            raise UnsupportedArchitecture(
                f"{self.network.family}: {type(step.op).__name__} of {step.outs[0]} has no gradient here"
            )

    def _refuse_states(self) -> None:
        inside = {n for s in self._attention.values() for n in range(s.start, s.stop)}
        for n, step in enumerate(self.network.steps):
            if isinstance(step.op, ops.Read | ops.Write) and n not in inside:
                raise UnsupportedArchitecture(
                    f"{self.network.family}: the state {step.op.state} has no gradient here; only attention has"
                )

    def values(self, name: str, member: int = 0) -> np.ndarray[Any, Any]:
        """Weights [rows, columns] of a matrix as they stand, of one member; one digit where it has to be."""
        weights = self._weights(name).detach().numpy()
        return weights if self._matrices[name].members is None else np.asarray(weights[member])

    def parameter_values(self, name: str) -> np.ndarray[Any, Any]:
        """A parameter of the network, or the biases of matrix M by the name `M bias`, as it stands."""
        return np.asarray(self._named[name].detach().numpy())

    def learnt(self) -> Mapping[str, torch.nn.Parameter]:
        """All that is learnt, by the names of matrices and parameters; biases as `M bias`."""
        return dict(self._named)

    def forward(self, tokens: T) -> T:
        """Logits [batch, n, vocabulary] of texts that begin at position 0."""
        network, n = self.network, 0
        known: dict[str, T] = {name: p[None, None] for name, p in self._named.items()}
        known |= {name: x[None, None] for name, x in self._held.items()}
        for given in network.inputs:
            positions = torch.arange(tokens.shape[1])[None]
            known[given.name] = tokens if given.carries == "token" else positions
        while n < len(network.steps):
            if (span := self._attention.get(n)) is not None:
                n = self._attend(span, known)
                continue
            step = network.steps[n]
            args = [known[arg] if isinstance(arg, str) else arg for arg in step.args]
            known.update(zip(step.outs, self._run(step.op, args), strict=True))
            n += 1
        return known[network.outputs[0]]

    def _weights(self, name: str) -> T:
        weights = self._named[name]
        if name not in self._one_digit:
            return weights
        rounded = torch.tensor(_rounded(weights.detach().numpy()))
        return weights + (rounded - weights).detach()

    def _attend(self, span: Span, known: dict[str, T]) -> int:
        """Causal attention of a span, done at once; the number of the step behind it."""
        steps = self.network.steps[span.start : span.stop]
        written = [str(s.args[0]) for s in steps if isinstance(s.op, ops.Write)]
        first = next(s for s in steps if s.op == ops.Dot("grd,tgd->grt"))
        last = next(s for s in steps if s.op == ops.Dot("grt,tgd->grd"))
        made = {name: s for s in steps for name in s.outs}
        queries = made[str(first.args[0])]
        q = self._run(queries.op, [known[str(queries.args[0])]])[0]
        k, v = (known[name] for name in written)
        scores = torch.einsum("btgrd,bsgd->bgrts", q, k) * float(span.option("scale"))
        if cap := float(span.option("softcap")):
            scores = torch.tanh(scores / cap) * cap
        n = scores.shape[-1]
        apart = torch.arange(n)[:, None] - torch.arange(n)[None]
        seen = apart >= 0
        if window := int(span.option("window")):
            seen &= apart < window
        scores = scores.masked_fill(~seen, -torch.inf)
        if span.option("sink"):
            sink = self._sink(span, scores.shape[1:3])
            column = sink.reshape(1, *scores.shape[1:3], 1, 1).expand(*scores.shape[:4], 1)
            shares = torch.softmax(torch.cat([scores, column], -1), -1)[..., :-1]
        else:
            shares = torch.softmax(scores, -1)
        known[last.outs[0]] = torch.einsum("bgrts,bsgd->btgrd", shares, v)
        behind = span.start + steps.index(last) + 1
        for step in self.network.steps[behind : span.stop]:
            args = [known[arg] if isinstance(arg, str) else arg for arg in step.args]
            known.update(zip(step.outs, self._run(step.op, args), strict=True))
        return span.stop

    def _sink(self, span: Span, heads: torch.Size) -> T:
        """The one parameter that an attention takes."""
        steps = self.network.steps[span.start : span.stop]
        (name,) = {
            arg
            for step in steps
            for arg in step.args
            if isinstance(arg, str) and arg in self._named
        }
        return self._named[name].reshape(heads)

    def _run(self, op: ops.Op, args: list[Any]) -> tuple[T, ...]:
        match op:
            case ops.Project(name, members):
                return (_project(args[0], self._weights(name), members, args[1:]),)
            case ops.FromSums(name):
                return (self._with_bias(name, args),)
            case ops.Lookup(table):
                return (functional.embedding(args[0], self._table(table)),)
            case ops.Quantize():
                return (args[0],)
            case _:
                return _plain(op, args)

    def _table(self, name: str) -> T:
        return self._named[name] if name in self._named else self._held[name]

    def _with_bias(self, name: str, args: list[T]) -> T:
        bias = self._named.get(f"{name} bias")
        if bias is None:
            return args[0]
        return args[0] + (bias[args[1]] if len(args) > 1 else bias)


def _weights(model: Model, matrix: Matrix) -> np.ndarray[Any, Any]:
    stored = model.matrices[matrix.name]

    def one(member: int) -> np.ndarray[Any, Any]:
        if stored.is_mxfp4:
            return dequantize(*stored.packed(member))
        return stored.dense(member)[:, : matrix.columns]

    return one(0) if matrix.members is None else np.stack([one(n) for n in range(matrix.count)])


def _rounded(weights: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Weights [..., rows, columns] as the nearest MXFP4 digit."""
    columns = weights.shape[-1]
    flat = np.pad(weights.reshape(-1, columns), ((0, 0), (0, -columns % BLOCK)))
    return dequantize(*quantize_mxfp4(flat))[:, :columns].reshape(weights.shape)


def _project(x: T, weights: T, members: str, numbers: list[T]) -> T:
    """Sums of x [..., columns]: [..., rows]."""
    if members == "one":
        return functional.linear(x, weights)
    if members == "each":
        return torch.einsum("...mc,mrc->...mr", x, weights)
    (chosen,) = numbers
    if x.ndim == chosen.ndim:  # [..., columns] of [..., k] choices
        x = x[..., None, :].expand(*chosen.shape, x.shape[-1])
    flat, among = x.reshape(-1, x.shape[-1]), chosen.reshape(-1)
    order = torch.argsort(among, stable=True)
    counts = torch.bincount(among, minlength=len(weights)).tolist()
    parts = torch.split(flat[order], counts)
    met = torch.cat(
        [functional.linear(part, own) for part, own in zip(parts, weights, strict=True)]
    )
    return met[torch.argsort(order)].reshape(*chosen.shape, weights.shape[1])


def _aligned(args: list[Any]) -> list[Any]:
    """Values with as many axes each, ones put in behind texts and positions."""
    most = max(arg.ndim for arg in args if isinstance(arg, T))
    return [
        arg.reshape(*arg.shape[:LEAD], *[1] * (most - arg.ndim), *arg.shape[LEAD:])
        if isinstance(arg, T)
        else torch.tensor(float(arg))
        for arg in args
    ]


def _lead(*values: T) -> tuple[int, ...]:
    """Texts and positions of several values, of which some may be the same for all."""
    return tuple(max(value.shape[n] for value in values) for n in range(LEAD))


def _behind(axis: int) -> int:
    return axis if axis < 0 else axis + LEAD


_PAIRS: dict[type, Callable[[T, T], T]] = {
    ops.Add: torch.add, ops.Sub: torch.sub, ops.Mul: torch.mul, ops.Divide: torch.div,
    ops.Minimum: torch.minimum, ops.Maximum: torch.maximum,
}  # fmt: skip
_RELATIONS: dict[str, Callable[[T, T], T]] = {
    "less": torch.lt, "less_equal": torch.le, "equal": torch.eq,
}  # fmt: skip
_FUNCTIONS: dict[str, Callable[[T], T]] = {
    "exp": torch.exp, "log": torch.log, "sigmoid": torch.sigmoid, "tanh": torch.tanh,
    "softplus": functional.softplus, "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"), "sin": torch.sin,
    "cos": torch.cos, "round": lambda x: x + (torch.round(x) - x).detach(),
}  # fmt: skip


def _plain(op: ops.Op, args: list[Any]) -> tuple[T, ...]:
    """Steps that no constant takes part in."""
    if type(op) in _PAIRS:
        return (_PAIRS[type(op)](*_aligned(args)),)
    match op:
        case ops.Shift(bits):
            return (args[0] * 2.0**bits,)
        case ops.Compare(relation):
            return (_RELATIONS[relation](*_aligned(args)),)
        case ops.Where():
            return (torch.where(*_aligned(args)),)
        case ops.Table(function, scale, coefficients):
            return (_table(function, coefficients, args[0]) * scale,)
        case ops.InverseRoot():
            return (torch.rsqrt(args[0]),)
        case ops.Sum(axis, keep, _):
            return (args[0].sum(_behind(axis), keepdim=keep),)
        case ops.Max(axis, keep):
            return (args[0].amax(_behind(axis), keepdim=keep),)
        case ops.Dot(axes, _) | ops.Outer(axes):
            left, _, result = axes.partition("->")
            first, second = left.split(",")
            return (torch.einsum(f"...{first},...{second}->...{result}", *args),)
        case ops.TopK(k):
            return tuple(torch.topk(args[0], k))
        case ops.ArgMax():
            return (args[0].argmax(-1),)
        case ops.Reshape(shape):
            return (args[0].reshape(*args[0].shape[:LEAD], *shape),)
        case ops.Permute(order):
            return (args[0].permute(0, 1, *(axis + LEAD for axis in order)),)
        case ops.Split(sizes, axis):
            return tuple(
                torch.split(args[0], [n for n in sizes if isinstance(n, int)], _behind(axis))
            )
        case ops.Concat(axis):
            lead = _lead(*args)
            longer = [arg.expand(*lead, *arg.shape[LEAD:]) for arg in args]
            return (torch.cat(longer, _behind(axis)),)
        case ops.Gather(axis):
            return (_gather(args[0], args[1], _behind(axis)),)
        case _:
            raise AssertionError(f"{type(op).__name__} is refused before")


def _table(function: str, coefficients: tuple[float, ...], x: T) -> T:
    if function == "polynomial":
        total = torch.zeros_like(x)
        for coefficient in reversed(coefficients):
            total = total * x + coefficient
        return total
    return _FUNCTIONS[function](x)


def _gather(x: T, numbers: T, axis: int) -> T:
    """Entries of x [*lead, m] or more by numbers [*lead, ...], text by text and position by position."""
    lead = _lead(x, numbers)
    x = x.expand(*lead, *x.shape[LEAD:]).movedim(axis, LEAD)
    numbers = numbers.expand(*lead, *numbers.shape[LEAD:])
    flat = numbers.reshape(*lead, -1)
    rest = x.shape[LEAD + 1 :]
    index = flat.reshape(*flat.shape, *[1] * len(rest)).expand(*flat.shape, *rest)
    found = torch.gather(x, LEAD, index).reshape(*numbers.shape, *rest)
    count = numbers.ndim - LEAD
    places = range(LEAD, LEAD + count)
    target = range(axis if axis > 0 else found.ndim + axis - count + 1, 10**6)
    return found.movedim(tuple(places), tuple(target[:count]))
