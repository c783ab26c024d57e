"""Drawings of the metal itself, from real weights of the build.

banner     a few thousand weights in reading order, one tile each
crossbar   one input's 15 trunks across the stubs of a few neurons: the idea
via_map    one neuron's first 32 inputs, the trunk that each via picked
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from hnlpu.insight.report._facts import TWICE_VALUES, Excerpt
from hnlpu.insight.report._svg import bar, drawing, element, half, join, line, power, text

BANNER_COLUMNS = 128
_TRUNKS = len(TWICE_VALUES)


def banner(excerpt: Excerpt) -> Markup:
    """Tiles whose size is the weight's magnitude and whose colour is its sign."""
    rows = -(-len(excerpt.twice) // BANNER_COLUMNS)
    paths: dict[tuple[str, int], list[str]] = {}
    for i, twice in enumerate(excerpt.twice):
        if twice:
            row, column = divmod(i, BANNER_COLUMNS)
            paths.setdefault((_sign(twice), abs(twice)), []).append(f"M{column} {row}")
    groups = []
    for (sign, size), moves in sorted(paths.items()):
        side = 0.26 + 0.058 * size
        inset = f"translate({(1 - side) / 2:.3f} {0.5:.3f})"
        d = "".join(f"{move}h{side:.2f}" for move in moves)
        groups.append(
            element("path", d=d, stroke_width=side, transform=inset, class_=f"tile {sign}")
        )
    return element(
        "svg", *groups, viewBox=f"0 0 {BANNER_COLUMNS} {rows}",
        preserveAspectRatio="xMinYMid slice", aria_hidden="true", class_="banner",
    )  # fmt: skip


def crossbar(excerpt: Excerpt) -> Markup:
    """The taps crossbar: vertical trunks carry x times each value, a via picks one per neuron."""
    width, left, top, pitch, rows = 360, 4, 58, 21.0, len(excerpt.column)
    bottom = top + 26 * rows
    right = left + pitch * _TRUNKS
    parts = [text(left, 14, "one input x, times every value a digit can have", class_="label")]
    for i, twice in enumerate(TWICE_VALUES):
        x = left + pitch * (i + 0.5)
        parts.append(line(x, 42, x, bottom + 12, f"trunk {_sign(twice)}"))
        parts.append(text(x, 36, half(twice), "middle", "tick"))
    for row, twice in enumerate(excerpt.column):
        y = top + 26 * row
        parts.append(line(left, y, right + 12, y, "stub"))
        parts.append(element("circle", cx=right + 22, cy=y, r=10, class_="sum"))
        parts.append(text(right + 22, y + 4, "Σ", "middle", "label"))
        x = left + pitch * (TWICE_VALUES.index(twice) + 0.5)
        parts.append(_via(x, y, 9, f"neuron {row}: weight {half(twice)}"))
    parts.append(text(right + 34, bottom + 8, "neurons", "end", "tick"))
    parts.append(_legend(left, bottom + 34))
    return drawing(
        width, int(bottom + 44), "How a weight becomes metal",
        "Fifteen vertical trunks carry the products of one input. Each neuron's horizontal stub "
        "crosses all of them and a single via joins it to the trunk of its weight.",
        *parts,
    )  # fmt: skip


def via_map(excerpt: Excerpt) -> Markup:
    """One neuron's first block: input by input, the trunk its via stands on."""
    width, left, top, pitch, step = 360, 30, 30, 10.1, 13.0
    bottom = top + step * _TRUNKS
    parts = [text(0, 14, "one neuron, its first 32 inputs", class_="label")]
    for i, twice in enumerate(reversed(TWICE_VALUES)):
        y = top + step * (i + 0.5)
        parts.append(text(left - 6, y + 4, half(twice), "end", "tick"))
        parts.append(line(left, y, left + pitch * 32, y, f"lane {_sign(twice)}"))
    for column, twice in enumerate(excerpt.block):
        x = left + pitch * (column + 0.5)
        y = top + step * (_TRUNKS - 1 - TWICE_VALUES.index(twice) + 0.5)
        parts.append(_via(x, y, 7, f"input {column}: {half(twice)}"))
    for column in (0, 8, 16, 24, 31):
        x = left + pitch * (column + 0.5)
        parts.append(text(x, bottom + 15, str(column), "middle", "tick"))
    scale = f"the block's scale, {power(excerpt.exponent)}, is a shift in the adder tree"
    parts.append(text(left, bottom + 37, scale, class_="tick"))
    return drawing(
        width, int(bottom + 44), "The vias of one block",
        f"Values of 32 weights of {excerpt.matrix}: "
        + ", ".join(half(twice) for twice in excerpt.block) + ".",
        *parts,
        table=(("input", "weight over its block's scale"),
               [(i, twice / 2) for i, twice in enumerate(excerpt.block)]),
    )  # fmt: skip


def _legend(x: float, y: float) -> Markup:
    def item(at: float, sample: Sequence[Markup], name: str) -> Markup:
        return join(*sample, text(at + 26, y + 4, name, class_="tick"))

    return join(
        item(x, [line(x + 9, y - 7, x + 9, y + 7, "trunk plus")], "trunk"),
        item(x + 84, [line(x + 86, y, x + 104, y, "stub")], "neuron's stub"),
        item(x + 210, [_via(x + 222, y, 9, "")], "via = the weight"),
    )


def _via(x: float, y: float, side: float, hint: str) -> Markup:
    return bar(x - side / 2, y - side / 2, side, side, "via", hint)


def _sign(twice: int) -> str:
    return "zero" if twice == 0 else ("plus" if twice > 0 else "minus")
