"""Spans that instructions do at once.

Each takes a span and writes it, and gives the step behind what it wrote; or None, having written
nothing, where the span is not what the instruction does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hnlpu.model.network import Ring, Span, Step, ops, span_ends
from hnlpu.run.kernels.tape._code import Code, Gate, Instruction
from hnlpu.run.kernels.tape._lowering import Lowering
from hnlpu.run.kernels.tape._views import Constant, View

Float32 = npt.NDArray[np.float32]
Write = Callable[[Lowering, Span], int | None]


def _ends(of: Lowering, span: Span) -> tuple[list[str], list[str]]:
    """What a span's steps take that is not made by steps known before, and what others take."""
    inside = of.inside(span)
    own = {name for step in inside for name in step.outs}
    taken = [a for step in inside for a in step.args if isinstance(a, str) and a not in own]
    _, given = span_ends(of.network, span)
    wanted = [name for name in given if name in own and (of.uses[name] or name in of.outputs)]
    return list(dict.fromkeys(taken)), wanted


def _is_made_of(steps: list[Step], names: str) -> bool:
    """Whether steps have operations of these names, in this order."""
    return [type(step.op).__name__ for step in steps] == names.split()


def _array(view: View) -> Float32 | None:
    """A constant view's array of float32."""
    if not isinstance(view.base, Constant) or not view.is_dense or view.first:
        return None
    return np.ascontiguousarray(view.base.array, np.float32).reshape(view.shape)


def _norm(of: Lowering, span: Span) -> int | None:
    steps = [s for s in of.inside(span) if not isinstance(s.op, ops.Reshape)]
    taken, given = _ends(of, span)
    if not _is_made_of(steps, "Dot Divide Add InverseRoot Mul Mul") or len(taken) != 2:
        return None
    x, weight = of.view(taken[0]), _array(of.view(taken[1]))
    if weight is None or weight.shape not in (x.shape[-1:], x.shape) or len(given) != 1:
        return None
    weight = weight.reshape(-1, weight.shape[-1]) if weight.ndim > 1 else weight
    of.values[given[0]] = of.writer.norm(x, weight, float(span.option("eps")))
    return span.stop


