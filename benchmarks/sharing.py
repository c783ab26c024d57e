"""Arrays whose adders are shared, by banks and by phases: area, cycles and energy of a product.

    python benchmarks/rtl.py --sharing [--svg FILE]

Energy is counted as in `paper_operator.py`, on neurons of Gaussian weights with random exponents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from activity import Energy, read_assumed, taps_energy
from hnlpu.arithmetic.mx import BLOCK, quantize_mxfp4, unpack
from hnlpu.silicon.embed import ArrayKind, Taps
from hnlpu.silicon.rtl import array_shape, synthesize
from hnlpu.silicon.technology import load_technology

NEURONS, BLOCKS, BITS, REACH = 1024, 32, 8, 2
PAPER = 10.8
"""Transistors a weight that the die of the HNLPU paper leaves."""
TIMES = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Shared:
    """An array: transistors a weight, cycles and energy by part of a product of one member."""

    bank: int
    fold: int
    transistors: float
    cycles: int
    depth: int
    energy_pj: dict[str, float]

    @property
    def nanojoules(self) -> float:
        """Energy of a product of one member."""
        return sum(self.energy_pj.values()) * 1e-3


def measure(bank: int, fold: int) -> Shared:
    """Synthesise an array of taps and count what toggles in it."""
    n5 = load_technology("n5")
    rng = np.random.default_rng(0)
    codes = unpack(quantize_mxfp4(rng.standard_normal((NEURONS, BLOCK * BLOCKS), np.float32))[0])
    codes = codes.reshape(NEURONS, -1)
    codes[codes == 8] = 0
    shifts = rng.integers(0, REACH + 1, (NEURONS, BLOCKS))
    vectors = rng.integers(-128, 128, (5, 64, BLOCK * BLOCKS))
    shape = array_shape(ArrayKind("taps", 1, bank, REACH), NEURONS, (BLOCKS,), BITS, fold)
    found = synthesize(shape, n5.silicon)
    scheme = Taps(n5, shape.kind)
    # rows are as high as their silicon needs, or their metal
    area_nm2 = found.transistors_per_weight / n5.silicon.density.value * 1e12
    pitch = scheme.row_height(
        scheme.metal_pitch, area_nm2 * BLOCK / scheme.block_cells / scheme.cell
    )
    parts = taps_energy(found, n5, codes, shifts, vectors, Energy(read_assumed()), pitch)
    return Shared(bank, fold, found.transistors_per_weight, shape.steps, found.depth, parts)


def sharing(svg: Path | None) -> None:
    """Print both kinds of sharing, and arrays of both; draw them to `svg`."""
    print("| array | transistors a weight | cycles | all members | nJ | of one alone | by part "
          "| gates deep |\n|---|---|---|---|---|---|---|---|")  # fmt: skip
    alone = measure(1, 1)
    _tell(alone, alone)
    banks, folds = [alone], [alone]
    for times in TIMES[1:]:
        if times <= 32:
            banks.append(measure(times, 1))
            _tell(banks[-1], alone)
        folds.append(measure(1, times))
        _tell(folds[-1], alone)
    for bank, fold in ((4, 4), (8, 2), (8, 4)):
        _tell(measure(bank, fold), alone)
    for name, curve in (("bank", banks), ("fold", folds)):
        first = next(one for one in curve if one.transistors <= PAPER)
        print(f"{name}: at most {PAPER} transistors a weight at {first.bank * first.fold}; a line "
              f"through the points meets them at {_meeting(curve):.1f}")  # fmt: skip
    if svg:
        svg.write_text(_drawn(banks, folds), encoding="utf-8")


def _tell(one: Shared, alone: Shared) -> None:
    parts = ", ".join(f"{name} {pj * 1e-3:.2f}" for name, pj in one.energy_pj.items())
    print(f"| bank {one.bank}, fold {one.fold} | {one.transistors:.2f} | {one.cycles} "
          f"| {one.bank * one.cycles} | {one.nanojoules:.2f} "
          f"| {one.nanojoules / alone.nanojoules:.2f} | {parts} | {one.depth} |", flush=True)  # fmt: skip


def _meeting(curve: Sequence[Shared]) -> float:
    """How often adders are shared where a straight line on logarithmic axes has PAPER transistors."""
    times = [np.log(one.bank * one.fold) for one in reversed(curve)]
    transistors = [np.log(one.transistors) for one in reversed(curve)]
    return float(np.exp(np.interp(np.log(PAPER), transistors, times)))


def _drawn(banks: Sequence[Shared], folds: Sequence[Shared]) -> str:
    """Transistors, and energy below them, over cycles on logarithmic axes."""
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 640" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="640" height="640" fill="white"/>',
        *_panel(320, (6, 8, 12, 16, 24, 32), "transistors a weight",
                [[(one.bank * one.cycles, one.transistors) for one in curve] for curve in (banks, folds)]),
        *_line(320, 6, PAPER, "black", "4 3"),
        f'<text x="600" y="{_y(320, 6, PAPER) - 5:.0f}" text-anchor="end">10.8: the paper\'s die</text>',
        '<text x="410" y="60" fill="#1f77b4">bank: 1 to 32 experts, all used</text>',
        '<text x="410" y="78" fill="#d62728">fold: 1 to 64 phases</text>',
        *_panel(590, _energies([*banks, *folds]), "nJ a product (bank: of one expert)",
                [[(one.bank * one.cycles, one.nanojoules) for one in curve] for curve in (banks, folds)]),
        '<text x="600" y="628" text-anchor="end">cycles of a product (bank: of all experts)</text>',
    ]  # fmt: skip
    return "\n".join([*parts, "</svg>"]) + "\n"


def _energies(found: Sequence[Shared]) -> tuple[int, ...]:
    """Powers of two from below the least energy to the largest."""
    exponents = np.log2([one.nanojoules for one in found])
    return tuple(
        1 << n for n in range(int(np.floor(exponents.min())), int(np.ceil(exponents.max())) + 1)
    )


def _x(cycles: float) -> float:
    return float(60 + np.log2(cycles / 12) * 90)


def _y(bottom: int, least: float, value: float) -> float:
    """Height of a value over that of the axis; the lower panel is compressed."""
    return float(bottom - np.log2(value / least) * (110 if bottom < 400 else 60))


def _line(bottom: int, least: float, value: float, colour: str, dashes: str = "") -> list[str]:
    y = _y(bottom, least, value)
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return [f'<line x1="60" x2="600" y1="{y:.0f}" y2="{y:.0f}" stroke="{colour}"{dashed}/>']


def _panel(
    bottom: int, ticks: Sequence[int], title: str, curves: Sequence[Sequence[tuple[int, float]]]
) -> list[str]:
    """Axes over cycles with `ticks` upwards from `bottom`, and a curve of each kind of sharing."""
    top = _y(bottom, ticks[0], ticks[-1]) - 10
    parts = [f'<text x="60" y="{top - 10:.0f}">{title}</text>']
    for cycles in (12, 24, 48, 96, 192, 384, 768):
        x = f"{_x(cycles):.0f}"
        parts.append(f'<text x="{x}" y="{bottom + 18}" text-anchor="middle">{cycles}</text>')
        parts.append(f'<line x1="{x}" x2="{x}" y1="{top:.0f}" y2="{bottom}" stroke="#ddd"/>')
    for tick in ticks:
        y = _y(bottom, ticks[0], tick) + 4
        parts.append(f'<text x="52" y="{y:.0f}" text-anchor="end">{tick}</text>')
        parts += _line(bottom, ticks[0], tick, "#ddd")
    for points, colour in zip(curves, ("#1f77b4", "#d62728"), strict=True):
        at = [(_x(cycles), _y(bottom, ticks[0], value)) for cycles, value in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in at]
    return parts
