"""A compression's ledger -> its page: perplexity over area step by step, and the machines."""

from __future__ import annotations

from itertools import pairwise

from markupsafe import Markup

from hnlpu._version import __version__
from hnlpu.insight.compress import Ledger, Stage
from hnlpu.insight.report._plot import Axis, bottom_axis, left_axis, log_axis, short
from hnlpu.insight.report._sheet import Section, Sheet, render_sheet
from hnlpu.insight.report._svg import drawing, element, line, signed_percent

WIDTH, LEFT, RIGHT, TOP, BASE = 460, 52, 8, 22, 260


def render_compress(found: Ledger) -> str:
    """The page of one ledger."""
    first, last = found.stages[0], found.stages[-1]
    return render_sheet(
        Sheet(
            eyebrow="compression",
            title=f"What {found.checkpoint.rsplit('/', 1)[-1]} can do without",
            lead=(
                f"Steps were decided on {found.decided_on:,} tokens, which met "
                f"{100 * found.coverage:.3g} % of the matrices, and judged on {found.judged_on:,} others. "
                f"Every stage was built in {found.scheme} for {found.technology}; perplexities are those "
                "of the integers of its build."
            ),
            tiles=[
                (f"{first.arrays_mm2 / last.arrays_mm2:.3g} times", "less area of arrays",
                 f"{last.arrays_mm2:.4g} of {first.arrays_mm2:.4g} mm2"),
                (signed_percent(last.perplexity / first.perplexity - 1), "perplexity",
                 f"{last.perplexity:.5g}, {first.perplexity:.5g} before"),
                (f"{last.weights / first.weights:.1%}", "of the weights", f"{last.weights:,}"),
            ],
            sections=[_stages(found), _machines(found), *_lines(found)],
            made=f"hnlpu {__version__} compress. What the numbers mean: docs/compress.md.",
        )
    )  # fmt: skip


def _stages(found: Ledger) -> Section:
    first = found.stages[0]
    rows = [
        [
            s.step, f"{s.perplexity:.6g}", signed_percent(s.perplexity / first.perplexity - 1),
            f"{s.float_perplexity:.6g}", f"{s.weights:,}", f"{s.arrays_mm2:.6g}",
            f"{s.arrays_mm2 / first.arrays_mm2:.1%}",
        ]
        for s in found.stages
    ]  # fmt: skip
    return Section(
        "Step by step",
        ["Arrays are what `hnlpu place` says of the build of each stage."],
        figures=[("Perplexity over area", _curve(found.stages), "Before is on the right.")],
        columns=["step", "perplexity", "change", "in float", "weights", "arrays, mm2", "of before"],
        rows=rows,
    )


def _curve(stages: tuple[Stage, ...]) -> Markup:
    x = log_axis([s.arrays_mm2 for s in stages], LEFT + 6, WIDTH - RIGHT - 6, room=1.05)
    values = [s.perplexity for s in stages]
    spare = 0.08 * (max(values) - min(values)) or 0.01 * max(values)
    y = Axis(min(values) - spare, max(values) + spare, BASE, TOP)
    parts = [
        left_axis(y, LEFT, WIDTH - RIGHT, "perplexity"),
        bottom_axis(x, BASE, [(t, short(t)) for t in x.ticks()], "arrays, mm2, log scale"),
    ]
    parts += [
        line(x.at(a.arrays_mm2), y.at(a.perplexity), x.at(b.arrays_mm2), y.at(b.perplexity), "axis")
        for a, b in pairwise(stages)
    ]
    parts += [
        element(
            "circle", element("title", f"{s.step}: {s.perplexity:.5g}, {s.arrays_mm2:.5g} mm2"),
            cx=x.at(s.arrays_mm2), cy=y.at(s.perplexity), r=4.2, class_="design part-0 front",
        )
        for s in stages
    ]  # fmt: skip
    return drawing(
        WIDTH, BASE + 34, "Perplexity over area", "Stages of a compression.", *parts,
        table=(
            ("step", "arrays, mm2", "perplexity"),
            [(s.step, s.arrays_mm2, s.perplexity) for s in stages],
        ),
    )  # fmt: skip


def _machines(found: Ledger) -> Section:
    rows = []
    for s in found.stages:
        m = s.machine
        if m is None:
            rows.append([s.step, "no die holds it", "", str(s.masks), "", "", "", "", ""])
            continue
        rows.append(
            [
                s.step, str(m.chips), f"{m.die_mm2:.5g}", str(s.masks), f"{m.usd_chips:,.0f}",
                f"{m.usd_once:,.0f}", f"{m.usd_per_mtoken:.4g}", f"{m.tokens_per_second:,.0f}",
                f"{m.joules_per_token:.4g}",
            ]
        )  # fmt: skip
    return Section(
        "The machine of each stage",
        [
            "Each stage has a design of its own, as `hnlpu design` makes it: a smaller model leaves room "
            "that the design may give to more users. Rates are computed, at the design's users and context; dollars are "
            "estimates, of one machine's chips and of what is paid once, masks and design."
        ],
        columns=["step", "chips", "dies, mm2", "own masks", "$ of chips", "$ once", "$ per M tokens",
                 "tokens/s", "J per token"],
        rows=rows,
    )  # fmt: skip


def _lines(found: Ledger) -> list[Section]:
    told = [s for s in found.stages if s.lines]
    if not told:
        return []
    return [Section("What each step did", steps=[(s.step, list(s.lines)) for s in told])]
