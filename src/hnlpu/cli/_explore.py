"""`hnlpu explore`: a search for the machine that a model deserves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from hnlpu.cli._app import app
from hnlpu.cli._cost import SlidingOption
from hnlpu.cli._options import Json
from hnlpu.cli._output import out, print_json, progress_bar, waiting
from hnlpu.cli._schema import kinds_line
from hnlpu.errors import InvalidInput

START = {"published": "published machine", "design": "machine designed for the model"}


@app.command()
def explore(
    subject: Annotated[
        str | None,
        typer.Argument(
            metavar="[SYSTEM|MODEL]",
            help="Machine to start from and to beat: a system by name or file, or the chips designed for a "
            "model, as in cost.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Model to build a machine for: a name of the catalog, a build, a checkpoint, a Hub id."
        ),
    ] = None,
    objective: Annotated[
        str, typer.Option(help="Any of tokens_per_usd, tokens_per_joule, latency, by commas.")
    ] = "tokens_per_usd,tokens_per_joule,latency",
    trials: Annotated[int, typer.Option(help="Designs to try.")] = 500,
    context: Annotated[
        str | None,
        typer.Option(
            help="Positions cached; of several, by commas, the worst counts (default: those of the design, "
            "else 2048, or all of the model's)."
        ),
    ] = None,
    system: Annotated[
        str | None,
        typer.Option(help="System to start from (with --model; default: hnlpu-asplos26)."),
    ] = None,
    contention: Annotated[str, typer.Option(help="full or none, as in simulate.")] = "full",
    kv_bits: Annotated[str, typer.Option(help="Bits of cached values to try.")] = "16,8,4",
    sliding: SlidingOption = None,
    systems: Annotated[int, typer.Option(help="Machines built of a design.")] = 1,
    respins: Annotated[int, typer.Option(help="Models cast anew into the same silicon.")] = 0,
    options: Annotated[
        Path | None, typer.Option(help="Data file of packages, links and memories.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search.")] = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Designs at once (default: one per core, at most 8).")
    ] = None,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Ray cluster, or 'local'.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Also write a page about it.")] = None,
    json: Json = False,
) -> None:
    """Search for a machine that beats the published one, or a model's own, and say why it does."""
    from hnlpu.system.design import open_machine
    from hnlpu.system.explore import load_options, make_problem, parse_objectives
    from hnlpu.system.explore import search as do_search
    from hnlpu.system.machine import default_context, uses_windows

    if contention not in ("none", "full"):
        raise InvalidInput(f"--contention {contention!r}: choose from none, full")
    objectives = parse_objectives(objective)
    if report is not None:
        from hnlpu.insight.report import check_page

        check_page(report)
    named, of = _start(subject, model, system)
    found = open_machine(named, model=of)
    start, shape = found.system, found.subject.shape
    usual = start.target.context if start.target else default_context(shape)
    contexts = (usual,) if context is None else _numbers("--context", context)
    problem = make_problem(
        start, shape, load_options(options), contexts,
        sliding=uses_windows(start, shape) if sliding is None else sliding,
        contention="none" if contention == "none" else "full", systems=systems, respins=respins,
        bits=found.subject.bits,
    )  # fmt: skip
    bits = _numbers("--kv-bits", kv_bits)
    if not set(bits) <= {4, 8, 16}:
        raise InvalidInput(f"--kv-bits {kv_bits!r}: give any of 16, 8, 4, separated by commas")
    with progress_bar("searching") as progress:
        searched = do_search(
            problem, objectives, trials, kv_bits=bits, seed=seed, workers=workers, ray=ray,
            progress=progress,
        )  # fmt: skip
    with waiting("explaining"):
        facts = _facts(searched)
    if report is not None:
        from hnlpu.insight.report import explore_report

        facts["report"] = str(explore_report(searched, report))
    if json:
        print_json(facts)
    else:
        _print(facts)
        out.print(kinds_line("explore"))
    if not facts["front"]:
        raise typer.Exit(1)


def _start(subject: str | None, model: str | None, system: str | None) -> tuple[str, str | None]:
    """What to start from, and the model where that is a system; raises InvalidInput where both are unclear."""
    if subject is None:
        if model is None:
            raise InvalidInput(
                "say what to improve: a model or a system as in `hnlpu cost`, or `model` NAME to start from "
                "the published machine"
            )
        return system or "hnlpu-asplos26", model
    if system is not None:
        raise InvalidInput(f"`system` {system}: {subject} is what is started from; leave one out")
    return subject, model


