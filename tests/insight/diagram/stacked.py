"""Networks whose blocks follow a given sequence of kinds, and what drawings are held to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hnlpu.insight.diagram._marks import LineMark, Mark, RectMark, TextMark
from hnlpu.model.families import embed, linear, unembed, weights
from hnlpu.model.network import Builder, Cut, Matrix, Network, Tensor, Value
from hnlpu.model.network.composites import attend, dense, dense_all, glu, gru, moe, norm

WIDTH = 32
KINDS = 6


def stacked(sequence: Sequence[int]) -> Network:
    """A block of kind n for each n; 0 and 1 differ in the window of their attention only."""
    b = Builder("stacked")
    x = embed(b, "table", 11, WIDTH)
    for layer, kind in enumerate(sequence):
        with b.block(layer):
            x = _block(b, x, kind, f"layers.{layer}.")
    return b.finish(unembed(x, 11))


def _block(b: Builder, x: Value, kind: int, prefix: str) -> Value:
    def matrix(name: str, rows: int = WIDTH, columns: int = WIDTH) -> Matrix:
        return b.matrix(linear(prefix + name, rows, columns, "mixer", Cut("rows")))

    if kind == 5:
        return gru(x, matrix("w", 3 * WIDTH), matrix("u", 3 * WIDTH))
    h = norm(x, weights(b, prefix + "norm", WIDTH), 1e-5)
    if kind in (0, 1):
        q, k, v = dense_all(h, matrix("q"), matrix("k"), matrix("v"))
        heads = [y.reshape(4, 8) for y in (q, k, v)]
        return x + dense(attend(*heads, scale=0.3, window=(None, 7)[kind]), matrix("o"))
    if kind == 2:
        return x + glu(h, matrix("gate", 64), matrix("up", 64), matrix("down", WIDTH, 64))
    if kind == 3:
        return x + moe(
            h, matrix("router", 4), 2, lambda given, chosen: _experts(b, given, chosen, prefix)
        )
    return x + dense(h, matrix("once")).table("tanh") * h


def _experts(b: Builder, x: Value, chosen: Value, prefix: str) -> Value:
    shape = (4, WIDTH, WIDTH)
    bank = b.matrix(
        Matrix(prefix + "bank", WIDTH, WIDTH, "experts", Cut("members"),
               Tensor(prefix + "bank", shape), members=4)
    )  # fmt: skip
    return dense(x, bank, chosen=chosen)


def texts(marks: Iterable[Mark]) -> list[TextMark]:
    return [mark for mark in marks if isinstance(mark, TextMark)]


def faults(marks: Sequence[Mark], width: float, height: float) -> list[str]:
    """What must not be: text upon text, text cut by a line, lines through boxes, boxes that cross."""
    found = []
    written = [(mark.text, mark.box) for mark in texts(marks)]
    boxes = [m for m in marks if isinstance(m, RectMark) and m.style in ("box", "end")]
    frames = [m for m in marks if isinstance(m, RectMark) and m.style == "frame"]
    lines = [m for m in marks if isinstance(m, LineMark) and m.style in ("wire", "stream", "fold")]
    for n, (text, box) in enumerate(written):
        if box[0] < 0 or box[1] < 0 or box[2] > width or box[3] > height:
            found.append(f"{text!r} leaves the sheet")
        found += [f"{text!r} upon {t!r}" for t, other in written[:n] if _meet(box, other)]
        found += [f"{text!r} is cut" for line in lines if _cuts(line, box)]
    areas = [(r.x, r.y, r.x + r.width, r.y + r.height) for r in boxes]
    for n, area in enumerate(areas):
        found += [f"boxes cross at {area}" for other in areas[:n] if _meet(area, other)]
        inner = (area[0] + 1, area[1] + 1, area[2] - 1, area[3] - 1)
        found += [f"a line through {area}" for line in lines if _cuts(line, inner)]
        for frame in frames:
            edges = (frame.x, frame.y, frame.x + frame.width, frame.y + frame.height)
            if _meet(area, edges) and not _within(area, edges):
                found.append(f"box {area} crosses the frame {edges}")
    return found


def _meet(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _within(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return b[0] <= a[0] and b[1] <= a[1] and a[2] <= b[2] and a[3] <= b[3]


def _cuts(line: LineMark, box: tuple[float, ...]) -> bool:
    ends = zip(line.points, line.points[1:], strict=False)
    return any(
        _meet((min(x0, x1), min(y0, y1), max(x0, x1) + 1e-9, max(y0, y1) + 1e-9), box)
        for (x0, y0), (x1, y1) in ends
    )
