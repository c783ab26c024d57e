"""`hnlpu compress`: a smaller checkpoint of the same family, and what that does to its chips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from hnlpu.cli._app import app
from hnlpu.cli._options import FamilyOption, Json, Workers, chosen_family, read_text
from hnlpu.cli._output import out, print_json, progress_bar
from hnlpu.errors import InvalidInput

if TYPE_CHECKING:
    from hnlpu.insight.compress import Ledger


@app.command()
def compress(
    checkpoint: Annotated[str, typer.Argument(help="Checkpoint folder or Hub id.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to make.")],
    text: Annotated[
        Path, typer.Option(metavar="FILE", help="UTF-8 file that steps are decided on.")
    ],
    with_: Annotated[
        list[str] | None,
        typer.Option(
            "--with", metavar="STEP",
            help="A step, NAME or NAME:KEY=VALUE,...: finercut, amp, experts, round, heal (repeat).",
        ),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML file of steps, in place of --with.")
    ] = None,
    judged: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="UTF-8 file that the result is judged on (default: the text's last fifth)."
        ),
    ] = None,
    tokens: Annotated[int, typer.Option(min=2, help="Tokens of each text that are read.")] = 8192,
    allow_uncovered: Annotated[
        bool, typer.Option("--allow-uncovered", help="Go on where the text meets not all experts.")
    ] = False,
    policy: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Formats of the builds that are compared.")
    ] = None,
    technology: Annotated[
        str, typer.Option(help="Process: n5, sky130, asap7, or a .toml file.")
    ] = "n5",
    scheme: Annotated[str, typer.Option(help="Embedding: taps or regions.")] = "taps",
    chips: Annotated[
        int | None, typer.Option(help="Chips to place on (default: as few as are needed).")
    ] = None,
    family: FamilyOption = None,
    workers: Workers = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Take heads, neurons, experts, halves of layers or digits out of a checkpoint, step by step.

    Writes a checkpoint of the same family and ledger.json: perplexity, weights, area, masks, dollars, rate and
    energy before and behind each step.
    """
    from hnlpu.insight.compress import LEDGER, Task, parse_steps, read_recipe
    from hnlpu.insight.compress import compress as do_compress
    from hnlpu.insight.report import compress_report
    from hnlpu.model.policy import make_policy, read_policy
    from hnlpu.silicon.place import make_target

    if (recipe is None) == (not with_):
        raise InvalidInput("give --recipe FILE or one --with STEP or more")
    steps = parse_steps(with_ or ()) if recipe is None else read_recipe(recipe)
    task = Task(
        checkpoint, steps, read_text(text), make_target(technology, scheme, chips),
        make_policy("default", **({} if policy is None else read_policy(policy))),
        None if judged is None else read_text(judged), tokens, allow_uncovered,
        chosen_family(family),
    )  # fmt: skip
    with progress_bar("compressing") as progress:
        found = do_compress(task, output, workers=workers, progress=progress)
    page = compress_report(found, output / "ledger.html")
    if json:
        print_json({"directory": str(output), "page": str(page), **found.model_dump(mode="json")})
        return
    _print(found)
    out.print(f"{output}: a checkpoint, {LEDGER}, {page.name}")


def _print(found: Ledger) -> None:
    first = found.stages[0]
    numbers = Table(_step_column(), "perplexity", "change", "weights", "arrays mm2")
    machines = Table(_step_column(), "chips", "masks", "$ M once", "tokens/s", "J/token")
    for stage in found.stages:
        numbers.add_row(
            stage.step, f"{stage.perplexity:.5g}", f"{100 * (stage.perplexity / first.perplexity - 1):+.3g} %",
            f"{stage.weights:,}", f"{stage.arrays_mm2:.5g}",
        )  # fmt: skip
        m = stage.machine
        figures = ("no die holds it", str(stage.masks), "", "", "")
        if m is not None:
            figures = (
                str(m.chips), str(stage.masks), f"{m.usd_once / 1e6:,.4g}", f"{m.tokens_per_second:,.0f}",
                f"{m.joules_per_token:.3g}",
            )  # fmt: skip
        machines.add_row(stage.step, *figures)
    out.print(numbers, markup=False)
    out.print(machines, markup=False)
    for stage in found.stages:
        for line in stage.lines:
            out.print(f"{stage.step}: {line}", markup=False)
    out.print(
        f"decided on {found.decided_on:,} tokens, which met {100 * found.coverage:.3g} % of the matrices; "
        f"judged on {found.judged_on:,} others"
    )


def _step_column() -> Column:
    return Column("step", overflow="fold", min_width=12)
