"""`hnlpu sweep`: every combination of some values, as a table or CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hnlpu.cli._app import app
from hnlpu.cli._cost import ModelOption, SubjectArgument, SystemOption
from hnlpu.cli._options import Json
from hnlpu.cli._output import out, print_json, waiting
from hnlpu.cli._schema import kinds_line
from hnlpu.errors import InvalidInput, OutputExists

SHOWN = ("chips", "die_mm2", "tokens_per_second", "limit", "tco_musd", "usd_per_mtoken", "problem")


@app.command()
def sweep(
    subject: SubjectArgument,
    vary: Annotated[
        list[str],
        typer.Option(
            "--vary",
            help="KEY=A,B,C: context, users, output_share, utilisation, systems, respins, or a key of "
            "the system's file as in machine.link.bandwidth; may be repeated.",
        ),
    ],
    model: ModelOption = None,
    system: SystemOption = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write all columns as CSV.")
    ] = None,
    json: Json = False,
) -> None:
    """Chips, die, rate and money for every combination of values."""
    from hnlpu._paths import absolute
    from hnlpu._whole import new_file
    from hnlpu.system.design import sweep as do_sweep

    asked = dict(map(_parsed, vary))
    if len(asked) < len(vary):
        raise InvalidInput("--vary: give each key once, with all of its values")
    place = None if output is None else absolute(output)
    if place is not None and place.exists():
        raise OutputExists(f"{place}: exists already; remove it or choose another with `output`")
    with waiting("sweeping"):
        rows = do_sweep(subject, asked, model=model, system=system)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    if place is not None:
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with new_file(place) as write:
            write(text.getvalue().encode())
    if json:
        print_json(rows)
        return
    shown = [c for c in columns if c in asked or c in SHOWN]
    if not any(row["problem"] for row in rows):
        shown.remove("problem")
    table = Table(*shown)
    for row in rows:
        table.add_row(*(_cell(row.get(column, "")) for column in shown))
    out.print(table)
    out.print(kinds_line("sweep"))
    if place is not None:
        out.print(f"written: {place}")


def _parsed(text: str) -> tuple[str, list[float]]:
    """Key and values of "KEY=A,B"; raises InvalidInput."""
    key, _, values = text.partition("=")
    try:
        numbers = [float(value) for value in values.split(",") if value.strip()]
    except ValueError:
        numbers = []
    if not key.strip() or not numbers:
        raise InvalidInput(f"--vary {text!r}: give KEY=A,B,C, as in context=1024,8192")
    return key.strip(), numbers


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.4g}"
    return str(value)
