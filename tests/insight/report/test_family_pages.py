"""Pages about builds of every family, and about machines that simulate them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import SECTIONS, Page

from family_builds import FAMILIES, made
from hnlpu.insight.report import report
from hnlpu.insight.report._facts import examine
from hnlpu.silicon.hardwire import open_build
from hnlpu.system.design import open_target
from hnlpu.system.machine import busy_machine


@pytest.mark.parametrize("family", FAMILIES)
def test_a_page_about_a_build(family: str, tmp_path: Path) -> None:
    of = made(family)
    build = open_build(of.two)
    page = Page(report(of.two, tmp_path / "page.html"))
    ids = [attributes.get("id") for _, attributes in page.elements]
    assert [name for name in SECTIONS if name not in ids] == []
    assert f"weights of a {family.replace('_', '-')} model" in page.words
    facts = examine(build)
    assert sum(size for _, size in facts.parts) == facts.bytes_on_disk
    assert {role.role for role in facts.roles} == {m.role for m in build.matrices()}
    assert sum(role.weights for role in facts.roles) == facts.weights
    kept = dict(facts.parts)
    files = [path for path in of.two.rglob("*") if path.is_file()]
    assert facts.bytes_on_disk == sum(path.stat().st_size for path in files)
    assert kept["tables of embeddings"] > 0
    for matrix in facts.matrices:
        assert matrix.kind
        assert "layers" not in matrix.kind
    target = open_target(str(of.two))
    assert target.context == min(2048, context(build))
    rate = busy_machine(target).tokens_per_second
    assert f"tokens/s {rate:,.0f}" in page.words
    assert "Not simulated" not in page.words
    keys = any(type(state.keeps).__name__ == "Append" for state in build.network.states)
    assert ("keys and values" in section(page)) == keys
    kept_whole = any(type(state.keeps).__name__ != "Append" for state in build.network.states)
    assert ("states of fixed size" in section(page)) == kept_whole
    assert "cost of owning $" in page.words
    assert re.search(r"2 chips of [\d.]+ mm2, designed for this build", section(page))
    assert "one system of 2 chips, 3 years" in section(page)
    assert " claims " in section(page)


def context(build) -> int:
    """Positions that a model has."""
    return build.network.context or 2**31


def section(page: Page) -> str:
    """The words about the machine."""
    return page.words.partition("As a machine")[2].partition("Does it still know")[0]


@pytest.mark.parametrize("family", ["gru", "mamba2", "qwen3_moe"])
def test_a_page_about_a_simulated_machine(family: str, tmp_path: Path, cli) -> None:
    path = tmp_path / "machine.html"
    code, printed, line = cli(
        "simulate", made(family).one, "--prefill", "20", "--decode", "3", "--requests", "3",
        "--report", path,
    )  # fmt: skip
    assert code == 0, line
    states = family != "qwen3_moe"
    assert ("states of fixed size: " in printed) == states
    page = Page(path)
    assert ("states" in page.words) == states or "keys and values" in page.words


def test_simulate_says_what_a_serial_region_costs(cli) -> None:
    import json

    code, printed, _ = cli("simulate", made("gru").one, "--context", "20", "--json")
    assert code == 0
    state = json.loads(printed)["state"]
    c = made("gru").sample.config
    assert state["bytes_per_sequence"] == 4 * c["num_hidden_layers"] * c["hidden_size"]
    assert state["chip_bytes_per_sequence"] == state["bytes_per_sequence"]
    rate = state["prompt_tokens_per_second_at_most"]
    assert rate == pytest.approx(1e6 / state["serial_region_us"])
    code, printed, _ = cli("simulate", made("llama").one, "--context", "20", "--json")
    assert "state" not in json.loads(printed)
