"""Charts of a machine: where a token's time goes, the roofs over its rate, its die to scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from hnlpu.insight.report._plot import Axis, binary, bottom_axis, key, left_axis, log_axis, short
from hnlpu.insight.report._svg import bar, drawing, element, line, percent, text

PARTS = ("communication", "projection", "nonlinear", "attention", "stall")
ROOFS = ("vector unit", "column links", "row links", "HBM", "attention buffer", "neuron arrays")
WIDTH, LEFT, RIGHT = 460, 44, 8


def breakdown_bars(title: str, points: Sequence[tuple[int, Mapping[str, float]]]) -> Markup:
    """Shares of a token's time at each context length, as figure 14 of the HNLPU paper."""
    top, base = 14, 190
    pitch = (WIDTH - LEFT - RIGHT) / len(points)
    axis = Axis(0, 1, base, top)
    parts = []
    for share in (0.0, 0.5, 1.0):
        parts.append(line(LEFT, axis.at(share), WIDTH - RIGHT, axis.at(share), "grid"))
        parts.append(text(LEFT - 4, axis.at(share) + 3, percent(share), "end", "tick"))
    for i, (context, shares) in enumerate(points):
        x, y = LEFT + pitch * (i + 0.14), float(base)
        for k, part in enumerate(PARTS):
            tall = (base - top) * shares.get(part, 0.0)
            y -= tall
            if tall > 0.05:
                hint = f"{part} at {binary(context)}: {percent(shares[part])}"
                parts.append(bar(x, y, pitch * 0.72, tall, f"part-{k}", hint))
        parts.append(text(x + pitch * 0.36, base + 15, binary(context), "middle", "tick"))
    parts.append(text(WIDTH - RIGHT, base + 29, "positions of context", "end", "tick"))
    names, tall_key = key(
        [(f"part-{k}", part) for k, part in enumerate(PARTS)], LEFT, base + 38, WIDTH - RIGHT
    )
    rows = [(context, *(shares.get(part, 0.0) for part in PARTS)) for context, shares in points]
    return drawing(
        WIDTH, base + 42 + tall_key, title, "Stacked shares by context length.", *parts, names,
        table=(("positions", *(f"{part}, share of the time" for part in PARTS)), rows),
    )  # fmt: skip


def roofline(
    roofs: Mapping[str, Sequence[float]],
    contexts: Sequence[int],
    lines: Sequence[tuple[str, str, Sequence[float]]],
) -> Markup:
    """Tokens/s over context: each resource's roof (thin), and what was simulated (thick).

    `lines` are (name, class, rates).
    """
    top, base = 22, 236
    every = [r for roof in roofs.values() for r in roof] + [r for *_, rs in lines for r in rs]
    simulated = [r for *_, rates in lines for r in rates]
    y = log_axis([r for r in every if r <= 30 * max(simulated)], base, top)
    x = Axis(contexts[0], contexts[-1], LEFT + 8, WIDTH - RIGHT - 8, log=True)
    parts = [left_axis(y, LEFT, WIDTH - RIGHT, "tokens/s")]
    parts.append(bottom_axis(x, base, [(c, binary(c)) for c in contexts], "positions of context"))
    shown = [
        (k, name) for k, name in enumerate(ROOFS) if name in roofs and min(roofs[name]) <= y.high
    ]
    for k, name in shown:
        if name in roofs:
            parts.append(_line(x, y, contexts, roofs[name], f"roof stroke-{k}", f"{name}: roof"))
    for name, class_, rates in lines:
        parts.append(_line(x, y, contexts, rates, f"rate {class_}", name))
        parts.extend(
            element(
                "circle", element("title", f"{name} at {binary(c)}: {r:,.0f} tokens/s"),
                cx=x.at(c), cy=y.at(r), r=3.2, class_=f"dot {class_}",
            )
            for c, r in zip(contexts, rates, strict=True)
        )  # fmt: skip
    entries = [(f"rate {class_}", name) for name, class_, _ in lines]
    entries += [(f"roof stroke-{k}", f"roof: {name}") for k, name in shown]
    names, tall = key(entries, LEFT, base + 38, WIDTH - RIGHT, lines=True)
    series = [(name, rates) for name, _, rates in lines]
    series += [(f"roof: {name}", rates) for name, rates in roofs.items()]
    rows = [(c, *(rates[i] for _, rates in series)) for i, c in enumerate(contexts)]
    return drawing(
        WIDTH, base + 42 + tall, "Roofs over the rate",
        "Thin lines: the rate that each resource alone would allow. Thick lines: simulated.",
        *parts, names,
        table=(("positions", *(f"{name}, tokens/s" for name, _ in series)), rows),
    )  # fmt: skip


