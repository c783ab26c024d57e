"""Charts of a search: every design as a point, the front, the way from the machine that it starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from hnlpu.insight.report._plot import bottom_axis, key, left_axis, log_axis, short
from hnlpu.insight.report._svg import bar, drawing, element, line, text

WIDTH, LEFT, RIGHT = 460, 44, 8
BITS = {16: 0, 8: 3, 4: 4}


@dataclass(frozen=True)
class PlottedDesign:
    """A design: two gains, bits of its cached values, whether on the front, what it is."""

    x: float
    y: float
    bits: int
    front: bool
    hint: str


def pareto(dots: Sequence[PlottedDesign], across: str, up: str) -> Markup:
    """Gains over the machine started from, which is the cross at 1, 1; filled dots are the front."""
    top, base = 22, 260
    x = log_axis([d.x for d in dots] + [1.0], LEFT + 6, WIDTH - RIGHT - 6)
    y = log_axis([d.y for d in dots] + [1.0], base, top)
    parts = [
        left_axis(y, LEFT, WIDTH - RIGHT, up),
        bottom_axis(x, base, [(t, short(t)) for t in x.ticks()], across),
        line(x.at(1), top, x.at(1), base, "axis"),
        line(LEFT, y.at(1), WIDTH - RIGHT, y.at(1), "axis"),
    ]
    for dot in sorted(dots, key=lambda d: d.front):
        class_ = f"design part-{BITS.get(dot.bits, 5)}" + (" front" if dot.front else "")
        parts.append(
            element(
                "circle", element("title", dot.hint), cx=x.at(dot.x), cy=y.at(dot.y),
                r=4.2 if dot.front else 2.2, class_=class_,
            )
        )  # fmt: skip
    bits = sorted({dot.bits for dot in dots}, reverse=True)
    names, tall = key(
        [(f"part-{BITS.get(b, 5)}", f"{b}-bit keys and values") for b in bits],
        LEFT, base + 38, WIDTH - RIGHT,
    )  # fmt: skip
    return drawing(
        WIDTH, base + 42 + tall, f"{up} over {across}", "Designs as gains over the one started from.",
        *parts, names,
        table=(
            (across, up, "bits of keys and values", "on the front", "design"),
            [(d.x, d.y, d.bits, "yes" if d.front else "no", d.hint) for d in dots],
        ),
    )  # fmt: skip


def ladder(title: str, steps: Sequence[tuple[str, float]], unit: str) -> Markup:
    """A value after each step, on a logarithmic scale from the first one."""
    row, left = 24, 176
    height = row * len(steps) + 30
    values = [value for _, value in steps]
    x = log_axis([*values, min(values) / 1.6], left, WIDTH - 60, room=1.0)
    parts = [text(left, 12, unit, "start", "tick")]
    for i, (name, value) in enumerate(steps):
        y = 20 + row * i
        parts.append(text(left - 6, y + 12, name, "end", "tick"))
        class_ = "part-5" if i == 0 else "part-0"
        parts.append(bar(left, y, max(1.0, x.at(value) - left), 16, class_, f"{value:,.4g}"))
        parts.append(text(x.at(value) + 5, y + 12, short(value), "start", "tick"))
    return drawing(
        WIDTH, height, title, "From the machine started from, one change after another.", *parts,
        table=(("machine", unit), list(steps)),
    )  # fmt: skip
