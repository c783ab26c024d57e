"""A network's steps as a tape: one instruction per step, or per several where they belong together.

    steps ─┬► spans that an instruction does at once ─┬► instructions ─► buffers ─► Tape
           └► single steps ───────────────────────────┘

Steps whose values are known before a call (parameters, rows of an embedding, cosines) are left out.
Serial regions become turns.
"""

from __future__ import annotations

from collections.abc import Sequence

from hnlpu.model.network import Network, Region, op_name
from hnlpu.run.kernels._library import Library
from hnlpu.run.kernels.tape._code import Code, Operation, TapeInstruction
from hnlpu.run.kernels.tape._layout import laid_out
from hnlpu.run.kernels.tape._lowering import Known, Lowering
from hnlpu.run.kernels.tape._spans import SPANS
from hnlpu.run.kernels.tape._steps import write_step
from hnlpu.run.kernels.tape._tape import Tape
from hnlpu.run.kernels.tape._views import View
from hnlpu.run.kernels.tape._writer import NotOnTape


def lower(
    library: Library, network: Network, known: Known, outputs: Sequence[str] | None = None
) -> Tape:
    """The tape that gives `outputs` (default: the network's); raises NotOnTape.

    Where they are given, steps behind the last of them are left out.
    """
    of = _written(network, known, outputs)
    arrays = _outputs(of)
    layout = laid_out(of.writer.instructions, len(known.outside), [view for _, view in arrays])
    outputs_of = tuple((name, view.kind, view.shape) for name, view in arrays)
    return Tape(library, layout, known.outside, outputs_of, tuple(of.held.values()))


def lacking(network: Network, known: Known, outputs: Sequence[str] | None = None) -> str | None:
    """What a tape of a network lacks, in one line that names the step; None if nothing."""
    try:
        _outputs(_written(network, known, outputs))
    except NotOnTape as error:
        return str(error)
    return None


def _written(network: Network, known: Known, outputs: Sequence[str] | None) -> Lowering:
    of = Lowering(network, known, None if outputs is None else tuple(outputs))
    serial = {region.start: region for region in of.serial}
    n = 0
    while n < len(of.steps):
        region = serial.get(n)
        n = _at_once(of, n, region.stop if region else 0) or (
            _in_turns(of, region) if region else _one(of, n)
        )
    return of


def _at_once(of: Lowering, n: int, least: int = 0) -> int:
    """Write the outermost span from step n on that can be: the step behind it, or 0 for none.

    It must reach step `least`.
    """
    spans = [s for s in of.network.spans if s.start == n and least <= s.stop <= len(of.steps)]
    for span in sorted(spans, key=lambda s: -s.stop):
        if span.composite in SPANS and of.stands_alone(span):
            stop = SPANS[span.composite](of, span)
            if stop is not None:
                return stop
    return 0


def _in_turns(of: Lowering, region: Region) -> int:
    marker = TapeInstruction(Code.TURNS, [], (), [0])
    of.writer.add(marker)
    start = of.writer.barrier = len(of.writer.instructions)
    n = region.start
    while n < region.stop:
        n = _at_once(of, n) or _one(of, n)
    marker.n[0] = len(of.writer.instructions) - start
    of.writer.barrier = len(of.writer.instructions)
    return n


def _one(of: Lowering, n: int) -> int:
    step = of.steps[n]
    if not of.is_known(step):
        try:
            write_step(of, step)
        except NotOnTape as error:
            names = " ".join((op_name(step.op), *step.outs[:1]))
            raise NotOnTape(f"step {n} ({names}): {error}") from None
    return n + 1


def _outputs(of: Lowering) -> list[tuple[str, View]]:
    """Outputs as whole buffers, each of its own."""
    found: list[tuple[str, View]] = []
    taken: set[object] = set()
    for name in of.outputs:
        view = of.view(name)
        if not view.is_whole or view.base in taken:
            if view.kind not in ("float32", "truth"):
                raise NotOnTape(f"the output {name}: no instruction copies {view.kind}")
            view = of.writer.pointwise(Operation.COPY, [view], view.shape, view.kind)
        taken.add(view.base)
        found.append((name, view))
    return found
