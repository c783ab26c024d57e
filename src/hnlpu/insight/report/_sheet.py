"""`Sheet`: title, figures, sections -> one HTML page, through page/sheet.html.j2, without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import jinja2
from markupsafe import Markup

Legend = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Section:
    """Text, then whichever of legend, figures (heading, chart, note), a table, and steps there is."""

    title: str
    text: Sequence[str] = ()
    legend: Legend = ()
    figures: Sequence[tuple[str, Markup, str]] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    steps: Sequence[tuple[str, Sequence[str]]] = ()


@dataclass(frozen=True)
class Sheet:
    """A page; `tiles` are (value, label, note)."""

    eyebrow: str
    title: str
    lead: str
    tiles: Sequence[tuple[str, str, str]]
    sections: Sequence[Section]
    made: str = field(default="")


def render_sheet(sheet: Sheet) -> str:
    """The page as HTML text; all that is not a chart is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hnlpu.insight.report", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    assert environment.loader is not None
    style = "".join(
        environment.loader.get_source(environment, name)[0] for name in ("page.css", "machine.css")
    )
    return environment.get_template("sheet.html.j2").render(
        style=Markup(style),  # noqa: S704  our own files
        eyebrow=sheet.eyebrow, title=sheet.title, lead=sheet.lead, tiles=sheet.tiles,
        sections=sheet.sections, made=sheet.made,
    )  # fmt: skip
