"""A measured sensitivity -> its page: losses over areas, mixtures, and every matrix."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup

from hnlpu._version import __version__
from hnlpu.insight.report._plot import Axis, bottom_axis, key, left_axis, log_axis, short
from hnlpu.insight.report._sheet import Section, Sheet, render_sheet
from hnlpu.insight.report._svg import bar, drawing, element, join, line, signed_percent, text
from hnlpu.insight.sensitivity import BudgetStep, Option, Sensitivity

WIDTH, LEFT, RIGHT, TOP, BASE = 460, 52, 8, 22, 260
FILLS = {"attention": 0, "router": 1, "experts": 2, "unembedding": 3}
MOST_BARS = 24


def render_sensitivity(found: Sensitivity) -> str:
    """The page of one measurement."""
    priced = f", prices of {found.system}" if found.system else ""
    return render_sheet(
        Sheet(
            eyebrow="sensitivity",
            title=f"What {found.checkpoint.rsplit('/', 1)[-1]} loses where, and saves",
            lead=(
                f"{found.tokens:,} tokens, {found.activation_bits}-bit activations, {found.scheme} in "
                f"{found.technology} on {found.chips} chip{'s' * (found.chips != 1)}{priced}. Every "
                "perplexity was measured with the integers of a build."
            ),
            tiles=_tiles(found),
            sections=[_mixtures(found), *_matrices(found), _exact(found)],
            made=f"hnlpu {__version__} sensitivity. What the numbers mean: docs/policy.md.",
        )
    )


def _tiles(found: Sensitivity) -> list[tuple[str, str, str]]:
    finest = found.finest_perplexity / found.float_perplexity - 1
    tiles = [
        (f"{found.float_perplexity:.5g}", "perplexity in float", ""),
        (signed_percent(finest), "with every matrix at its finest", f"{found.finest_perplexity:.5g}"),
    ]  # fmt: skip
    if (c := found.chosen) is not None:
        whole = found.steps[-1].area_mm2
        tiles.append((signed_percent(c.loss), "with the policy", f"at most {found.budget:.3g}"))
        tiles.append(
            (
                f"{c.area_mm2:.4g} mm2",
                "arrays with the policy",
                f"{whole:.4g} with all at the finest",
            )
        )
    return tiles


def _mixtures(found: Sensitivity) -> Section:
    rows = [
        [
            f"{s.finer} of {len(found.order)}", f"{s.perplexity:.6g}", signed_percent(s.loss),
            f"{s.area_mm2:.5g}", _usd(s.usd), "policy" if s == found.chosen else "",
        ]
        for s in found.steps
    ]  # fmt: skip
    columns = ["in the finest format", "perplexity", "over float", "arrays, mm2", "$", ""]
    return Section(
        "Mixtures",
        [
            "Matrices that lose most per mm2 have their finest format first. Each mixture was "
            "measured as a whole.",
            f"A chip has {found.masks_per_chip} programmable masks, whatever its formats are: formats "
            "decide how many chips there are. Dollars are an area's share of a chip and its own masks.",
        ],
        figures=[("Perplexity over area", _curve(found.steps), "The policy's is filled.")]
        if len(found.steps) > 1
        else [],
        columns=columns, rows=rows,
    )  # fmt: skip


def _curve(steps: Sequence[BudgetStep]) -> Markup:
    x = log_axis([s.area_mm2 for s in steps], LEFT + 6, WIDTH - RIGHT - 6, room=1.05)
    losses = [100 * s.loss for s in steps]
    spare = 0.08 * (max(losses) - min(losses)) or 0.01
    y = Axis(min(losses) - spare, max(losses) + spare, BASE, TOP)
    parts = [
        left_axis(y, LEFT, WIDTH - RIGHT, "% over float"),
        bottom_axis(x, BASE, [(t, short(t)) for t in x.ticks()], "arrays, mm2, log scale"),
    ]
    parts += [
        line(x.at(a.area_mm2), y.at(100 * a.loss), x.at(b.area_mm2), y.at(100 * b.loss), "axis")
        for a, b in pairwise(steps)
    ]
    parts += [
        element(
            "circle", element("title", f"{s.finer} fine: {signed_percent(s.loss)}, {s.area_mm2:.5g} mm2"),
            cx=x.at(s.area_mm2), cy=y.at(100 * s.loss), r=4.2, class_="design part-0 front",
        )
        for s in steps
    ]  # fmt: skip
    return drawing(
        WIDTH, BASE + 34, "Perplexity over area", "Measured mixtures.", *parts,
        table=(
            ("matrices in the finest format", "arrays, mm2", "perplexity", "% over float"),
            [(s.finer, s.area_mm2, s.perplexity, 100 * s.loss) for s in steps],
        ),
    )  # fmt: skip


def _matrices(found: Sensitivity) -> list[Section]:
    if not found.options:
        return []
    rows = [
        [
            o.name, o.role, o.format, signed_percent(o.relative_error), f"{o.perplexity:.6g}",
            signed_percent(o.loss), f"{o.area_mm2:.4g}", f"{o.saved_mm2:.4g}",
            "" if o.masks is None else f"{o.masks:.2g}", _usd(o.usd),
        ]
        for o in sorted(found.options, key=lambda o: (o.kind, -o.loss))
    ]  # fmt: skip
    columns = [f"in {found.coarser}", "role", "format", "relative error", "perplexity", "loss", "mm2",
               "saves mm2", "saves masks", "saves $"]  # fmt: skip
    single = sorted((o for o in found.options if o.kind == "matrix"), key=lambda o: -abs(o.loss))
    figure = (
        "Loss of single matrices", _bars(single[:MOST_BARS]),
        "All else in the finest format; those that change most.",
    )  # fmt: skip
    return [
        Section(
            "Matrix by matrix",
            ["Each alone in the coarser format, then each role, then all of the model."],
            figures=[figure], columns=columns, rows=rows,
        )
    ]  # fmt: skip


def _bars(options: Sequence[Option]) -> Markup:
    row, left = 18, 226
    largest = max((abs(o.loss) for o in options), default=0.0) or 1.0
    parts = []
    for i, o in enumerate(options):
        y = 8 + row * i
        width = max(1.0, abs(o.loss) / largest * (WIDTH - 66 - left))
        class_ = f"part-{FILLS.get(o.role, 4)}"
        parts.append(text(left - 6, y + 10, o.name[-36:], "end", "tick"))
        parts.append(bar(left, y, width, 12, class_, f"{o.name}: {signed_percent(o.loss)}"))
        parts.append(text(left + width + 4, y + 10, signed_percent(o.loss), "start", "tick"))
    height = row * len(options) + 14
    roles = list(dict.fromkeys(o.role for o in options))
    names, tall = key(
        [(f"part-{FILLS.get(role, 4)}", role) for role in roles], 8, height + 16, WIDTH - 8
    )
    parts.append(text(WIDTH - 8, height + 6, "perplexity lost, % of all finest", "end", "tick"))
    return drawing(
        WIDTH, height + 20 + tall, "Loss by matrix", "Perplexity lost in the coarser format.",
        join(*parts), names,
        table=(("matrix", "role", "% lost"), [(o.name, o.role, 100 * o.loss) for o in options]),
    )  # fmt: skip


def _exact(found: Sensitivity) -> Section:
    count = len(found.exact)
    return Section(
        "Nothing to choose",
        [
            f"{count} matri{'x is' if count == 1 else 'ces are'} reproduced exactly by the coarsest "
            "format: a finer one would cost area for nothing."
            if count
            else "No matrix is reproduced exactly by the coarsest format.",
        ],
        columns=["matrix"] if count else [],
        rows=[[name] for name in found.exact],
    )


def _usd(value: float | None) -> str:
    return "" if value is None else f"{value:,.4g}"
