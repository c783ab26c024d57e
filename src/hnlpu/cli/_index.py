"""`hnlpu index`: every model on every process, as one page with its numbers as CSV and JSON."""

from __future__ import annotations

import csv
import io
import json as json_text
import math
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from hnlpu._paths import absolute
from hnlpu.cli._app import app
from hnlpu.cli._options import Json
from hnlpu.cli._output import out, print_json, progress_bar
from hnlpu.cli._schema import kinds_line
from hnlpu.errors import InvalidInput, OutputExists, OutputFailed

PAGE, TABLE, DOCUMENT = "index.html", "index.csv", "index.json"


@app.command()
def index(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="Models: names of the catalog, builds, checkpoints (default: the whole catalog).",
        ),
    ] = None,
    technology: Annotated[
        list[str] | None,
        typer.Option(help="Process; may be repeated (default: all that come with hnlpu)."),
    ] = None,
    trials: Annotated[
        int,
        typer.Option(min=0, help="Designs to search for a better machine of each model; 0: none."),
    ] = 100,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder for index.html, index.csv and index.json."),
    ] = None,
    json: Json = False,
) -> None:
    """The hardwiring index: mm2, chips, masks, dollars, break-even and the best machine of each model."""
    from hnlpu.system.index import COLUMNS, hardwiring_index

    place = None if output is None else _folder(output)
    with progress_bar("pricing") as progress:
        entries = hardwiring_index(models, technology, trials=trials, progress=progress)
    document = {
        "trials": trials,
        "columns": {name: {"heading": h, "kind": kind} for name, (h, kind) in COLUMNS.items()},
        "entries": [_finite(entry.facts()) for entry in entries],
    }
    if place is not None:
        from hnlpu.insight.report import index_report

        _make(place)
        index_report(entries, trials, place / PAGE)
        _write(place / TABLE, _csv(document["entries"]))
        _write(place / DOCUMENT, json_text.dumps(document, indent=1) + "\n")
    if json:
        print_json(document)
        return
    table = Table(
        "model", "process", "machine", "chips", "mm2", "masks", "$ a million", "pays above"
    )
    for e in entries:
        if e.problem:
            table.add_row(e.model, e.technology, e.machine, "none: see why below", "", "", "", "")
            continue
        table.add_row(
            e.model, e.technology, e.machine, f"{e.chips:,}", f"{e.silicon_mm2:,.4g}", f"{e.chip_masks}",
            f"{e.usd_per_mtoken:,.3g}", _volume(e.pays_above),
        )  # fmt: skip
    out.print(table)
    out.print(kinds_line("index"))
    for e in entries:
        if e.problem:
            out.print(f"{e.model} in {e.technology}: {e.problem}")
    if place is not None:
        out.print(f"written: {place / PAGE}, {TABLE}, {DOCUMENT}")


def _volume(above: float | None) -> str:
    if above is None:
        return "not known"
    return f"{above:.2g} a day" if math.isfinite(above) else "at no volume"


def _finite(facts: dict[str, Any]) -> dict[str, Any]:
    """An infinite volume as the word that JSON and CSV have for it."""
    return {k: "never" if isinstance(v, float) and math.isinf(v) else v for k, v in facts.items()}


def _csv(entries: Any) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(entries[0]), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(entries)
    return text.getvalue()


def _folder(output: Path) -> Path:
    """The folder to write into: a new one, or one that an index was written into before; nothing is made."""
    from hnlpu.insight.report import check_page

    place = absolute(output)
    if place.is_file():
        raise OutputExists(f"{place}: is a file; name a folder")
    if place.is_dir() and any(place.iterdir()):
        check_page(place / PAGE)
        others = sorted(p.name for p in place.iterdir() if p.name not in (PAGE, TABLE, DOCUMENT))
        if others or not (place / PAGE).exists():
            found = others[0] if others else TABLE
            raise InvalidInput(f"{place}: holds {found}, so it is no index; name a new folder")
    above = next(folder for folder in place.parents if folder.exists())
    if not above.is_dir():
        raise OutputFailed(f"{place}: cannot be made ({above} is no folder)")
    return place


def _make(place: Path) -> None:
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFailed(f"{place}: cannot be made ({error.strerror})") from None


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise OutputFailed(f"{path}: cannot be written ({error.strerror})") from None
