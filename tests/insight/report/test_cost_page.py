"""The page of `hnlpu cost`: its figures are the command's, ratios read one way, other files are kept."""

from __future__ import annotations

import json
from pathlib import Path

from pages import Page

CHECKPOINTS = Path(__file__).parents[3] / "checkpoints"


def test_the_page_says_what_the_command_says(tmp_path, cli):
    page = tmp_path / "cost.html"
    code, printed, _ = cli("cost", "hnlpu-asplos26", "--report", page, "--trials", "50", "--json")
    assert code == 0
    facts = json.loads(printed)
    words = Page(page).words
    assert f"${facts['tco_musd']:,.3g} M" in words
    assert f"${facts['usd_per_mtoken']:,.3g}" in words
    assert "16 chips of 827.1 mm2" in words
    assert "What is published 249,960 processed tokens/s at 2,048 positions" in words
    year = next(
        x for x in facts["buyers"]["break_even_output_tokens_per_day"] if x["life_months"] == 12
    )
    assert f"hardwiring pays above {year['value']:.2g} output tokens a day" in words
    for row in facts["against"]:  # the chips over the GPUs, whichever is dearer
        assert f"{1 / row['tco_ratio']:,.3g} times" in words
    small = [d for d in facts["tornado_tco_musd"]
             if abs(d["at_high"] - d["at_low"]) < 0.02 * facts["tco_musd"]]  # fmt: skip
    assert small
    assert all(d["key"] not in words for d in small)


def test_a_model_of_one_s_own_has_a_page_with_its_chip(tmp_path, cli):
    page = tmp_path / "cost.html"
    code, _, _ = cli("cost", CHECKPOINTS / "gru-106k", "--report", page, "--trials", "20")
    assert code == 0
    words = Page(page).words
    assert "become metal on 1 chip of" in words
    assert "nothing is said of when it pays" in words
    assert "pads" in page.read_text()  # of the drawing


def test_what_is_bought_has_no_page_and_another_s_file_is_kept(tmp_path, cli):
    mine = tmp_path / "mine.html"
    assert cli("cost", "h100", "--model", "gpt-oss-120b", "--report", mine)[0] == 2
    assert not mine.exists()
    mine.write_text("mine")
    assert cli("cost", "hnlpu-asplos26", "--report", mine)[0] == 2
    assert mine.read_text() == "mine"
