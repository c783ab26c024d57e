"""Charts as files: every chart of a page carries its numbers, and becomes PDF, PNG, CSV or SVG by its ending."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image
from typer.testing import CliRunner

from hnlpu._charts import charts_of, table_element, table_of
from hnlpu.cli._app import app
from hnlpu.errors import HnlpuError
from hnlpu.insight.report._machine_charts import band_bars, floorplan, roofline, use_bars
from hnlpu.insight.report._sheet import Section, Sheet, render_sheet

PARTS = [("masks", 25.5), ("a & <b>", 1.25)]
USE = {"vector unit": 0.5, "HBM": 0.25}


def page(tmp_path: Path) -> Path:
    """A page of real charts, as a command writes one."""
    figures = [
        ("Cost", band_bars("TCO", "M$", PARTS, 20.0, 30.0), ""),
        ("Use", use_bars(USE), ""),
        ("Twice", use_bars(USE), ""),
        ("Roofs", roofline({"HBM": [9e4, 3e4]}, [2048, 8192], [("shared", "now", [8e4, 2e4])]), ""),
        ("Die", floorplan({"neuron arrays": 500.0, "links": 20.0}, (26.0, 33.0)), ""),
    ]
    path = tmp_path / "page.html"
    path.write_text(render_sheet(Sheet("e", "t", "l", [], [Section("S", figures=figures)])))
    return path


def test_numbers_survive_what_markup_does_to_them() -> None:
    columns, rows = ["a<b", '"c"'], [["x & y", 1.5], ["</metadata>", -2]]
    assert table_of(f"<svg>{table_element(columns, rows)}</svg>") == (columns, rows)
    assert table_of("<svg></svg>") is None


def test_every_chart_of_a_page_is_a_file_of_each_kind(tmp_path: Path) -> None:
    charts = charts_of(page(tmp_path).read_text())
    assert [title for title, _ in charts] == [
        "TCO", "Use of each resource", "Use of each resource (2)", "Roofs over the rate", "Die to scale"
    ]  # fmt: skip
    for _, svg in charts:
        root = ElementTree.fromstring(svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "var(" not in svg  # no viewer of files knows the page's variables
        assert "@media" not in svg
    said = CliRunner().invoke(app, ["chart", str(tmp_path / "page.html"), "--json"])
    assert [row["rows"] for row in json.loads(said.output)] == [5, 2, 2, 2, 2]
    for ending in ("svg", "csv", "pdf", "png"):
        file = tmp_path / f"use.{ending}"
        done = CliRunner().invoke(
            app, ["chart", str(tmp_path / "page.html"), "--name", "2", "-o", str(file)]
        )
        assert done.exit_code == 0, done.output
    rows = list(csv.reader(io.StringIO((tmp_path / "use.csv").read_text())))
    assert rows == [["resource", "share of the time"], ["vector unit", "0.5"], ["HBM", "0.25"]]
    pdf = (tmp_path / "use.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert b"FontFile" in pdf or b"ObjStm" in pdf  # text with its font, not a photograph
    assert b"/Subtype/Image" not in pdf.replace(b" ", b"")


def test_a_picture_shows_the_bars_to_scale(tmp_path: Path) -> None:
    """Counted in pixels: the vector unit is busy twice as long as the memory."""
    file = tmp_path / "use.png"
    CliRunner().invoke(app, ["chart", str(page(tmp_path)), "--name", "2", "-o", str(file)])
    picture = Image.open(file).convert("RGB")
    blue = (0x00, 0x68, 0xA5)
    data = [picture.getpixel((x, y)) for y in range(picture.height) for x in range(picture.width)]
    width = picture.width
    runs = {
        y: sum(data[y * width + x] == blue for x in range(width)) for y in range(picture.height)
    }
    long, short = sorted({n for n in runs.values() if n > 20}, reverse=True)[:2]
    assert long == pytest.approx(2 * short, rel=0.02)


def test_a_drawing_has_no_table_and_a_page_without_charts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.html").write_text("<p>nothing</p>")
    for arguments, says in (
        (["chart", str(tmp_path / "text.html")], "holds no chart of hnlpu's"),
        (["chart", str(tmp_path / "nothing.html")], "cannot be read"),
        (["chart", str(page(tmp_path)), "-o", str(tmp_path / "x.svg")], "say which chart"),
        (["chart", str(page(tmp_path)), "--name", "9", "-o", str(tmp_path / "x.svg")], "no such chart"),
        (["chart", str(page(tmp_path)), "--name", "1", "-o", str(tmp_path / "x.gif")], ".gif is no kind"),
        (["draw", "checkpoints/gru-106k", "-o", str(tmp_path / "x.csv")], "has no numbers"),
    ):  # fmt: skip
        done = CliRunner().invoke(app, arguments)
        assert isinstance(done.exception, HnlpuError), done.output
        assert says in str(done.exception)
    assert not list(tmp_path.glob("x.*"))


def test_without_typst_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "typst", None)
    done = CliRunner().invoke(
        app, ["chart", str(page(tmp_path)), "--name", "1", "-o", str(tmp_path / "x.pdf")]
    )
    assert "pip install 'hnlpu[charts]', or write .svg" in str(done.exception)
    assert not (tmp_path / "x.pdf").exists()


@pytest.mark.parametrize("table", ["{not JSON", "[1]", '{"columns": [], "rows": [1]}', "{}"])
def test_numbers_that_were_damaged_are_one_line(tmp_path: Path, table: str) -> None:
    file = tmp_path / "bad.svg"
    file.write_text(f'<svg><title>Die</title><metadata class="table">{table}</metadata></svg>')
    done = CliRunner().invoke(app, ["chart", str(file)])
    assert isinstance(done.exception, HnlpuError)
    assert "'Die': its numbers are damaged" in str(done.exception)