def _rope(of: Lowering, span: Span) -> int | None:
    steps, (taken, given) = of.inside(span), _ends(of, span)
    if not _is_made_of(steps, "Split Mul Mul Sub Mul Mul Add Concat") or len(taken) != 3:
        return None
    x, cos, sin = (of.view(name) for name in taken)
    if len(x.shape) != 2 or x.shape[1] != 2 * int(span.option("pairs")) or len(given) != 1:
        return None
    if not (cos.is_dense and sin.is_dense and cos.shape == sin.shape == (x.shape[1] // 2,)):
        return None
    x, out = of.writer.dense(x), of.writer.buffer("float32", x.shape)
    of.writer.add(Instruction(Code.ROTATE, [x, cos, sin, out], (3,), list(x.shape)))
    of.values[given[0]] = out
    return span.stop


def _silu(of: Lowering, span: Span) -> int | None:
    steps, (taken, given) = of.inside(span), _ends(of, span)
    if not _is_made_of(steps, "Table Mul") or len(taken) != 1 or len(given) != 1:
        return None
    if steps[0].op != ops.Table("sigmoid"):
        return None
    x = of.view(taken[0])
    if not x.shape or x.kind != "float32":
        return None
    of.values[given[0]] = of.writer.gate(Gate.SILU, x, x.shape[-1])
    return span.stop


def _clamped_swiglu(of: Lowering, span: Span) -> int | None:
    taken, given = _ends(of, span)
    gain, limit = (float(span.option(name)) for name in ("alpha", "limit"))
    if len(taken) != 1 or len(given) != 1:
        return None
    x = of.view(taken[0])
    of.values[given[0]] = of.writer.gate(
        Gate.CLAMPED_SWIGLU, x, x.shape[-1] // 2, gain=gain, limit=limit
    )
    return span.stop


def _attend(of: Lowering, span: Span) -> int | None:
    steps, (taken, given) = of.inside(span), _ends(of, span)
    written = [s.op.state for s in steps if isinstance(s.op, ops.Write)]
    if span.option("softcap") or len(written) != 2 or len(given) != 1:
        return None
    sink = _array(of.view(taken[3])) if span.option("sink") else None
    if len(taken) != (4 if span.option("sink") else 3) or (span.option("sink") and sink is None):
        return None
    k, v, q = (of.view(name) for name in taken[:3])
    if k.shape != v.shape or q.shape[1:] != k.shape[1:]:
        return None
    q, k, v = (of.writer.dense(x) for x in (q, k, v))
    if q.row != q.size:
        return None
    out = of.writer.buffer("float32", (q.size,))
    n = [
        *q.shape[:1], *k.shape, int(span.option("window")), of.state(written[0], "keys"),
        of.state(written[1], "values"),
    ]  # fmt: skip
    sinks = None if sink is None else np.ascontiguousarray(sink.ravel())
    of.writer.add(
        Instruction(Code.ATTEND, [q, k, v, out], (3,), n, [float(span.option("scale"))], [sinks])
    )
    of.values[given[0]] = out
    return span.stop


def _causal_conv(of: Lowering, span: Span) -> int | None:
    steps, (taken, given) = of.inside(span), _ends(of, span)
    biased = _is_made_of(steps, "Write Read Dot Add")
    if not (biased or _is_made_of(steps, "Write Read Dot")) or len(given) != 1:
        return None
    arrays = [_array(of.view(name)) for name in taken[1:]]
    write = steps[0].op
    assert isinstance(write, ops.Write)
    state = of.declared.states[write.state]
    if len(arrays) != 1 + biased or arrays[0] is None or arrays[-1] is None:
        return None
    if not isinstance(state.keeps, Ring) or len(state.shape) != 1:
        return None
    length, (width,) = state.keeps.length, state.shape
    weights = np.ascontiguousarray(arrays[0].T)
    if weights.shape != (length, width):
        return None
    x, out = of.writer.dense(of.view(taken[0])), of.writer.buffer("float32", (width,))
    n = [of.state(write.state, "whole", length), length * width, length]
    bias = arrays[1] if biased else None
    of.writer.add(Instruction(Code.CONVOLVE, [x, out], (1,), n, [], [weights, bias]))
    of.values[given[0]] = out
    return span.stop


SCAN = "Mul Table Reshape Reshape Mul Reshape Read Mul Outer Add Write Dot Reshape Mul Add"


def _ssm_scan(of: Lowering, span: Span) -> int | None:
    steps, (taken, given) = of.inside(span), _ends(of, span)
    if not _is_made_of(steps, SCAN) or len(taken) != 6 or len(given) != 1:
        return None
    dt, a, x, b_in, c_out, skip = (of.writer.dense(of.view(name)) for name in taken)
    read = steps[6].op
    assert isinstance(read, ops.Read)
    groups, (heads, rows), columns = b_in.shape[0], x.shape, b_in.shape[1]
    out = of.writer.buffer("float32", (heads, rows))
    n = [of.state(read.state, "whole"), heads, rows, columns, groups]
    places: list[View | None] = [x, dt, a, b_in, c_out, skip, out]
    of.writer.add(Instruction(Code.SCAN, places, (6,), n))
    of.values[given[0]] = out
    return span.stop


@dataclass(frozen=True)
class _Experts:
    """What stands behind a router's choice: banks, and what opens gates between them."""

    x: str
    opened: tuple[str, ...]
    down: str
    out: str
    gate: Gate
    gain: float = 0.0
    limit: float = 0.0


def _route(of: Lowering, span: Span) -> int | None:
    """A router's choice with the mixture of experts that it is in."""
    around = [s for s in of.network.spans if s.composite == "moe" and s.start < span.start]
    around = [s for s in around if span.stop < s.stop <= len(of.steps)]
    taken, given = _ends(of, span)
    if not around or len(taken) != 1 or len(given) != 2:
        return None
    moe = around[-1]
    shares, chosen = sorted(given, key=lambda name: of.types[name].kind == "index")
    e = _experts(of, span, moe, shares, chosen)
    if e is None or set(_ends(of, moe)[1]) - {e.out, chosen} or e.x not in of.digits_of:
        return None
    digits, logits = of.digits_of[e.x], of.writer.dense(of.view(taken[0]))
    matrices = of.declared.matrices
    bank, down = matrices[e.opened[0]], matrices[e.down]
    inner = down.columns
    out, numbers = (
        of.writer.buffer("float32", (down.rows,)),
        of.writer.buffer("int64", (int(span.option("k")),)),
    )
    n = [
        down.rows, inner, bank.count, int(span.option("k")), of.known.bits, int(e.gate),
        int(bool(span.option("share_first"))), int(bool(span.option("normalise"))),
        digits.integers.size, -(-inner // 32) * 32,
    ]  # fmt: skip
    banks = [
        np.array([of.known.describe(name, m).address for m in range(bank.count)], np.int64)
        for name in (*e.opened, e.down)
    ]
    pointers: list[int | npt.NDArray[np.generic] | None] = [banks[0], None, banks[-1]]
    pointers[1] = banks[1] if len(e.opened) == 2 else None
    places: list[View | None] = [logits, digits.integers, digits.scales, None, out, numbers]
    of.writer.add(Instruction(Code.EXPERTS, places, (4, 5), n, [e.gain, e.limit], pointers))
    of.values[e.out], of.values[chosen] = out, numbers
    return moe.stop


def _experts(of: Lowering, route: Span, moe: Span, shares: str, chosen: str) -> _Experts | None:
    """The steps between a choice and the end of a mixture, if they are what EXPERTS does."""
    rest = [s for s in of.steps[route.stop : moe.stop] if not of.is_known(s)]
    kinds = " ".join(type(s.op).__name__ for s in rest)
    one = "Quantize Project FromSums "
    end = "Quantize Project FromSums Dot"
    if kinds == f"{one}Project FromSums Table Mul Mul {end}":
        spans = [
            s for s in of.network.spans if s.composite == "silu" and moe.start < s.start < moe.stop
        ]
        opened, raised, gated = rest[2].outs[0], rest[4].outs[0], rest[7]
        if len(spans) != 1 or rest[5].args != (opened,) or rest[5].op != ops.Table("sigmoid"):
            return None
        if rest[6].args != (opened, rest[5].outs[0]) or gated.args != (rest[6].outs[0], raised):
            return None
        projects, found = (rest[1], rest[3], rest[9]), (Gate.SILU, 0.0, 0.0)
    elif kinds.startswith(one) and kinds.endswith(end):
        spans = [
            s
            for s in of.network.spans
            if s.composite == "clamped_swiglu" and moe.start < s.start < moe.stop
        ]
        if len(spans) != 1 or _ends(of, spans[0])[0] != [rest[2].outs[0]]:
            return None
        if len(of.inside(spans[0])) != len(rest) - 7:
            return None
        gain, limit = (float(spans[0].option(name)) for name in ("alpha", "limit"))
        projects, found = (rest[1], rest[-3]), (Gate.CLAMPED_SWIGLU, gain, limit)
        gated = rest[-5]
    else:
        return None
    quantized, mixed = rest[-4], rest[-1]
    names = [s.op.matrix for s in projects if isinstance(s.op, ops.Project)]
    fits = (
        all(s.args[1:] == (chosen,) for s in projects)
        and all(s.args[0] == rest[0].outs[0] for s in projects[:-1])
        and projects[-1].args[0] == quantized.outs[0]
        and quantized.args == gated.outs
        and mixed.args == (shares, rest[-2].outs[0])
        and mixed.op == ops.Dot("k,kn->n")
        and rest[0].op == quantized.op == ops.Quantize()
    )
    if not fits:
        return None
    return _Experts(str(rest[0].args[0]), tuple(names[:-1]), names[-1], mixed.outs[0], *found)


SPANS: Mapping[str, Write] = {
    "attend": _attend,
    "causal_conv": _causal_conv,
    "clamped_swiglu": _clamped_swiglu,
    "norm": _norm,
    "rope": _rope,
    "route": _route,
    "silu": _silu,
    "ssm_scan": _ssm_scan,
}
"""By the composite's name."""
