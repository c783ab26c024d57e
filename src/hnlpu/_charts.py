"""A chart as SVG, with its numbers inside -> a file of the kind that its ending names.

    .svg    the drawing, its table in <metadata>
    .csv    that table
    .pdf    the drawing in vectors, with a font embedded          (typst, hnlpu[charts])
    .png    the drawing at 192 pixels an inch                     (typst, hnlpu[charts])

`charts_of` takes the charts out of a page, each with the styles that it needs.
"""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
from collections.abc import Sequence
from html import escape, unescape
from pathlib import Path
from typing import Any

from hnlpu._paths import absolute
from hnlpu.errors import InvalidInput, OutputExists, OutputFailed, ToolFailed, ToolMissing

MAGIC = {".svg": b"<svg", ".png": b"\x89PNG", ".pdf": b"%PDF", ".csv": b""}
"""Endings that are written, and what a file of the kind has at its beginning."""
PIXELS_PER_INCH = 192
FACE = "Aileron"
"""The font that comes with Pillow, so that a file looks the same wherever it is made."""

_CHART = re.compile(r"<svg\b[^>]*>.*?</svg>", re.DOTALL)
_TABLE = re.compile(r'<metadata class="table">(.*?)</metadata>', re.DOTALL)
_TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_BLOCK = re.compile(r"@[^{]*\{(?:[^{}]|\{[^{}]*\})*\}")
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
_PROPERTY = re.compile(r"(--[\w-]+)\s*:\s*([^;]+)")
_VARIABLE = re.compile(r"var\((--[\w-]+)\)")
_SELECTOR = re.compile(r"^(\.chart |\.stack )?\w*(\.[\w-]+)+$|^\.(chart|stack) \w+(\.[\w-]+)*$")

Cell = str | int | float
Rows = Sequence[Sequence[Cell]]


def table_element(columns: Sequence[str], rows: Rows) -> str:
    """The numbers of a chart as the element that its SVG carries."""
    table = {"columns": list(columns), "rows": [list(row) for row in rows]}
    text = escape(json.dumps(table, ensure_ascii=False), quote=False)
    return f'<metadata class="table">{text}</metadata>'


def table_of(svg: str) -> tuple[list[str], list[list[Cell]]] | None:
    """Columns and rows that an SVG carries; None for a drawing without numbers.

    Raises InvalidInput for numbers that are no longer as hnlpu wrote them.
    """
    found = _TABLE.search(svg)
    if found is None:
        return None
    try:
        table: dict[str, Any] = json.loads(unescape(found[1]))
        return list(table["columns"]), [list(row) for row in table["rows"]]
    except (ValueError, TypeError, KeyError):
        title = _TITLE.search(svg)
        name = unescape(title[1]) if title else "without a title"
        raise InvalidInput(
            f"chart {name!r}: its numbers are damaged; make the page or the chart again"
        ) from None


def charts_of(text: str) -> list[tuple[str, str]]:
    """(title, SVG that stands by itself) of every chart in a page or an SVG, in order.

    A title that comes twice is numbered from the second on.  Drawings that carry no table are no charts.
    """
    styles = _style_rules(text)
    found: list[tuple[str, str]] = []
    seen: dict[str, int] = {}
    for svg in _CHART.findall(text):
        title = _TITLE.search(svg)
        if title is None or table_of(svg) is None:
            continue
        name = unescape(title[1])
        seen[name] = seen.get(name, 0) + 1
        found.append((name if seen[name] == 1 else f"{name} ({seen[name]})", _alone(svg, styles)))
    return found


def _style_rules(page: str) -> str:
    """The rules for charts of a page's light style sheet, without variables."""
    sheet = _BLOCK.sub("", "".join(_STYLE.findall(page)))
    root = next((body for name, body in _RULE.findall(sheet) if name.strip() == ":root"), "")
    values = {name: value.strip() for name, value in _PROPERTY.findall(root)}
    rules = []
    for names, body in _RULE.findall(sheet):
        chosen = [n for part in names.split(",") if _SELECTOR.match(n := part.strip())]
        if chosen:
            plain = _VARIABLE.sub(lambda v: values.get(v[1], "black"), body).strip()
            rules.append(f"{', '.join(chosen)} {{ {plain} }}")
    return "\n".join(rules)


