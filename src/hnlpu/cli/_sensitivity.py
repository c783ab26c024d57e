"""`hnlpu sensitivity`: what each matrix loses in a coarser format, what that saves, and a policy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.table import Column, Table

from hnlpu.cli._app import app
from hnlpu.cli._options import FamilyOption, Json, Tokens, Workers, chosen_family, read_text
from hnlpu.cli._output import out, parse_tokens, print_json, progress_bar
from hnlpu.errors import InvalidInput

if TYPE_CHECKING:
    from hnlpu.insight.sensitivity import Sensitivity


@app.command()
def sensitivity(
    checkpoint: Annotated[str, typer.Argument(help="Checkpoint folder or Hub id.")],
    text: Annotated[Path | None, typer.Option(metavar="FILE", help="UTF-8 file to score.")] = None,
    tokens: Tokens = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder to make (default: NAME.sensitivity here)."),
    ] = None,
    budget: Annotated[
        float, typer.Option(help="Most that the policy may raise the perplexity (0.01: 1 %).")
    ] = 0.001,
    coarser: Annotated[
        str,
        typer.Option(
            help="Format to measure beside the finest: mxfp4, int4, nf4, fitted, int8, int3, ternary or ternary2."
        ),
    ] = "mxfp4",
    activation_bits: Annotated[int | None, typer.Option(help="Activation width, 2 to 16.")] = None,
    technology: Annotated[
        str, typer.Option(help="Process: n5, sky130, asap7, or a .toml file.")
    ] = "n5",
    scheme: Annotated[str, typer.Option(help="Embedding: taps or regions.")] = "taps",
    chips: Annotated[
        int | None, typer.Option(help="Chips to place on (default: as few as are needed).")
    ] = None,
    system: Annotated[
        str | None, typer.Option(help="System that prices are of (default: one of the process).")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the Hub.")] = None,
    family: FamilyOption = None,
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Measure what each matrix loses in a coarser format, beside area, masks and dollars."""
    from hnlpu.insight.report import sensitivity_report
    from hnlpu.insight.sensitivity import POLICY, TABLE, SensitivitySubject
    from hnlpu.insight.sensitivity import sensitivity as do_measure
    from hnlpu.model.policy import make_policy
    from hnlpu.silicon.place import make_target

    if (text is None) == (tokens is None):
        raise InvalidInput("give one of --text FILE or --tokens 1,2,3")
    passage = parse_tokens(tokens or "") if text is None else read_text(text)
    folder = output or Path(f"{Path(checkpoint).name}.sensitivity")
    subject = SensitivitySubject(
        checkpoint, passage, make_target(technology, scheme, chips),
        make_policy("default", activation_bits=activation_bits), system, revision, chosen_family(family),
        cast("Any", coarser),
    )  # fmt: skip
    with progress_bar("measuring") as progress:
        found = do_measure(subject, folder, budget, workers=workers, progress=progress)
    page = sensitivity_report(found, folder / "sensitivity.html")
    if json:
        print_json({"directory": str(folder), "page": str(page), **found.model_dump(mode="json")})
        return
    _print(found)
    names = [TABLE, page.name] + ([POLICY] if found.policy is not None else [])
    out.print(f"{folder}: {', '.join(names)}")


def _print(found: Sensitivity) -> None:
    finest = found.finest_perplexity / found.float_perplexity - 1
    out.print(
        f"{found.tokens:,} tokens: perplexity {found.float_perplexity:.5g} in float, "
        f"{found.finest_perplexity:.5g} hardwired at its finest ({100 * finest:+.3g} %)"
    )
    out.print(f"{len(found.exact)} matrices are exact in {found.coarser}")
    if found.options:
        table = Table(
            Column(f"in {found.coarser}", overflow="fold", min_width=26),
            "role",
            "relative error",
            "loss",
            "saves mm2",
            "masks",
            "$",
        )
        for o in sorted(found.options, key=lambda o: (o.kind == "matrix", -o.loss)):
            table.add_row(
                o.name, o.role, f"{100 * o.relative_error:.3g} %", f"{100 * o.loss:+.3g} %",
                f"{o.saved_mm2:.4g}", "" if o.masks is None else f"{o.masks:.4g}",
                "" if o.usd is None else f"{o.usd:,.0f}",
            )  # fmt: skip
        out.print(table, markup=False)
    if found.chosen is None:
        out.print(f"no mixture loses at most {100 * found.budget:g} %; give more --budget")
        return
    c, last = found.chosen, found.steps[-1]
    out.print(
        f"policy: {c.finer} of {len(found.order)} matrices in their finest format, perplexity "
        f"{100 * c.loss:+.3g} % over float, {c.area_mm2:.4g} mm2 of arrays "
        f"({last.area_mm2:.4g} with all of them)"
    )
