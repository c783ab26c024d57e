"""A router's choice and the mixture of experts behind it, as one instruction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hnlpu.model.network import Span, Step, ops
from hnlpu.run.kernels.tape._code import Code, Gate, TapeInstruction
from hnlpu.run.kernels.tape._lowering import Lowering
from hnlpu.run.kernels.tape._matched import ends
from hnlpu.run.kernels.tape._views import View
from hnlpu.run.kernels.tape._writer import BLOCK

OPEN = "Quantize Project FromSums"
END = "Quantize Project FromSums Dot"
SILU = f"{OPEN} Project FromSums Table Mul Mul {END}"


@dataclass(frozen=True)
class _Opened:
    """What opens the experts' gates: the projections before, the step that gives what is let through."""

    projects: tuple[Step, ...]
    gated: Step
    kind: Gate
    gain: float = 0.0
    limit: float = 0.0


def write_experts(of: Lowering, span: Span) -> int | None:
    """Write a `route` span and the rest of the mixture that it is in: the step behind this.

    None, having written nothing, where they are not what EXPERTS does.
    """
    around = [s for s in of.network.spans if s.composite == "moe" and s.start < span.start]
    around = [s for s in around if span.stop < s.stop <= len(of.steps)]
    taken, given = ends(of, span)
    if not around or len(taken) != 1 or len(given) != 2:
        return None
    moe = around[-1]
    shares, chosen = sorted(given, key=lambda name: of.types[name].kind == "index")
    rest = [s for s in of.steps[span.stop : moe.stop] if not of.is_known(s)]
    opened = _by_silu(of, rest, moe) or _by_clamped_swiglu(of, rest, moe)
    if opened is None or not _fits(rest, opened, shares, chosen):
        return None
    x, out = str(rest[0].args[0]), rest[-1].outs[0]
    if set(ends(of, moe)[1]) - {out, chosen} or x not in of.digits_of:
        return None
    made, numbers = _write(of, span, rest, opened, of.view(taken[0]))
    of.values[out], of.values[chosen] = made, numbers
    return moe.stop


def _by_silu(of: Lowering, rest: Sequence[Step], moe: Span) -> _Opened | None:
    """Two banks: silu of the first one's outputs lets the second one's through."""
    if " ".join(type(s.op).__name__ for s in rest) != SILU:
        return None
    opened, raised, table, product, gated = (*(rest[n] for n in (2, 4, 5, 6, 7)),)
    if table.op != ops.Table("sigmoid") or table.args != opened.outs:
        return None
    if product.args != (*opened.outs, *table.outs) or gated.args != (*product.outs, *raised.outs):
        return None
    return _Opened((rest[1], rest[3], rest[9]), gated, Gate.SILU)


def _by_clamped_swiglu(of: Lowering, rest: Sequence[Step], moe: Span) -> _Opened | None:
    """One bank, whose outputs are gates and what they let through in turn."""
    kinds = " ".join(type(s.op).__name__ for s in rest)
    spans = [
        s
        for s in of.network.spans
        if s.composite == "clamped_swiglu" and moe.start < s.start < moe.stop
    ]
    if not (kinds.startswith(f"{OPEN} ") and kinds.endswith(f" {END}")) or len(spans) != 1:
        return None
    if of.inside(spans[0]) != list(rest[3:-4]) or ends(of, spans[0])[0] != list(rest[2].outs):
        return None
    gain, limit = (float(spans[0].option(name)) for name in ("alpha", "limit"))
    return _Opened((rest[1], rest[-3]), rest[-5], Gate.CLAMPED_SWIGLU, gain, limit)


def _fits(rest: Sequence[Step], opened: _Opened, shares: str, chosen: str) -> bool:
    """Whether the steps are joined as EXPERTS joins them."""
    quantized, mixed, down = rest[-4], rest[-1], opened.projects[-1]
    return (
        all(s.args == (*rest[0].outs, chosen) for s in opened.projects[:-1])
        and down.args == (*quantized.outs, chosen)
        and quantized.args == opened.gated.outs
        and mixed.args == (shares, *rest[-2].outs)
        and mixed.op == ops.Dot("k,kn->n")
        and rest[0].op == quantized.op == ops.Quantize()
    )


def _write(
    of: Lowering, span: Span, rest: Sequence[Step], opened: _Opened, logits: View
) -> tuple[View, View]:
    """The mixture and the numbers of the chosen."""
    names = [s.op.matrix for s in opened.projects if isinstance(s.op, ops.Project)]
    down, k = of.declared.matrices[names[-1]], int(span.option("k"))
    digits, logits = of.digits_of[str(rest[0].args[0])], of.writer.dense(logits)
    out, numbers = of.writer.buffer("float32", (down.rows,)), of.writer.buffer("int64", (k,))
    n = [
        down.rows, down.columns, down.count, k, of.known.bits, int(opened.kind),
        int(bool(span.option("share_first"))), int(bool(span.option("normalise"))),
        digits.integers.size, -(-down.columns // BLOCK) * BLOCK,
    ]  # fmt: skip
    banks = [
        np.array([of.known.describe(name, m).address for m in range(down.count)], np.int64)
        for name in names
    ]
    pointers: list[int | npt.NDArray[np.int64] | None] = [banks[0], None, banks[-1]]
    if len(banks) == 3:
        pointers[1] = banks[1]
    places: list[View | None] = [logits, digits.integers, digits.scales, None, out, numbers]
    reals = [opened.gain, opened.limit]
    of.writer.add(TapeInstruction(Code.EXPERTS, places, (4, 5), n, reals, pointers))
    return out, numbers
