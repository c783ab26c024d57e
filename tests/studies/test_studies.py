"""Every study in its short form comes to the verdicts that are kept; pages are made from results."""

from __future__ import annotations

import importlib
import re
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import pytest

from studies import _frame
from studies._frame import Criterion, names, open_study, results, run_study, verdicts

ROOT = Path(__file__).parents[2]


def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module("studies_pages")


def test_there_are_studies() -> None:
    assert {"diagrams", "mixers", "nested"} <= set(names())


@pytest.mark.parametrize("name", names())
def test_the_short_form_comes_to_the_same_verdicts(name: str) -> None:
    study = open_study(name)
    found = run_study(study, importlib.import_module(f"studies.{name}.run").measure, full=False)
    kept = results(study)["held"]
    assert found["form"] == "short"
    told = [one.name for one in study.criteria if one.short]
    assert told
    assert {n: found["held"][n] for n in told} == {n: kept[n] for n in told}, found["figures"]


@pytest.mark.parametrize("name", names())
def test_results_are_of_the_full_form_and_of_these_criteria(name: str) -> None:
    study, found = open_study(name), results(open_study(name))
    assert found["study"] == name
    assert found["form"] == "full"
    assert re.fullmatch(r"[0-9a-f]{12}", found["commit"]), "run it on a clean tree"
    assert found["machine"]
    assert found["seconds"] > 0
    assert found["criteria"] == [asdict(one) for one in study.criteria]
    assert found["held"] == verdicts(study, found["figures"])
    assert {"seed", "seeds"} & found["figures"].keys()


def test_pages_are_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    for path, text in script(monkeypatch).pages().items():
        assert path.read_text("utf-8") == text, "run python scripts/studies_pages.py"


def test_what_is_not_held_stands_in_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    text = script(monkeypatch).index()
    missed = [
        (study, one)
        for study in map(open_study, names())
        for one in study.criteria
        if not results(study)["held"][one.name]
    ]
    for _, one in missed:
        assert one.says in text
    assert missed, "a claim that does not hold is kept"


@pytest.mark.parametrize("page", sorted((ROOT / "studies").glob("**/*.md")))
def test_links_of_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("name", names())
def test_a_page_says_what_a_page_must(name: str) -> None:
    text = (ROOT / "studies" / name / "README.md").read_text("utf-8")
    for part in (
        "**Claim.**",
        "**Method.**",
        "<!-- results -->",
        "**Verdict.**",
        "**What is different.**",
    ):
        assert text.count(part) == 1, part


@pytest.mark.parametrize(
    ("value", "held"), [(1.0, True), (2.0, True), (2.1, False), (float("nan"), False)]
)
def test_a_bound_is_kept_or_not(value: float, held: bool) -> None:
    assert Criterion("x", "", "", at_most=2.0).held(value) == held
    assert Criterion("x", "", "", at_least=-2.0).held(-value) == held


def test_numbers_in_words() -> None:
    assert [_frame.text(v) for v in (0, 12345, 0.0001234, 3.0, 16.49, 29296.9)] == [
        "0", "12,345", "0.000123", "3", "16.5", "29,297",
    ]  # fmt: skip
    assert Criterion("x", "", "", at_most=0).bound == "0"
    assert Criterion("x", "", "", at_least=1000).bound == "at least 1,000"
