"""Charts of the page: facts in, inline SVG out.  Colours are the style sheet's classes.

Charts are as wide as a phone's column (or a quarter of a desktop's), so that
their text stays readable; a desktop sets several side by side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from hnlpu.insight.report._facts import TWICE_VALUES, MatrixFacts, RoleFacts, Spectrum
from hnlpu.insight.report._measure import Quality, Shifts
from hnlpu.insight.report._svg import (
    bar,
    drawing,
    element,
    half,
    join,
    line,
    nice_limit,
    percent,
    power,
    short_count,
    signed_percent,
    text,
)

WIDTH, LEFT, RIGHT = 270, 34, 2
_LABELLED = (-12, -6, -2, 0, 2, 6, 12)
STACK, LETTER = 340, 6.2  # a bar as wide as a phone, and a letter of its names
WIDE = 320  # of charts that stand two in a row


def value_histogram(role: RoleFacts, limit: float) -> Markup:
    """Share of each of the 15 values among the digits of a role; `limit` tops the axis."""
    labels = [half(twice) for twice in TWICE_VALUES]
    series = [[n / s.elements for n in s.values] for s in role.spectra]
    hints = [
        [
            f"{short_count(n)} of digit {d + 1} are {label} ({percent(n / s.elements)})"
            for n, label in zip(s.values, labels, strict=True)
        ]
        for d, s in enumerate(role.spectra)
    ]
    return _histogram(
        f"Values of {role.role} digits",
        "Share of each of the fifteen E2M1 values, plus and minus zero merged.",
        # all of them would touch; pointing at a bar names it
        [label if twice in _LABELLED else "" for twice, label in zip(TWICE_VALUES, labels, strict=True)],
        series, hints, limit, f"fill-{role.role}", "value of a digit", labels,
    )  # fmt: skip


def exponent_histogram(role: RoleFacts, powers: Sequence[int], limit: float) -> Markup:
    """Share of the blocks of a role at each scale of `powers`."""
    counts = [dict(s.exponents) for s in role.spectra]
    totals = [max(1, blocks(s)) for s in role.spectra]
    series = [[c.get(p, 0) / t for p in powers] for c, t in zip(counts, totals, strict=True)]
    hints = [
        [f"{c.get(p, 0):,} blocks of digit {d + 1} at {power(p)}" for p in powers]
        for d, c in enumerate(counts)
    ]
    return _histogram(
        f"Block scales of {role.role}",
        "Share of the non-zero blocks of 32 weights at each power of two.",
        _thinned([str(p).replace("-", "−") for p in powers], 9), series, hints, limit, f"fill-{role.role}",
        "power of two", [str(p) for p in powers],
    )  # fmt: skip


def blocks(spectrum: Spectrum) -> int:
    """Number of non-zero blocks."""
    return sum(n for _, n in spectrum.exponents)


def error_bars(matrices: Sequence[MatrixFacts], limit: float) -> Markup:
    """Relative RMS error of one kind of matrix in every layer; exact ones are dots."""
    height, base, top = 112, 92, 10
    errors = [m.record.relative_error for m in matrices]
    role = matrices[0].record.role
    pitch = (WIDTH - LEFT - RIGHT) / len(matrices)
    width = min(pitch * 0.76, 30.0)
    parts = [_grid(limit, base, top)]
    for i, (matrix, error) in enumerate(zip(matrices, errors, strict=True)):
        x = LEFT + pitch * i
        where = matrix.name if matrix.layer is None else f"layer {matrix.layer}"
        if error == 0:
            hint = element("title", f"{where}: exact")
            parts.append(
                element("circle", hint, cx=x + pitch / 2, cy=float(base),
                        r=min(3.5, max(1.2, pitch * 0.35)), class_=f"exact line-{role}")
            )  # fmt: skip
        else:
            tall = (base - top) * error / limit
            parts.append(
                bar(x + (pitch - width) / 2, base - tall, width, tall,
                    f"fill-{role}", f"{where}: {percent(error)}")
            )  # fmt: skip
    labels = [str(m.layer) if m.layer is not None else "" for m in matrices]
    for i, label in enumerate(_thinned(labels, 12 if len(matrices) > 12 else len(matrices))):
        parts.append(text(LEFT + pitch * (i + 0.5), base + 16, label, "middle", "tick"))
    if matrices[0].layer is not None:
        parts.append(text(WIDTH - RIGHT, base + 29, "layer", "end", "tick"))
    return drawing(
        WIDTH, height + 14, f"Error of {matrices[0].kind} by layer",
        f"From {percent(min(errors))} to {percent(max(errors))}.", *parts,
        table=(
            ("matrix", "relative error"),
            [(m.name, e) for m, e in zip(matrices, errors, strict=True)],
        ),
    )  # fmt: skip


def change_ladder(quality: Quality) -> Markup | None:
    """From the float model's perplexity to the hardwired one's, step by step, in percent.

    None without a float model, and where a change is beyond any axis.
    """
    weights, total = quality.weight_change, quality.total_change
    if weights is None or total is None or not math.isfinite(max(weights, total)):
        return None
    steps = [
        ("hardwired weights", 0.0, weights, "fill-attention", signed_percent(weights)),
        ("rounded activations", weights, total, "fill-router", _step(weights, total)),
        ("hardwired model", 0.0, total, "fill-total", signed_percent(total)),
    ]
    limit = nice_limit(max(abs(weights), abs(total), 0.01))
    low = -limit if min(weights, total) < 0 else 0.0
    left, right, height = 8, WIDE - 8, 172
    scale = (right - left) / (limit - low)

    def x(value: float) -> float:
        return left + (value - low) * scale

    parts = [line(x(v), 8, x(v), 144, "grid") for v in (low, limit, (low + limit) / 2)]
    parts.append(line(x(0), 4, x(0), 150, "axis"))
    for i, (name, start, end, class_, label) in enumerate(steps):
        y = 18 + 44 * i
        parts.append(text(left + 8, y + 4, f"{name}  {label}", class_="label"))
        width = max(2.0, abs(x(end) - x(start)))
        parts.append(bar(min(x(start), x(end)), y + 11, width, 14, class_, f"{name}: {label}"))
    for value, anchor in ((low, "start"), ((low + limit) / 2, "middle"), (limit, "end")):
        parts.append(text(x(value), 164, signed_percent(value), anchor, "tick"))
    return drawing(
        WIDE, height, "Change of perplexity against the float model",
        "; ".join(f"{name} {label}" for name, _, _, _, label in steps), *parts,
        table=(
            ("step", "from, share of the float model's perplexity", "to"),
            [(name, start, end) for name, start, end, _, _ in steps],
        ),
    )  # fmt: skip


def _step(before: float, after: float) -> str:
    return signed_percent((1 + after) / (1 + before) - 1)


def shift_histogram(shifts: Shifts) -> Markup:
    """How far the log-probability of single tokens moved."""
    height, base, top = 172, 136, 12
    most = max(shifts.counts)
    pitch = (WIDE - 16) / len(shifts.counts)
    middle = WIDE / 2
    parts = [line(8, base, WIDE - 8, base, "axis"), line(middle, top, middle, base + 5, "grid")]
    for i, count in enumerate(shifts.counts):
        tall = (base - top) * count / most
        low = shifts.limit * (2 * i / len(shifts.counts) - 1)
        high = low + 2 * shifts.limit / len(shifts.counts)
        hint = f"{count:,} tokens from {low:+.3g} to {high:+.3g} nats"
        parts.append(bar(8 + pitch * i + 0.6, base - tall, pitch - 1.2, tall, "fill-total", hint))
    parts.append(text(8, base + 16, f"−{shifts.limit:.2g}", "start", "tick"))
    parts.append(text(middle, base + 16, "0 nats", "middle", "tick"))
    parts.append(text(WIDE - 8, base + 16, f"+{shifts.limit:.2g}", "end", "tick"))
    parts.append(text(8, base + 31, "less likely than in float", "start", "tick"))
    parts.append(text(WIDE - 8, base + 31, "more likely", "end", "tick"))
    return drawing(
        WIDE, height, "Shift of each token's log-probability",
        f"Mean magnitude {shifts.mean_magnitude:.3g} nats.", *parts,
        table=(
            ("from, nats", "to, nats", "tokens"),
            [
                (shifts.limit * (2 * i / len(shifts.counts) - 1),
                 shifts.limit * (2 * (i + 1) / len(shifts.counts) - 1), count)
                for i, count in enumerate(shifts.counts)
            ],
        ),
    )  # fmt: skip


def stacked_bar(title: str, parts: Sequence[tuple[str, float, str]]) -> Markup:
    """One bar cut in (label, size, class) pieces; those with room for their name have it below."""
    total = sum(size for _, size, _ in parts) or 1.0
    pieces, x = [], 0.0
    for label, size, class_ in parts:
        width = STACK * size / total
        hint = f"{label}: {percent(size / total)}"
        pieces.append(bar(x, 0, max(0.0, width - 1.0), 26, class_, hint))
        if width > LETTER * len(hint):
            pieces.append(text(x, 40, hint, class_="tick"))
        x += width
    rows: list[list[str | int | float]] = [[label, size, size / total] for label, size, _ in parts]
    return drawing(
        STACK, 46, title, "One bar, cut in proportion.", *pieces,
        table=(("part", "size", "share"), rows),
    )  # fmt: skip


def _histogram(
    title: str,
    description: str,
    labels: Sequence[str],
    series: Sequence[Sequence[float]],
    hints: Sequence[Sequence[str]],
    limit: float,
    class_: str,
    unit: str,
    names: Sequence[str],
) -> Markup:
    """Bars of one or two series over the same labels; the second is drawn hollow."""
    height, base, top = 182, 144, 10
    pitch = (WIDTH - LEFT - RIGHT) / len(labels)
    width = min(pitch * 0.84, 40) / len(series)
    parts = [_grid(limit, base, top)]
    for i, label in enumerate(labels):
        middle = LEFT + pitch * (i + 0.5)
        for d, shares in enumerate(series):
            tall = (base - top) * shares[i] / limit
            x = middle + width * (d - len(series) / 2)
            kind = class_ if d == 0 else f"{class_} second"
            if tall:
                parts.append(bar(x, base - tall, width * 0.92, tall, kind, hints[d][i]))
        parts.append(text(middle, base + 16, label, "middle", "tick"))
    parts.append(text(WIDTH - RIGHT, base + 31, unit, "end", "tick"))
    columns = [unit, *(f"share, digit {d + 1}" for d in range(len(series)))]
    rows: list[list[str | int | float]] = [
        [name, *(shares[i] for shares in series)] for i, name in enumerate(names)
    ]
    return drawing(WIDTH, height, title, description, *parts, table=(columns, rows))


def _grid(limit: float, base: float, top: float) -> Markup:
    """The left axis from 0 to `limit` as a percentage, with a line at its half."""
    marks = []
    for share in (0.0, 0.5, 1.0):
        y = base - (base - top) * share
        marks.append(line(LEFT, y, WIDTH - RIGHT, y, "axis" if share == 0 else "grid"))
        label = f"{100 * limit * share:.3g} %"
        marks.append(text(LEFT - 4, y + 4, label, "end", "tick"))
    return join(*marks)


def _thinned(labels: Sequence[str], most: int) -> list[str]:
    """At most `most` of the labels, evenly, the others empty."""
    every = -(-len(labels) // most)
    return [label if i % every == 0 else "" for i, label in enumerate(labels)]
