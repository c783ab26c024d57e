"""`hnlpu chart`: charts of a page as files: SVG, PDF, PNG, or their numbers as CSV."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hnlpu._paths import absolute
from hnlpu.cli._app import app
from hnlpu.cli._options import Json
from hnlpu.cli._output import out, print_json
from hnlpu.errors import InvalidInput


@app.command()
def chart(
    page: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Page of --report, or an .svg that hnlpu made."),
    ],
    name: Annotated[
        str | None, typer.Option(help="Title of the chart, or its number (default: the only one).")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="File to write: .svg, .pdf, .png or .csv."),
    ] = None,
    json: Json = False,
) -> None:
    """List the charts of a page, or write one as a picture or as a table."""
    from hnlpu._charts import charts_of, check_chart, table_of, write_chart

    charts = charts_of(_text(page))
    if not charts:
        raise InvalidInput(
            f"{page}: holds no chart of hnlpu's; give a page that --report wrote, or a chart as .svg"
        )
    if output is not None:
        check_chart(output)
        title, svg = _chosen(page, charts, name)
        write_chart(output, svg)
        facts = {"chart": title, "file": str(absolute(output))}
        if json:
            print_json(facts)
        else:
            out.print(f"{facts['file']}: {title}")
        return
    if name is not None:
        charts = [_chosen(page, charts, name)]
    tables = [(title, table_of(svg)) for title, svg in charts]
    rows = [(title, found[0], len(found[1])) for title, found in tables if found is not None]
    if json:
        print_json([{"chart": title, "columns": c, "rows": n} for title, c, n in rows])
        return
    table = Table("", "chart", "numbers")
    for i, (title, columns, count) in enumerate(rows, 1):
        table.add_row(str(i), title, f"{count} x {'; '.join(columns)}")
    out.print(table)
    out.print(f"hnlpu chart {page} --name NUMBER -o FILE writes one: .svg, .pdf, .png or .csv")


def _chosen(page: Path, charts: list[tuple[str, str]], name: str | None) -> tuple[str, str]:
    """The chart of a title or number; raises InvalidInput, with the titles, where that names none."""
    if name is None and len(charts) == 1:
        return charts[0]
    if name is not None:
        if name.isdecimal() and 1 <= int(name) <= len(charts):
            return charts[int(name) - 1]
        for title, svg in charts:
            if title == name:
                return title, svg
    titles = ", ".join(f"{i} {title!r}" for i, (title, _) in enumerate(charts, 1))
    said = "--name: say which chart" if name is None else f"--name {name!r}: no such chart"
    raise InvalidInput(f"{said} of {page}: {titles}")


def _text(page: Path) -> str:
    try:
        return absolute(page).read_text("utf-8", "replace")
    except OSError as error:
        raise InvalidInput(f"{page}: cannot be read ({error.strerror})") from None