def _line(
    x: Axis, y: Axis, contexts: Sequence[int], rates: Sequence[float], class_: str, hint: str
) -> Markup:
    inside = [
        (x.at(c), y.at(r)) for c, r in zip(contexts, rates, strict=True) if r <= y.high * 1.01
    ]
    path = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in inside)
    return element("path", element("title", hint), d=path, class_=class_)


def use_bars(use: Mapping[str, float]) -> Markup:
    """How much of its time each resource is busy."""
    row, left = 22, 118
    foot = row * len(use) + 6
    axis = Axis(0, max(1.0, *use.values()), left, WIDTH - 48)
    parts = [
        line(axis.at(1), 2, axis.at(1), foot, "axis"),
        line(left, foot, WIDTH - 48, foot, "axis"),
    ]
    parts += [
        text(axis.at(share), foot + 13, percent(share), "middle", "tick")
        for share in (0.0, 0.5, 1.0)
    ]
    parts.append(text(WIDTH - 8, foot + 26, "share of the time", "end", "tick"))
    for i, (name, share) in enumerate(use.items()):
        y = 4 + row * i
        class_ = "part-4" if share > 0.9 else "part-0"
        parts.append(text(left - 6, y + 12, name, "end", "tick"))
        parts.append(bar(left, y, max(0.5, axis.at(share) - left), 15, class_, name))
        parts.append(text(axis.at(share) + 5, y + 12, percent(share), "start", "tick"))
    return drawing(
        WIDTH, foot + 32, "Use of each resource", "The line is all of the time.", *parts,
        table=(("resource", "share of the time"), list(use.items())),
    )  # fmt: skip