def _numbers(option: str, text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        numbers = ()
    if not numbers or len(set(numbers)) < len(numbers):
        raise InvalidInput(f"{option} {text!r}: give whole numbers, each once, as in 2048,65536")
    return numbers


def _facts(found: Any) -> dict[str, Any]:
    from hnlpu.system.explore import best, best_per_precision, explain

    winner = best(found)
    facts: dict[str, Any] = {
        "model": found.problem.model.name, "system": found.problem.system.name,
        "objectives": list(found.objectives), "contexts": list(found.problem.contexts),
        "start": "design" if found.problem.designed else "published",
        "contention": found.problem.contention, "sliding": found.problem.sliding,
        "trials": found.trials, "feasible": len(found.candidates), "infeasible": found.infeasible,
        "reference": _score(found, found.reference),
        "front": [_candidate(found, c) for c in found.front],
        "best_by_kv_bits": {
            str(bits): _candidate(found, c) for bits, c in best_per_precision(found).items()
        },
        "best": None, "why": [],
    }  # fmt: skip
    if winner is not None:
        facts["best"] = _candidate(found, winner)
        facts["why"] = [
            {
                "step": reason.title,
                "changes": {name: list(pair) for name, pair in reason.changed.items()},
                "text": list(reason.sentences),
                "points": _points(reason.score),
                "die_mm2": reason.score.chip.area_mm2,
            }
            for reason in explain(found, winner)
        ]
    return facts


def _points(score: Any) -> list[dict[str, Any]]:
    return [
        {
            "context": p.context, "tokens_per_second": p.tokens_per_second,
            "bound_tokens_per_second": p.simulation.bound,
            "tokens_per_second_per_user": p.simulation.tokens_per_second_per_user,
            "latency_us": p.latency * 1e6, "bottleneck": p.simulation.bottleneck,
            "utilisation": dict(p.simulation.utilisation), "power_w": p.power_w,
            "tco_musd": p.bill.tco_musd, "tokens_per_usd": p.tokens_per_usd,
            "tokens_per_joule": p.tokens_per_joule, "tco2e": p.bill.tco2e,
        }
        for p in score.points
    ]  # fmt: skip


def _score(found: Any, score: Any) -> dict[str, Any]:
    return {
        "design": score.design.values(), "chips": score.design.chips,
        "tokens_in_flight": score.chip.specification.slots,
        "die_mm2": score.chip.area_mm2, "blocks_mm2": dict(score.chip.blocks),
        "masks_per_chip": score.chip.masks, "points": _points(score),
    }  # fmt: skip


def _candidate(found: Any, candidate: Any) -> dict[str, Any]:
    from hnlpu.system.explore import OBJECTIVES, least_gain

    return _score(found, candidate.score) | {
        "gains": {name: least_gain(found, candidate, name) for name in OBJECTIVES}
    }


def _print(facts: dict[str, Any]) -> None:
    out.print(
        f"{facts['trials']:,} designs for {facts['model']}, {facts['feasible']:,} different ones "
        f"can be built; {len(facts['front'])} on the Pareto front"
    )
    table = Table("machine", "context", "tokens/s", "tokens/$", "tokens/J", "us/token", "limit")
    rows = [(facts["start"], facts["reference"])]
    rows += [(f"best, {bits}-bit KV", c) for bits, c in facts["best_by_kv_bits"].items()]
    for name, entry in rows:
        for point in entry["points"]:
            table.add_row(
                name, f"{point['context']:,}", f"{point['tokens_per_second']:,.0f}",
                f"{point['tokens_per_usd']:,.0f}", f"{point['tokens_per_joule']:,.1f}",
                f"{point['latency_us']:,.0f}", point["bottleneck"],
            )  # fmt: skip
    out.print(table)
    winner = facts["best"]
    if winner is None:
        out.print(
            f"no design beats the {START[facts['start']]} without losing in tokens/J; try more"
        )
        return
    gains = ", ".join(f"{name} {value:.2f}x" for name, value in winner["gains"].items())
    out.print(f"best: {gains} (the least over all contexts), {winner['die_mm2']:.0f} mm2 a die")
    for step in facts["why"]:
        changes = ", ".join(
            f"{name} {old} to {new}" for name, (old, new) in step["changes"].items()
        )
        out.print(f"{step['step']}: {changes}")
        for text in step["text"]:
            out.print(f"    {text}")
