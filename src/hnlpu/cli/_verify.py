"""`hnlpu verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hnlpu.cli._app import app
from hnlpu.cli._options import BuildArgument, Json, Ray, Workers
from hnlpu.cli._output import out, print_json, progress_bar
from hnlpu.cli._words import in_options


@app.command()
def verify(
    directory: BuildArgument,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Checkpoint to compare with (default: the one it was built from)."),
    ] = None,
    samples: Annotated[
        int, typer.Option(min=1, help="Neurons per matrix held to the golden model.")
    ] = 4,
    masks: Annotated[
        bool, typer.Option("--masks", help="Draw the metal of every weight and read it back.")
    ] = False,
    masks_from: Annotated[
        Path | None, typer.Option(help="The same with the files of a folder of masks.")
    ] = None,
    chips_from: Annotated[
        Path | None,
        typer.Option(help="Files of a folder of chips in RTL too; with masks, both as one set."),
    ] = None,
    rtl: Annotated[
        bool,
        typer.Option("--rtl", help="Simulate a neuron of every shape of array with Verilator."),
    ] = False,
    rtl_all: Annotated[
        bool,
        typer.Option("--rtl-all", help="Simulate every neuron of every array, which takes long."),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the samples.")] = 0,
    workers: Workers = None,
    ray: Ray = None,
    json: Json = False,
) -> None:
    """Prove a build: its files, every weight, its arithmetic and, on request, its metal."""
    from hnlpu.insight.verify import verify as do_verify

    with progress_bar("verifying") as progress:
        result = do_verify(
            directory, checkpoint, samples=samples, seed=seed, masks=masks, masks_from=masks_from,
            chips_from=chips_from, rtl=rtl, rtl_all=rtl_all, workers=workers, ray=ray, progress=progress,
        )  # fmt: skip
    if json:
        print_json(
            {
                "directory": str(result.directory),
                "checkpoint": str(result.checkpoint) if result.checkpoint else None,
                "passed": result.passed,
                "skipped": result.skipped, "set": result.set_digest,
                "checks": [
                    {
                        "name": c.name, "outcome": c.outcome, "passed": c.passed,
                        "covered": c.covered, "unit": c.unit,
                        "problems": [in_options(problem) for problem in c.problems],
                        "skipped": c.skipped and in_options(c.skipped),
                    }
                    for c in result.checks
                ],
            }
        )  # fmt: skip
    else:
        for check in result.checks:
            mark = "FAILED" if check.outcome == "failed" else check.outcome
            out.print(f"{check.name:<13} {mark:<7} {check.covered:,} {check.unit}")
            if check.skipped:
                reason = "not compared with a checkpoint: " if check.name == "weights" else ""
                out.print(f"{'':<13} {reason}{in_options(check.skipped)}")
            for problem in check.problems:
                out.print(f"  {in_options(problem)}", markup=False)
        if result.set_digest:
            out.print(f"{'set of chips':<13} {result.set_digest}")
        verdict = "sound" if result.passed else "NOT sound"
        left_out = f"; skipped: {', '.join(result.skipped)}" if result.skipped else ""
        out.print(f"{result.directory}: {verdict}{left_out}")
    if not result.passed:
        raise typer.Exit(1)
