"""Spans that instructions do at once.

Each takes a span and writes it, and gives the step behind what it wrote; or None, having written
nothing, where the span is not what the instruction does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from hnlpu.model.network import Ring, Span, ops
from hnlpu.run.kernels.tape._code import Code, Gate, TapeInstruction
from hnlpu.run.kernels.tape._experts import write_experts
from hnlpu.run.kernels.tape._lowering import Lowering
from hnlpu.run.kernels.tape._matched import array, ends, is_made_of
from hnlpu.run.kernels.tape._views import View

MOST_RANK = 1024
"""RANK_LIMIT in low_rank.h."""
Write = Callable[[Lowering, Span], int | None]


def _norm(of: Lowering, span: Span) -> int | None:
    steps = [s for s in of.inside(span) if not isinstance(s.op, ops.Reshape)]
    taken, given = ends(of, span)
    if not is_made_of(steps, "Dot Divide Add InverseRoot Mul Mul") or len(taken) != 2:
        return None
    x, weight = of.view(taken[0]), array(of.view(taken[1]))
    if weight is None or weight.shape not in (x.shape[-1:], x.shape) or len(given) != 1:
        return None
    weight = weight.reshape(-1, weight.shape[-1]) if weight.ndim > 1 else weight
    of.values[given[0]] = of.writer.norm(x, weight, float(span.option("eps")))
    return span.stop


def _rope(of: Lowering, span: Span) -> int | None:
    steps, (taken, given) = of.inside(span), ends(of, span)
    if not is_made_of(steps, "Split Mul Mul Sub Mul Mul Add Concat") or len(taken) != 3:
        return None
    x, cos, sin = (of.view(name) for name in taken)
    if len(x.shape) != 2 or x.shape[1] != 2 * int(span.option("pairs")) or len(given) != 1:
        return None
    if not (cos.is_dense and sin.is_dense and cos.shape == sin.shape == (x.shape[1] // 2,)):
        return None
    x, out = of.writer.dense(x), of.writer.buffer("float32", x.shape)
    of.writer.add(TapeInstruction(Code.ROTATE, [x, cos, sin, out], (3,), list(x.shape)))
    of.values[given[0]] = out
    return span.stop


def _silu(of: Lowering, span: Span) -> int | None:
    steps, (taken, given) = of.inside(span), ends(of, span)
    if not is_made_of(steps, "Table Mul") or len(taken) != 1 or len(given) != 1:
        return None
    if steps[0].op != ops.Table("sigmoid"):
        return None
    x = of.view(taken[0])
    if not x.shape or x.kind != "float32":
        return None
    of.values[given[0]] = of.writer.gate(Gate.SILU, x, x.shape[-1])
    return span.stop


def _clamped_swiglu(of: Lowering, span: Span) -> int | None:
    taken, given = ends(of, span)
    gain, limit = (float(span.option(name)) for name in ("alpha", "limit"))
    if len(taken) != 1 or len(given) != 1:
        return None
    x = of.view(taken[0])
    of.values[given[0]] = of.writer.gate(
        Gate.CLAMPED_SWIGLU, x, x.shape[-1] // 2, gain=gain, limit=limit
    )
    return span.stop


def _attend(of: Lowering, span: Span) -> int | None:
    steps, (taken, given) = of.inside(span), ends(of, span)
    written = [s.op.state for s in steps if isinstance(s.op, ops.Write)]
    if span.option("softcap") or len(written) != 2 or len(given) != 1:
        return None
    sink = array(of.view(taken[3])) if span.option("sink") else None
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
        TapeInstruction(
            Code.ATTEND, [q, k, v, out], (3,), n, [float(span.option("scale"))], [sinks]
        )
    )
    of.values[given[0]] = out
    return span.stop


def _causal_conv(of: Lowering, span: Span) -> int | None:
    steps, (taken, given) = of.inside(span), ends(of, span)
    biased = is_made_of(steps, "Write Read Dot Add")
    if not (biased or is_made_of(steps, "Write Read Dot")) or len(given) != 1:
        return None
    arrays = [array(of.view(name)) for name in taken[1:]]
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
    of.writer.add(TapeInstruction(Code.CONVOLVE, [x, out], (1,), n, [], [weights, bias]))
    of.values[given[0]] = out
    return span.stop


def _low_rank(of: Lowering, span: Span) -> int | None:
    taken, given = ends(of, span)
    if len(given) != 1:
        return None
    numbers = None
    if span.option("chosen"):
        down, numbers, up, x, y = (of.view(name) for name in taken)
    else:
        x, down, up, y = (of.view(name) for name in taken)
    a, b = array(down), array(up)
    if a is None or b is None or (numbers is not None and not numbers.is_dense):
        return None
    if a.shape[-1] > MOST_RANK:
        return None
    x, y = of.writer.dense(x), of.writer.dense(y)
    out = of.writer.buffer("float32", y.shape)
    members, rank, rows = (len(a) if a.ndim == 3 else 1), b.shape[-2], b.shape[-1]
    columns = a.shape[-2]
    n = [y.size // rows, x.size // columns, columns, rank, rows, members]
    of.writer.add(
        TapeInstruction(
            Code.LOW_RANK, [x, y, numbers, out], (3,), n, [float(span.option("scaling"))], [a, b]
        )
    )
    of.values[given[0]] = out
    return span.stop


SCAN = "Mul Table Reshape Reshape Mul Reshape Read Mul Outer Add Write Dot Reshape Mul Add"


def _ssm_scan(of: Lowering, span: Span) -> int | None:
    steps, (taken, given) = of.inside(span), ends(of, span)
    if not is_made_of(steps, SCAN) or len(taken) != 6 or len(given) != 1:
        return None
    dt, a, x, b_in, c_out, skip = (of.writer.dense(of.view(name)) for name in taken)
    read = steps[6].op
    assert isinstance(read, ops.Read)
    groups, (heads, rows), columns = b_in.shape[0], x.shape, b_in.shape[1]
    out = of.writer.buffer("float32", (heads, rows))
    n = [of.state(read.state, "whole"), heads, rows, columns, groups]
    places: list[View | None] = [x, dt, a, b_in, c_out, skip, out]
    of.writer.add(TapeInstruction(Code.SCAN, places, (6,), n))
    of.values[given[0]] = out
    return span.stop


SPANS: Mapping[str, Write] = {
    "attend": _attend,
    "causal_conv": _causal_conv,
    "clamped_swiglu": _clamped_swiglu,
    "low_rank": _low_rank,
    "norm": _norm,
    "rope": _rope,
    "route": write_experts,
    "silu": _silu,
    "ssm_scan": _ssm_scan,
}
"""By the composite's name."""
