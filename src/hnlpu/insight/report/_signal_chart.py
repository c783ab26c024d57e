"""Outputs of a network of signals over positions -> a chart as an SVG file that stands alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from hnlpu._charts import table_element
from hnlpu.insight.report._plot import Axis, bottom_axis, left_axis
from hnlpu.insight.report._svg import element, text

WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 600, 34, 250
COLOURS = ("#1f5fa8", "#b4471f", "#2f7d4f", "#7a3f93", "#a0811b", "#3d8891", "#8a3358", "#55606b")
MOST_LINES = len(COLOURS)
MOST_POINTS = 2000
"""Longer sequences are drawn by their least and greatest output in each of so many stretches."""
STYLE = (
    "text{font:11px sans-serif;fill:#333}.tick{fill:#666}.grid{stroke:#ddd}.axis{stroke:#888}"
    ".line{fill:none;stroke-width:1.5}"
)


def signal_chart(outputs: npt.NDArray[Any], title: str) -> str:
    """An SVG file of outputs [positions, m]: a line an output, of more than eight the first eight; its table has all."""
    values = np.asarray(outputs, np.float64)
    shown = values[:, :MOST_LINES]
    low, high = float(shown.min()), float(shown.max())
    if low == high:
        low, high = low - 1.0, high + 1.0
    across = Axis(0, max(1, len(values) - 1), LEFT, RIGHT)
    up = Axis(low, high, BOTTOM, TOP)
    ends = [(0.0, "0"), (float(len(values) - 1), f"{len(values) - 1:,}")]
    parts = [
        element("style", Markup(STYLE)),  # noqa: S704  ours
        text(LEFT, 16, title, "start"),
        left_axis(up, LEFT, RIGHT, "output"),
        bottom_axis(across, BOTTOM, ends[: len(values)], "position"),
    ]
    for n in range(shown.shape[1]):
        points = " ".join(f"{across.at(x):.1f},{up.at(y):.1f}" for x, y in _points(shown[:, n]))
        parts.append(element("polyline", points=points, class_="line", stroke=COLOURS[n]))
        parts.append(
            element("rect", x=RIGHT + 14, y=TOP + 16 * n, width=10, height=3, fill=COLOURS[n])
        )
        parts.append(text(RIGHT + 28, TOP + 5 + 16 * n, f"output {n}"))
    hidden = values.shape[1] - shown.shape[1]
    if hidden:
        parts.append(text(RIGHT + 14, TOP + 5 + 16 * MOST_LINES, f"{hidden:,} more not drawn"))
    names = [f"output {n}" for n in range(values.shape[1])]
    rows = [[place, *line] for place, line in enumerate(values.tolist())]
    table = Markup(table_element(["position", *names], rows))  # noqa: S704  escaped there
    picture = element(
        "svg", element("title", title), table, *parts, xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {HEIGHT}", width=WIDTH, height=HEIGHT,
    )  # fmt: skip
    return f"{picture}\n"


def _points(line: npt.NDArray[np.float64]) -> list[tuple[float, float]]:
    """Places of a line, of a long one the extremes of each stretch."""
    if len(line) <= MOST_POINTS:
        return list(enumerate(line.tolist()))
    found: list[tuple[float, float]] = []
    for stretch in np.array_split(np.arange(len(line)), MOST_POINTS // 2):
        places = {int(stretch[line[stretch].argmin()]), int(stretch[line[stretch].argmax()])}
        found += [(float(n), float(line[n])) for n in sorted(places)]
    return found