def floorplan(blocks: Mapping[str, float], reticle_mm: tuple[float, float]) -> Markup:
    """A die to scale in its reticle; blocks in mm2: `neuron arrays` in the middle, PHYs outside.

    +--+----------------+--+
    |  |     links      |  |
    |P +----------------+ P|
    |H |                | H|
    |Y |  neuron arrays | Y|
    |  +----------+-----+  |
    |  |  buffer  | vec |  |
    +--+----------+-----+--+
    """
    scale, x0, y0 = 14.0, 10.0, 24.0
    area = sum(blocks.values())
    field_w, field_h = reticle_mm
    height = math.sqrt(area * field_h / field_w)
    if height > field_h:
        height = field_h
    width = area / height
    phy = blocks.get("HBM PHY", 0.0) / height / 2
    inner = width - 2 * phy
    links = blocks.get("links", 0.0) / inner
    low = [(n, a) for n, a in blocks.items() if n in ("attention buffer", "vector unit",
                                                      "control unit", "memory interface", "tables", "pads")]  # fmt: skip
    bottom = sum(a for _, a in low) / inner
    spots = [("links", phy, 0.0, inner, links)]
    spots.append(("neuron arrays", phy, links, inner, height - links - bottom))
    x = phy
    for name, size in low:
        wide = size / bottom if bottom else 0.0
        spots.append((name, x, height - bottom, wide, bottom))
        x += wide
    spots += [("HBM PHY", 0.0, 0.0, phy, height), ("HBM PHY", width - phy, 0.0, phy, height)]
    order = ["neuron arrays", "attention buffer", "vector unit", "links", "HBM PHY", "control unit"]
    colours = {name: i for i, name in enumerate(order)} | {
        "memory interface": order.index("HBM PHY"),
        "tables": order.index("attention buffer"),
        "pads": order.index("control unit"),
    }
    parts = [text(x0, 14, f"{width:.1f} x {height:.1f} mm, {area:,.0f} mm2", class_="label")]
    for name, left, top, wide, tall in spots:
        hint = f"{name}: {blocks[name]:,.1f} mm2" if name in blocks else name
        parts.append(
            bar(x0 + left * scale, y0 + top * scale, wide * scale, tall * scale,
                f"block part-{colours[name]}", hint)
        )  # fmt: skip
        if wide > 6 and tall > 1.6:
            parts.append(
                text(x0 + (left + wide / 2) * scale, y0 + (top + tall / 2) * scale + 4, name,
                     "middle", "label")
            )  # fmt: skip
    parts.append(bar(x0, y0, field_w * scale, field_h * scale, "field", "reticle"))
    under, right = y0 + field_h * scale + 8, x0 + field_w * scale
    parts.append(line(x0, under + 8, x0 + 5 * scale, under + 8, "whisker"))
    parts.append(text(x0 + 5 * scale + 6, under + 12, "5 mm", "start", "tick"))
    parts.append(
        text(right, under + 12, f"dashed: a field of {field_w:g} x {field_h:g} mm", "end", "tick")
    )
    sizes = [(name, size) for name, size in blocks.items() if size > 0]
    names, tall_key = key(
        [(f"part-{colours.get(n, 5)}", f"{n} {a:,.3g} mm2") for n, a in sizes],
        x0,
        under + 24,
        right,
    )
    return drawing(
        round(2 * x0 + field_w * scale), round(under + 28 + tall_key), "Die to scale",
        f"Blocks of {area:.0f} mm2; the outline is a field of {field_w:g} x {field_h:g} mm.",
        *parts, names, table=(("block", "area, mm2"), sizes),
    )  # fmt: skip


def band_bars(
    title: str, unit: str, pieces: Sequence[tuple[str, float]], low: float, high: float
) -> Markup:
    """One stacked bar with a whisker from `low` to `high`."""
    total = sum(size for _, size in pieces)
    axis = Axis(0, max(high, total) * 1.05 or 1.0, 8, WIDTH - 8)
    parts, x = [], 0.0
    for k, (name, size) in enumerate(pieces):
        start, stop = axis.at(x), axis.at(x + size)
        parts.append(
            bar(
                start,
                18,
                max(0.0, stop - start),
                26,
                f"part-{k % 6}",
                f"{name}: {size:,.4g} {unit}",
            )
        )
        x += size
    y = 56
    parts.append(line(axis.at(low), y, axis.at(high), y, "whisker"))
    parts += [line(axis.at(v), y - 5, axis.at(v), y + 5, "whisker") for v in (low, high)]
    parts.append(text(axis.at(low), y + 18, short_money(low), "middle", "tick"))
    if abs(axis.at(high) - axis.at(low)) > 60:
        parts.append(text(axis.at(high), y + 18, short_money(high), "middle", "tick"))
    parts.append(text(8, 12, f"{title}: {total:,.4g} {unit}", class_="label"))
    entries = [(f"part-{k % 6}", f"{n} {size:,.3g} {unit}") for k, (n, size) in enumerate(pieces)]
    names, tall = key(entries, 8, 84, WIDTH - 8)
    rows = [*pieces, ("in all, at 5 %", low), ("in all", total), ("in all, at 95 %", high)]
    return drawing(
        WIDTH, 88 + tall, title, f"{low:.4g} to {high:.4g} {unit}.", *parts, names,
        table=(("part", unit), rows),
    )  # fmt: skip


def short_money(value: float) -> str:
    """A number of a few figures."""
    return f"{value:,.3g}" if value < 1000 else short(value)
