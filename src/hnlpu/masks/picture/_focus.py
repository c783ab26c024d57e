"""Where to look at one weight, and what stands where: windows and marks for the last drawings."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from hnlpu.embed import BLOCK, Taps
from hnlpu.masks.picture._subject import Box, Subject, Weight, digit_text
from hnlpu.quantize import TWICE_E2M1

HEIGHT_TO_WIDTH = 0.72
"""Of the windows of the last drawings."""


@dataclass(frozen=True)
class Mark:
    """A numbered place in nm, on the metal of a role, and what it is."""

    x: float
    y: float
    role: str
    text: str


@dataclass(frozen=True)
class Name:
    """What a trunk is called: its x in nm, the words, its role."""

    x: float
    text: str
    role: str


@dataclass(frozen=True)
class Focus:
    """Windows in nm: `rows` shows neighbours, `window` the weight, `cell` its metal alone."""

    rows: Box
    window: Box
    cell: Box
    marks: tuple[Mark, ...]
    names: tuple[Name, ...]


def focus_on(subject: Subject, weight: Weight) -> Focus:
    """Windows and marks for a weight of a tile."""
    scheme = subject.scheme
    if isinstance(scheme, Taps):
        return _on_tap(subject, scheme, weight)
    raise NotImplementedError(scheme.name)


def around(box: Box, width: float, height: float, outline: Box) -> Box:
    """A window of this size about a box's middle, moved to stay on the tile where it fits."""

    def span(
        low: float, high: float, size: float, first: float, last: float
    ) -> tuple[float, float]:
        start = (low + high - size) / 2
        if size <= last - first:
            start = min(max(start, first), last - size)
        return start, start + size

    x0, x1 = span(box[0], box[2], width, outline[0], outline[2])
    y0, y1 = span(box[1], box[3], height, outline[1], outline[3])
    return x0, y0, x1, y1


def _on_tap(subject: Subject, taps: Taps, weight: Weight) -> Focus:
    block, within = divmod(weight.column, BLOCK)
    x0 = (block * taps.block_cells + within) * taps.cell
    y0 = weight.row * taps.pitch
    middle = y0 + taps.pitch / 2
    cell = x0, y0, x0 + taps.cell, y0 + taps.pitch
    width = 1.12 * taps.cell
    window = around(cell, width, HEIGHT_TO_WIDTH * width, cell[:1] + cell[1:2] + cell[2:])
    window = around(window, width, HEIGHT_TO_WIDTH * width, subject.outline)
    site = x0 + taps.site_x[weight.code]
    role = "lower" if weight.code < 8 else "upper"
    input_ = f"input {subject.first_input + weight.column}"
    trunk = (
        "Trunk of zero: it is ground." if weight.code == 0
        else f"Trunk: {input_} times {weight.digit}, made once and offered to all neurons."
    )  # fmt: skip
    upper_half = window[3] - middle > middle - window[1]
    trunk_y = (window[3] + middle) / 2 if upper_half else (window[1] + middle) / 2
    marks = (
        Mark(site, trunk_y, role, trunk),
        Mark(x0 + _free_place(taps, weight.code), middle, "stub",
             f"Stub of {subject.neurons[weight.row]}: it crosses all trunks of the input."),
        Mark(site, middle, "weight", f"Via: it joins the two. This is the weight, {weight.digit}."),
        Mark(x0 + taps.port_x, middle, "fixed", "Port: from the stub down to the neuron's adders."),
    )  # fmt: skip
    names = [Name(x0 + taps.power_x, "PWR", "lower"), Name(x0 + taps.port_x, "port", "fixed")]
    for code, x in taps.site_x.items():
        text = digit_text(int(TWICE_E2M1[code]))
        names.append(Name(x0 + x, text, "lower" if code < 8 else "upper"))
    return Focus(
        around(cell, 5 * taps.cell, 5 * HEIGHT_TO_WIDTH * taps.cell, subject.outline),
        window, cell, marks, tuple(names),
    )  # fmt: skip


def _free_place(taps: Taps, code: int) -> float:
    """A place on a stub, between trunks, away from its via and its port."""
    x = sorted([*taps.site_x.values(), taps.port_x])
    used = taps.site_x[code], taps.port_x
    gaps = [(a + b) / 2 for a, b in pairwise(x)]
    return max(gaps, key=lambda place: min(abs(place - at) for at in used))
