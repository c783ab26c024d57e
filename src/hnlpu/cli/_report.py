"""`hnlpu report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hnlpu.cli._app import app
from hnlpu.cli._options import BuildArgument, Json, read_text
from hnlpu.cli._output import out, print_json, waiting


@app.command()
def report(
    directory: BuildArgument,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="HTML file (default: DIR.report.html).")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Checkpoint for the float figures (default: the one it was built from)."),
    ] = None,
    text: Annotated[Path | None, typer.Option(help="UTF-8 file to score with both models.")] = None,
    prompt: Annotated[str | None, typer.Option(help="Prompt of the sample text.")] = None,
    json: Json = False,
) -> None:
    """Write a self-contained HTML page about a build."""
    from hnlpu.insight.report import report as do_report

    passage = None if text is None else read_text(text)
    with waiting("measuring and drawing"):
        path = do_report(directory, output, checkpoint=checkpoint, text=passage, prompt=prompt)
    if json:
        print_json({"report": str(path), "bytes": path.stat().st_size})
    else:
        out.print(f"{path}: {path.stat().st_size / 1e3:.0f} kB, opens in any browser")