def _alone(svg: str, styles: str) -> str:
    """An inline SVG as a document: with its namespace, its styles and a white ground."""
    head, rest = svg.split(">", 1)
    if "xmlns=" in head:
        return svg
    head = head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    ground = '<rect width="100%" height="100%" fill="#ffffff"/>'
    sheet = f"<style>{escape(styles, quote=False)}</style>"
    return f"{head}>{sheet}{ground}{rest}\n"


def check_chart(path: Path) -> Path:
    """The place of a chart: nothing is there, or a chart of the same kind, which it replaces.

    Raises InvalidInput for an ending that is none of a chart, ToolMissing where what makes such files is not
    installed, OutputExists for any other file, OutputFailed where there is no such folder.
    """
    place = absolute(path)
    magic = _magic(path)
    if place.suffix.lower() in (".png", ".pdf"):
        _typst()
    if place.is_dir():
        raise OutputFailed(f"{path}: is a folder; give the name of the file to write")
    if not place.parent.is_dir():
        raise OutputFailed(f"{path}: cannot be written (No such file or directory)")
    if place.is_file():
        try:
            head = place.read_bytes()[:1024]
        except OSError:
            return place  # writing says why
        if head and (not magic or magic not in head):
            kind = place.suffix[1:].upper()
            what = "" if not magic else f" and no {kind}"
            raise OutputExists(f"{path}: is there already{what}; remove it or name another")
    return place


def _magic(path: Path) -> bytes:
    ending = path.suffix.lower()
    if ending not in MAGIC:
        raise InvalidInput(
            f"{path}: {f'{ending} is' if ending else 'no ending, which is'} no kind of chart; choose from "
            f"{', '.join(MAGIC)}"
        )
    return MAGIC[ending]


def write_chart(path: Path, svg: str) -> None:
    """Write a chart in the kind that the ending of `path` names.

    Raises InvalidInput for a .csv of a drawing without numbers, ToolMissing, and OutputFailed.
    """
    data = chart_bytes(path, svg)
    try:
        absolute(path).write_bytes(data)
    except OSError as error:
        raise OutputFailed(f"{path}: cannot be written ({error.strerror})") from None


def chart_bytes(path: Path, svg: str) -> bytes:
    """What `write_chart` writes; raises as it does."""
    _magic(path)
    ending = path.suffix.lower()
    if ending == ".svg":
        return svg.encode("utf-8", "replace")
    return _csv(path, svg) if ending == ".csv" else _typeset(svg, ending[1:])


def _csv(path: Path, svg: str) -> bytes:
    table = table_of(svg)
    if table is None:
        raise InvalidInput(f"{path}: this is a drawing and has no numbers; take .svg, .pdf or .png")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table[0])
    writer.writerows(table[1])
    return text.getvalue().encode()


def _typeset(svg: str, kind: str) -> bytes:
    """A drawing as PDF or PNG."""
    typst = _typst()
    from PIL import ImageFont

    font = ImageFont.load_default(12)
    named = re.sub(r'font-family="[^"]*"', f'font-family="{FACE}"', svg)
    named = re.sub(r"(font: [\d.]+px )[^;]*", rf"\g<1>{FACE}", named)
    with tempfile.TemporaryDirectory(prefix="hnlpu-chart-") as folder:
        place = Path(folder)
        (place / "font.ttf").write_bytes(getattr(font, "font_bytes", b""))
        (place / "chart.svg").write_text(named, "utf-8")
        source = place / "chart.typ"
        source.write_text(
            "#set page(width: auto, height: auto, margin: 0pt)\n#image("
            '"chart.svg")\n', "ascii",
        )  # fmt: skip
        try:
            made: bytes = typst.compile(
                str(source), format=kind, ppi=float(PIXELS_PER_INCH), font_paths=[folder],
                ignore_system_fonts=True,
            )  # fmt: skip
        except RuntimeError as error:
            raise ToolFailed(f"typst: {str(error).splitlines()[0]}; write .svg instead") from None
    return made


def _typst() -> Any:
    try:
        import typst
    except ImportError:
        raise ToolMissing(
            "typst is not installed, which writes .pdf and .png; pip install 'hnlpu[charts]', or write .svg"
        ) from None
    return typst
