"""A search -> its page: the front, the best machine, its die, and why it wins."""

from __future__ import annotations

from hnlpu._version import __version__
from hnlpu.insight.report import _explore_charts as charts
from hnlpu.insight.report._machine_charts import floorplan
from hnlpu.insight.report._machine_page import RETICLE_MM
from hnlpu.insight.report._plot import binary
from hnlpu.insight.report._sheet import Section, Sheet, render_sheet
from hnlpu.system.explore import (
    OBJECTIVES,
    Candidate,
    DesignScore,
    Search,
    best,
    best_per_precision,
    changed_fields,
    explain,
    least_gain,
)

NAMES = {
    "tokens_per_usd": "tokens a dollar",
    "tokens_per_joule": "tokens a joule",
    "latency": "speed of one user",
}
PAIRS = (("tokens_per_usd", "tokens_per_joule"), ("tokens_per_usd", "latency"))


def render_search(found: Search) -> str:
    """The page of one search."""
    problem = found.problem
    winner = best(found)
    contexts = " and ".join(binary(c) for c in problem.contexts)
    sections = [_front(found)]
    if winner is not None:
        sections += [_why(found, winner), _die(found, winner), _changes(found, winner)]
    sections.append(_designs(found))
    windows = "with" if problem.sliding else "without"
    return render_sheet(
        Sheet(
            eyebrow="search for a machine",
            title=f"Machines for {problem.model.name}",
            lead=(
                f"{found.trials:,} designs at {contexts} positions of context, {windows} sliding "
                f"windows, contention {problem.contention}, prices of {problem.system.name}, "
                f"{problem.systems:,} built, {problem.respins} re-spins."
            ),
            tiles=_tiles(found, winner),
            sections=sections,
            made=f"hnlpu {__version__} explore. Formulas and sources: docs/machine.md.",
        )
    )


def _tiles(found: Search, winner: Candidate | None) -> list[tuple[str, str, str]]:
    tiles = [
        (f"{len(found.candidates):,}", "designs can be built", f"of {found.trials:,} tried"),
        (f"{len(found.front)}", "on the Pareto front", "bettered by none in every objective"),
    ]
    if winner is not None:
        for name in OBJECTIVES:
            value = least_gain(found, winner, name)
            tiles.append((f"{value:.2f}x", NAMES[name], "best machine, its worst context"))
    return tiles


def start_words(found: Search) -> str:
    """What the machine is that the search started from."""
    return "designed" if found.problem.designed else "published"


def _front(found: Search) -> Section:
    front = {c.score.design for c in found.front}
    figures = []
    for across, up in PAIRS:
        dots = [
            charts.PlottedDesign(
                least_gain(found, c, across), least_gain(found, c, up), c.score.design.kv_bits,
                c.score.design in front, _name(c.score),
            )
            for c in found.candidates
        ]  # fmt: skip
        figures.append(
            (
                f"{NAMES[up]} over {NAMES[across]}",
                charts.pareto(dots, f"{NAMES[across]}, times", f"{NAMES[up]}, times"),
                f"Gains over the {start_words(found)} machine, which is where the lines cross; of several "
                "contexts the least counts.",
            )
        )
    return Section("The front", figures=figures)


def _why(found: Search, winner: Candidate) -> Section:
    reasons = explain(found, winner)
    steps = [
        (
            f"{reason.title}: "
            + ", ".join(
                f"{_words(name)} {old} to {new}" for name, (old, new) in reason.changed.items()
            ),
            reason.sentences,
        )
        for reason in reasons
    ]
    figures = []
    for i, context in enumerate(found.problem.contexts):
        way = [(start_words(found), found.reference.points[i].tokens_per_usd)]
        way += [(r.title, r.score.points[i].tokens_per_usd) for r in reasons]
        figures.append(
            (
                f"Tokens a dollar at {binary(context)}",
                charts.ladder(f"Way at {binary(context)}", way, "tokens a dollar, log scale"),
                "Each line is a machine, simulated and priced; those between may not be buildable.",
            )
        )
    return Section(
        "Why it wins",
        [f"From the {start_words(found)} machine to the best one, a group of changes at a time."],
        figures=figures,
        steps=steps,
    )


def _die(found: Search, winner: Candidate) -> Section:
    return Section(
        "Dies to scale",
        figures=[
            (name, floorplan(score.chip.blocks, RETICLE_MM), _name(score))
            for name, score in ((start_words(found), found.reference), ("best", winner.score))
        ],
    )


def _changes(found: Search, winner: Candidate) -> Section:
    rows = [
        [_words(name), str(old), str(new)]
        for name, old, new in changed_fields(found.reference.design, winner.score.design)
    ]
    return Section("The best machine", columns=["", start_words(found), "best"], rows=rows)


def _designs(found: Search) -> Section:
    rows = []
    named = [(start_words(found), found.reference)]
    named += [
        (f"best with {bits}-bit KV", c.score) for bits, c in best_per_precision(found).items()
    ]
    named += [(f"front {i}", c.score) for i, c in enumerate(found.front, 1)]
    for name, score in named:
        rows += [
            [
                name, _name(score), binary(p.context), f"{p.tokens_per_second:,.0f}",
                f"{p.tokens_per_usd:,.0f}", f"{p.tokens_per_joule:,.1f}", f"{p.latency * 1e6:,.0f}",
                f"{p.bill.tco_musd:,.1f}", p.simulation.bottleneck,
            ]
            for p in score.points
        ]  # fmt: skip
    columns = ["machine", "", "context", "tokens/s", "tokens/$", "tokens/J", "us a token",
               "TCO, M$", "limit"]  # fmt: skip
    return Section("Machines", columns=columns, rows=rows)


def _words(field: str) -> str:
    return field.replace("_", " ")


def _name(score: DesignScore) -> str:
    d = score.design
    return (
        f"{d.rows}x{d.columns} chips of {score.chip.area_mm2:.0f} mm2, {d.package}, {d.collective}, "
        f"{d.vector_units} vector units, {d.buffer_mb} MB, {d.stacks} x {d.memory}, "
        f"{d.kv_bits}-bit KV, {d.arrays} arrays, {d.stages} tokens a layer"
    )
