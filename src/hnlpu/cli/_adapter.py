"""`hnlpu adapter`: LoRA adapters for a build."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hnlpu.cli._app import app
from hnlpu.cli._options import Json
from hnlpu.cli._output import out, print_json
from hnlpu.errors import InvalidInput

group = typer.Typer(help="LoRA adapters, which run beside the wires.", rich_markup_mode=None)
app.add_typer(group, name="adapter")


@group.command()
def check(
    adapter: Annotated[Path, typer.Argument(metavar="ADAPTER", help="Folder of a PEFT adapter.")],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Build that it is for.")],
    budget: Annotated[
        float, typer.Option(help="Share of the hardwired weights that it may have.")
    ] = 0.01,
    json: Json = False,
) -> None:
    """Whether an adapter fits a build, and its field-programmable neurons the budget."""
    from hnlpu.run.engine import read_adapter
    from hnlpu.silicon.hardwire import open_build

    if not 0 < budget <= 1:
        raise InvalidInput(f"--budget {budget}: must be above 0 and at most 1")
    build = open_build(directory)
    found = read_adapter(adapter, build.network)
    hardwired = sum(matrix.weights for matrix in build.manifest.matrices.values())
    share = found.weights / hardwired
    fits = share <= budget
    if json:
        print_json(
            {
                "adapter": str(adapter), "fits": fits, "weights": found.weights,
                "neurons": found.neurons, "projections": len(found.parts),
                "hardwired_weights": hardwired, "share": share, "budget": budget,
            }
        )  # fmt: skip
    else:
        out.print(
            f"{adapter}: {found.neurons:,} field-programmable neurons with {found.weights:,} "
            f"weights for {len(found.parts)} matrices and stacks, {100 * share:.2f} % of "
            f"{hardwired:,} hardwired; {'within' if fits else 'MORE than'} the budget of "
            f"{100 * budget:g} %"
        )
    if not fits:
        raise typer.Exit(1)
