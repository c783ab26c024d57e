"""The whole sheet: the name, what the network holds in all, the diagram, and the legend."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from hnlpu.insight.diagram._box import row_height, row_marks, row_width
from hnlpu.insight.diagram._marks import LineMark, Mark, RectMark, TextMark, moved, text_width
from hnlpu.insight.diagram._model import Panel, all_rows
from hnlpu.insight.diagram._place import placed
from hnlpu.insight.diagram._rows import BYTES_PER_NUMBER, BoxRow, byte_text
from hnlpu.model.network import Append, Network, Ring

MARGIN = 24.0
_LEGEND = {
    "metal": "metal: hardwired matrix, outputs × inputs",
    "memory": "memory: constants that steps read",
    "state": "state: kept per sequence, bytes in float32",
}


def sheet(network: Network, panel: Panel, title: str) -> tuple[list[Mark], float, float]:
    """Marks, width and height of the sheet."""
    body = placed(panel)
    facts = _facts(network)
    texts = [(title, "name"), *((fact, "detail") for fact in facts)]
    width = max(body.width, *(text_width(text, of) for text, of in texts))
    legend, legend_width, legend_height = _legend(panel, width)
    width = max(width, legend_width)
    marks: list[Mark] = []
    y = MARGIN + 16
    for text, of in texts:
        marks.append(TextMark(MARGIN, y, text, of))
        y += 18
    y += 8
    marks += moved(body.marks, MARGIN + (width - body.width) / 2, y)
    y += body.height + MARGIN
    marks += moved(legend, MARGIN, y)
    return marks, width + 2 * MARGIN, y + legend_height + MARGIN


def _facts(network: Network) -> list[str]:
    """What the network holds in all."""
    weights = sum(m.count * m.rows * m.columns for m in network.matrices)
    numbers = sum(prod(p.shape) for p in network.parameters)
    facts = [
        f"{weights:,} weights in metal, {len(network.matrices):,} matrices",
        f"{numbers:,} numbers in memory, beside biases",
    ]
    grows = lasts = 0
    for state in network.states:
        size = prod(state.shape) * BYTES_PER_NUMBER
        match state.keeps:
            case Append():
                grows += size
            case Ring(length):
                lasts += length * size
            case _:
                lasts += size
    told = [f"{byte_text(grows)} per position"] * bool(grows)
    told += [f"{byte_text(lasts)} whatever its length"] * bool(lasts)
    return [*facts, "state of a sequence: " + (" and ".join(told) or "none")]


def _legend(panel: Panel, width: float) -> tuple[list[Mark], float, float]:
    """Samples of what is drawn here with what they mean, in lines of at most `width`."""
    kinds = dict.fromkeys(("metal", "memory", "state"))
    there = {row.lies for row in all_rows(panel)}
    samples: list[tuple[Sequence[Mark], float, float]] = []
    for kind in kinds:
        if kind in there:
            row = BoxRow(kind, (_LEGEND[kind],), ())
            samples.append((row_marks(row, row_width(row)), row_width(row), row_height(row)))
    samples.append(_sample("box", "white box: vector unit, or quantise and scale around metal"))
    if _has_stream(panel):
        samples.append(_sample("stream", "residual stream"))
    marks: list[Mark] = []
    x = y = widest = 0.0
    for sample, sample_width, _ in samples:
        if x and x + sample_width > width:
            x, y = 0.0, y + 24
        marks += moved(sample, x, y)
        x += sample_width + 16
        widest = max(widest, x - 16)
    return marks, widest, y + 18


def _sample(style: str, text: str) -> tuple[Sequence[Mark], float, float]:
    shape: Mark = (
        RectMark(0, 1, 26, 15, style, 4)
        if style == "box"
        else LineMark(((0, 8.5), (26, 8.5)), style)
    )
    return (shape, TextMark(32, 12.5, text, "row")), 32 + text_width(text, "row"), 17


def _has_stream(panel: Panel) -> bool:
    return bool(panel.stream) or any(_has_stream(p) for box in panel.boxes for p in box.panels)
