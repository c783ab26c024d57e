"""Draw docs/images/metal-embedding.svg:  python scripts/metal_embedding_svg.py

Four inputs with their trunks of ready-made products, three neurons with their
stubs, one via per weight: the picture of the taps scheme.
"""

from __future__ import annotations

from pathlib import Path

TAPS = ("0", "+½x", "+1x", "+1½x", "+2x", "+3x", "+4x", "+6x",
        "−½x", "−1x", "−1½x", "−2x", "−3x", "−4x", "−6x")  # fmt: skip
SHOWN = (0, 1, 2, 4, 6, 9, 13)  # the taps drawn; all fifteen would not be readable
WEIGHTS = (("+1x", "−4x", "+½x"), ("+4x", "0", "−1x"), ("−1x", "+1x", "+2x"))
LEFT, TOP, PITCH, GROUP, ROW = 120, 96, 30, 250, 64
TRUNK, STUB, VIA, INK, SOFT = "#5b8def", "#e0a030", "#d0342c", "#333", "#777"


def tap_x(group: int, label: str) -> int:
    """Horizontal place of a tap's trunk."""
    return LEFT + group * GROUP + [TAPS[i] for i in SHOWN].index(label) * PITCH


def text(
    x: float, y: float, words: str, size: int = 13, colour: str = INK, anchor: str = "middle"
) -> str:
    return f'<text x="{x}" y="{y}" font-size="{size}" fill="{colour}" text-anchor="{anchor}">{words}</text>'


def draw() -> str:
    """The whole picture as SVG."""
    width, height = LEFT + 3 * GROUP + 150, TOP + 3 * ROW + 84
    bottom = TOP + 3 * ROW - 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="system-ui, sans-serif" role="img">',
        "<title>Metal embedding of weights: one via per weight</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#fbfaf7"/>',
    ]
    for group in range(3):
        first, last = tap_x(group, "0"), tap_x(group, "−4x")
        parts.append(text((first + last) / 2, 28, f"input x{'₁₂₃'[group]}, bit by bit", 15))
        parts.append(
            f'<rect x="{first - 14}" y="38" width="{last - first + 28}" height="20" rx="4" '
            f'fill="#e8eefc" stroke="{TRUNK}"/>'
        )
        parts.append(text((first + last) / 2, 52, "its products, made once", 11, SOFT))
        for i in SHOWN:
            x = tap_x(group, TAPS[i])
            parts.append(
                f'<line x1="{x}" y1="58" x2="{x}" y2="{bottom}" stroke="{TRUNK}" stroke-width="5" opacity=".75"/>'
            )
            parts.append(text(x, bottom + 18, TAPS[i], 11, TRUNK))
    for row, weights in enumerate(WEIGHTS):
        y = TOP + row * ROW
        end = LEFT + 3 * GROUP - 20
        parts.append(text(LEFT - 34, y + 5, f"neuron {row + 1}", 14, anchor="end"))
        for group, weight in enumerate(weights):
            start = tap_x(group, "0") - 10
            stop = tap_x(group, "−4x") + 10
            parts.append(
                f'<line x1="{start}" y1="{y}" x2="{stop}" y2="{y}" stroke="{STUB}" stroke-width="7" opacity=".85"/>'
            )
            x = tap_x(group, weight)
            parts.append(
                f'<rect x="{x - 6}" y="{y - 6}" width="12" height="12" fill="{VIA}" stroke="white"/>'
            )
        parts.append(
            f'<rect x="{end}" y="{y - 17}" width="128" height="34" rx="6" fill="#eee" stroke="{SOFT}"/>'
        )
        parts.append(text(end + 64, y + 5, "count, add", 13))
    y = height - 22
    for x, colour, words in (
        (LEFT, TRUNK, "trunk: one product of an input"),
        (LEFT + 260, STUB, "stub: a neuron's port"),
        (LEFT + 460, VIA, "via: the weight, the only thing that differs between models"),
    ):
        parts.append(f'<rect x="{x - 18}" y="{y - 10}" width="11" height="11" fill="{colour}"/>')
        parts.append(text(x, y, words, 13, anchor="start"))
    parts.append("</svg>\n")
    return "\n".join(parts)


if __name__ == "__main__":
    target = Path(__file__).parents[1] / "docs" / "images" / "metal-embedding.svg"
    target.write_text(draw(), "utf-8")
