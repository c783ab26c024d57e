"""Pages of machines and searches: drawn to scale, complete, closed against the outside."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from hnlpu.errors import OutputFailed
from hnlpu.insight.report import check_page, explore_report, machine_report
from hnlpu.insight.report._explore_charts import PlottedDesign, ladder, pareto
from hnlpu.insight.report._machine_charts import (
    band_bars,
    breakdown_bars,
    floorplan,
    roofline,
    use_bars,
)
from hnlpu.insight.report._plot import Axis, log_axis
from hnlpu.system.design import open_target
from hnlpu.system.machine import Load, simulate

BLOCKS = {
    "neuron arrays": 573.16, "vector unit": 27.87, "attention buffer": 136.11, "links": 37.92,
    "HBM PHY": 52.0, "control unit": 0.02,
}  # fmt: skip


def bars(markup):
    return [
        (e.get("class"), *(float(e.get(k)) for k in ("x", "y", "width", "height")), e)
        for e in ET.fromstring(str(markup)).iter("rect")
    ]


def hint(element):
    return element.find("title").text


@pytest.mark.parametrize("changes", [{}, {"vector unit": 200.0}, {"HBM PHY": 6.5}, {"links": 88.0}])
def test_blocks_of_a_floorplan_are_to_scale_and_do_not_overlap(changes):
    blocks = BLOCKS | changes
    found = bars(floorplan(blocks, (26.0, 33.0)))
    field = next(b for b in found if b[0] == "field")
    scale = field[3] / 26.0
    assert field[4] / scale == pytest.approx(33.0, abs=0.01)
    drawn = {}
    for class_, _, _, width, height, element in found:
        if class_ != "field":
            name = hint(element).split(":")[0]
            drawn[name] = drawn.get(name, 0.0) + width * height / scale**2
    for name, area in blocks.items():
        assert drawn[name] == pytest.approx(area, rel=0.01, abs=0.15)
    inside = [b[1:5] for b in found if b[0] != "field"]
    for i, (x, y, w, h) in enumerate(inside):
        assert x >= field[1] - 0.01
        assert y >= field[2] - 0.01
        assert x + w <= field[1] + field[3] + 0.02 or sum(blocks.values()) > 858
        for a, b, c, d in inside[i + 1 :]:
            overlap = min(x + w, a + c) - max(x, a), min(y + h, b + d) - max(y, b)
            assert min(overlap) < 0.05


def test_stacked_shares_fill_the_height():
    shares = {"communication": 0.5, "projection": 0.25, "nonlinear": 0.05, "attention": 0.15,
              "stall": 0.05}  # fmt: skip
    found = bars(breakdown_bars("t", [(2048, shares), (65536, shares)]))
    heights = {}
    for class_, _, _, _, height, _ in found:
        heights.setdefault(class_, []).append(height)
    assert sum(h[0] for h in heights.values()) == pytest.approx(176)
    assert heights["part-0"][0] == pytest.approx(2 * heights["part-1"][0])


def test_roofs_and_rates_are_drawn_where_they_are():
    contexts = (1024, 4096, 16384)
    roofs = {"vector unit": (400.0, 100.0, 25.0), "column links": (200.0, 200.0, 200.0)}
    chart = ET.fromstring(str(roofline(roofs, contexts, [("now", "now", (200.0, 100.0, 25.0))])))
    paths = {
        e.get("class"): [tuple(map(float, p.split())) for p in e.get("d")[1:].split("L")]
        for e in chart.iter("path")
        if e.get("class", "").startswith(("roof", "rate")) and e.find("title") is not None
    }  # fmt: skip  those of the key have no title
    vector, links, now = paths["roof stroke-0"], paths["roof stroke-1"], paths["rate now"]
    assert now[1:] == vector[1:]
    assert now[0] == links[0]
    assert links[0][1] == links[1][1] == links[2][1]
    assert vector[1][1] - vector[0][1] == pytest.approx(vector[2][1] - vector[1][1], abs=0.2)


def test_money_bars_have_their_whisker_where_the_band_is():
    chart = band_bars("TCO", "M$", [("masks", 30.0), ("rest", 10.0)], 20.0, 80.0)
    found = bars(chart)
    assert found[0][3] / found[1][3] == pytest.approx(3, rel=1e-3)
    scale = found[0][3] / 30.0
    whisker = next(e for e in ET.fromstring(str(chart)).iter("path") if e.get("class") == "whisker")
    start, stop = (float(p.split()[0]) for p in whisker.get("d")[1:].split("L"))
    assert (start - 8) / scale == pytest.approx(20, abs=0.1)
    assert (stop - 8) / scale == pytest.approx(80, abs=0.1)


def test_use_above_one_passes_the_line():
    found = bars(use_bars({"links": 1.2, "HBM": 0.3}))
    assert found[0][3] == pytest.approx(4 * found[1][3], rel=0.01)
    assert (found[0][0], found[1][0]) == ("part-4", "part-0")


def test_dots_of_the_front_are_above_the_others_and_better_is_up_and_right():
    dots = [
        PlottedDesign(1.0, 1.0, 16, False, "a"),
        PlottedDesign(4.0, 2.0, 8, True, "b"),
        PlottedDesign(2.0, 0.5, 4, False, "c"),
    ]
    chart = ET.fromstring(str(pareto(dots, "dollars", "joules")))
    found = {hint(e): e for e in chart.iter("circle")}
    x = {name: float(e.get("cx")) for name, e in found.items()}
    y = {name: float(e.get("cy")) for name, e in found.items()}
    assert x["a"] < x["c"] < x["b"]
    assert y["b"] < y["a"] < y["c"]
    assert list(found)[-1] == "b"
    steps = bars(ladder("way", [("from", 1.0), ("to", 8.0)], "tokens"))
    assert steps[1][3] > steps[0][3]


def test_axes():
    axis = log_axis([10, 1000], 0, 100, room=1.0)
    assert axis.at(100) == pytest.approx(50)
    assert axis.ticks() == [10, 20, 50, 100, 200, 500, 1000]
    assert Axis(0, 4, 0, 8).at(9) == 8


def closed(page):
    """The page fetches and runs nothing."""
    assert "<script" not in page
    assert all(at.startswith("data:") for at in re.findall(r'(?:src|href)\s*=\s*"?([^">]*)', page))
    assert "default-src 'none'" in page


def test_the_page_of_a_machine(tmp_path):
    target = open_target("hnlpu-asplos26")
    load = Load(2048, 216)
    result = simulate(target.specification, target.model, load, tokens=3000)
    path = machine_report(target, load, False, result, tmp_path / "deep" / "m.html")
    page = path.read_text()
    closed(page)
    assert page.count("<svg") == 7
    for words in ("Where the time goes", "Roofs", "Floorplan to scale", "Total cost of ownership",
                  "Carbon", f"{result.tokens_per_second:,.0f}"):  # fmt: skip
        assert words in page


def test_the_page_of_a_build(tmp_path, tiny_build):
    target = open_target(str(tiny_build))
    load = Load(64, 12)
    result = simulate(target.specification, target.model, load, tokens=500)
    page = machine_report(target, load, True, result, tmp_path / "b.html").read_text()
    closed(page)
    assert "Floorplan to scale" in page  # of the chip that is designed for it
    assert "One system of 1 chip over" in page


def test_a_strange_name_does_no_harm(tmp_path):
    target = open_target("hnlpu-asplos26")
    named = replace(target, name="<script>alert(1)</script>")
    load = Load(256, 8)
    result = simulate(target.specification, target.model, load, tokens=500)
    page = machine_report(named, load, True, result, tmp_path / "m.html").read_text()
    closed(page)
    assert "&lt;script&gt;" in page


def test_a_file_that_is_no_page_of_ours_is_kept(tmp_path, cli):
    mine = tmp_path / "notes.html"
    mine.write_text("mine")
    code, printed, error = cli("simulate", "hnlpu-asplos26", "--tokens", "400", "--report", mine)
    assert (code, printed) == (2, "")
    assert "no page of hnlpu's" in error
    assert mine.read_text() == "mine"
    page = tmp_path / "page.html"
    for _ in range(2):  # its own pages are made anew
        assert check_page(page) == page
        page.write_text('<!DOCTYPE html>\n<head>\n<meta name="generator" content="hnlpu">')


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputFailed):
        machine_report(None, None, False, None, tmp_path / "file" / "m.html")


def test_the_page_of_a_search(tmp_path):
    pytest.importorskip("optuna", reason="optuna is not installed")
    from hnlpu.system.catalog import load_model, load_system
    from hnlpu.system.explore import load_options, make_problem, search

    problem = make_problem(
        load_system("hnlpu-asplos26"), load_model("gpt-oss-120b"), load_options(), (2048,),
        sliding=True, contention="none",
    )  # fmt: skip
    found = search(problem, ("tokens_per_usd", "latency"), 80, workers=1)
    page = explore_report(found, tmp_path / "e.html").read_text()
    closed(page)
    assert "Why it wins" in page
    assert page.count("<circle") >= 2 * len(found.candidates)
