"""The hardwiring index: its figures are those of design, cost and explore; its page, CSV and JSON agree."""

from __future__ import annotations

import csv
import json
import math
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hnlpu._charts import charts_of, table_of
from hnlpu.cli._app import app
from hnlpu.errors import HnlpuError, InvalidInput, OutputFailed, ToolMissing
from hnlpu.system.catalog import load_system, model_names
from hnlpu.system.cost import OwnershipPlan, Rival, cost, pays
from hnlpu.system.design import design, open_machine
from hnlpu.system.index import COLUMNS, Entry, hardwiring_index, token_price

MODELS = ["llama-3.1-8b", "gpt-oss-120b"]


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    return hardwiring_index(MODELS, ["n5", "sky130"])


def test_entries_are_what_design_and_cost_say(entries: list[Entry]) -> None:
    assert [(e.model, e.technology, e.machine) for e in entries[:3]] == [
        ("llama-3.1-8b", "n5", "own chips"),
        ("llama-3.1-8b", "sky130", "own chips"),
        ("llama-3.1-8b", "n5", "hnlpu-asplos26"),
    ]
    made = design("llama-3.1-8b", technology="n5")
    found = cost(made.system, made.subject, OwnershipPlan(), 20)
    one = entries[0]
    assert (one.chips, one.die_mm2) == (made.system.chips, made.system.die.area.value)
    assert one.usd_per_mtoken == found.usd_per_mtoken(found.value)
    assert one.tokens_per_second == found.rate.tokens_per_second
    price = token_price("llama-3.1-8b")
    assert price
    other = pays(found, Rival(load_system("h100"), usd_per_mtoken=price.value))
    assert other
    assert one.pays_above == next(r["value"] for r in other.break_even() if r["life_months"] == 12)
    assert "sky130-one has no links" in entries[1].problem
    assert entries[1].chips is None
    paper = open_machine("hnlpu-asplos26", model="gpt-oss-120b")
    published = cost(paper.system, paper.subject, OwnershipPlan(), 20)
    last = entries[-1]
    assert last.machine == "hnlpu-asplos26"
    assert last.tco_musd == float(published.value.tco_musd)
    assert (last.chip_masks, last.all_masks) == (10, 60 + 16 * 10)
    assert (
        "4,715 output tokens/s" in last.against
    )  # a published rate stands before a price of tokens


def test_the_documentation_s_table_is_what_is_computed(entries: list[Entry]) -> None:
    text = (Path(__file__).parents[3] / "docs" / "hardwiring-index.md").read_text()
    for entry in entries[:1]:
        e = entry.facts()
        line = next(x for x in text.splitlines() if x.startswith("| llama-3.1-8b | n5 | own chips"))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[3:10] == [
            str(e["chips"]), f"{e['silicon_mm2']:,.0f}", str(e["chip_masks"]),
            f"{e['tokens_per_second']:,.0f}", f"{e['nre_musd']:,.3g}", f"{e['respin_musd']:,.3g}",
            f"{e['usd_per_mtoken']:,.3g}",
        ]  # fmt: skip


def test_a_price_is_of_a_model_that_the_catalog_has() -> None:
    known = [name for name in model_names() if token_price(name)]
    assert len(known) == 4
    assert token_price("gpt-9") is None


def test_every_value_says_its_kind(entries: list[Entry]) -> None:
    assert list(COLUMNS) == list(entries[0].facts())
    kinds = {kind.split()[0] for _, kind in COLUMNS.values()}
    assert kinds == {"name", "computed", "published", "simulated"}


def test_page_csv_and_json_agree_and_are_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    asked = ["index", "llama-3.1-8b", "--technology", "n5", "--trials", "20", "-o", str(folder)]
    for _ in range(2):  # the second time it takes its own place
        done = CliRunner().invoke(app, [*asked, "--json"])
        assert done.exit_code == 0, done.output
    document = json.loads(done.output)
    assert document == json.loads((folder / "index.json").read_text())
    rows = list(csv.DictReader((folder / "index.csv").open()))
    assert [float(r["usd_per_mtoken"]) for r in rows] == [
        e["usd_per_mtoken"] for e in document["entries"]
    ]
    page = (folder / "index.html").read_text()
    [(title, svg)] = charts_of(page)
    table = table_of(svg)
    assert title == "Dollars a million tokens"
    assert table
    assert [row[4] for row in table[1]] == [e["usd_per_mtoken"] for e in document["entries"]]
    searched = document["entries"][1]
    assert searched["best_times_tokens_per_usd"] > 1
    assert searched["best_machine"] in page
    assert math.isfinite(searched["usd_per_mtoken"])
    (folder / "mine.txt").write_text("mine")
    refused = CliRunner().invoke(app, asked)
    assert isinstance(refused.exception, InvalidInput)
    assert "holds mine.txt, so it is no index" in str(refused.exception)


def test_what_is_unknown_is_refused_before_the_work_and_leaves_no_folder(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    for asked in (["index", "gpt-9"], ["index", "llama-3.1-8b", "--technology", "n4"]):
        done = CliRunner().invoke(app, [*asked, "-o", str(folder)])
        assert isinstance(done.exception, HnlpuError)
        assert not folder.exists()
    (tmp_path / "file").write_text("mine")
    done = CliRunner().invoke(
        app, ["index", "llama-3.1-8b", "-o", str(tmp_path / "file" / "index")]
    )
    assert isinstance(done.exception, OutputFailed)


def test_a_search_that_cannot_be_made_is_said_and_loses_no_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ToolMissing, match="optuna is not installed"):
        hardwiring_index(["llama-3.1-8b"], ["n5"], trials=1)
    assert not any(e.problem for e in hardwiring_index(["llama-3.1-8b"], ["n5"]))
