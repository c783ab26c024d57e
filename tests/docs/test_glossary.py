"""docs/glossary.md explains our words, and the pages use them and lead to them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hnlpu.silicon.embed import ArrayKind
from hnlpu.silicon.embed._kind import SCALE_RANGES, SCHEMES

ROOT = Path(__file__).parents[2]
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text("utf-8")
PAGES = {
    path: path.read_text("utf-8")
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
    if path.name != "glossary.md"
}
KIND = re.compile(rf"\b(?:{'|'.join(SCHEMES)})(?:-[a-z]\d+)+\b")


def words() -> list[str]:
    """The terms of all tables of words, one by one."""
    tables = re.findall(r"^\| word \| meaning \|\n\|---\|---\|\n((?:\| .*\n)+)", GLOSSARY, re.M)
    firsts = [
        line.split(" | ")[0].removeprefix("| ")
        for table in tables
        for line in table.split("\n")
        if line
    ]
    return [word for first in firsts for word in first.split(", ")]


def letters() -> dict[str, str]:
    """What each letter in the name of a kind says."""
    section = GLOSSARY.split("## Array kinds\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `([a-z])` \| ([^|]*) \|", section, re.M))


def used(word: str, text: str) -> bool:
    stem = re.escape(word.removesuffix("s")).replace(r"\ ", r"\s+")
    plural = re.escape(word[:-1]) + "(?:ies|ves)" if word[-1] in "yf" else stem
    return bool(re.search(rf"(?<![\w-])(?:{stem}(?:s|es)?|{plural})(?![\w-])", text, re.I))


def test_no_word_is_told_twice() -> None:
    assert len(words()) > 50
    assert sorted(words()) == sorted(set(words()))


@pytest.mark.parametrize("word", words())
def test_every_word_is_used(word: str) -> None:
    assert any(used(word, text) for text in PAGES.values())


def test_a_word_that_nobody_uses_is_found() -> None:
    assert not any(used("flurble", text) for text in PAGES.values())
    assert used("shelf", "Shelves of tiles")
    assert used("scale cell", "behind scale\ncells")
    assert not used("tap", "tape")


def test_letters_of_kinds_are_those_of_the_code() -> None:
    named = [ArrayKind("taps", 1, 2, 4), ArrayKind("regions", 1, 2, 4, 3, 28)]
    made = {letter for kind in named for letter in re.findall(r"-([a-z])\d", kind.name)}
    assert set(letters()) == made
    listed = re.findall(r"\d+", letters()["r"].split(":")[1])
    assert [int(number) for number in listed] == list(SCALE_RANGES)


@pytest.mark.parametrize("page", [path for path, text in PAGES.items() if KIND.search(text)])
def test_every_kind_is_explained_where_it_is_first_named(page: Path) -> None:
    """The first name of a kind stands in or behind a paragraph that links to the letters."""
    text = PAGES[page]
    first = KIND.search(text)
    link = re.search(r"\]\((?:docs/)?glossary\.md#array-kinds\)", text)
    assert first
    assert link, f"{page.name} names {first[0]} and explains it nowhere"
    assert text.rfind("\n\n", 0, link.start()) <= first.start()


@pytest.mark.parametrize("page", [path for path, text in PAGES.items() if KIND.search(text)])
def test_every_kind_named_is_one(page: Path) -> None:
    for name in set(KIND.findall(PAGES[page])):
        scheme, *parts = name.split("-")
        numbers = {part[0]: int(part[1:]) for part in parts}
        assert set(numbers) <= set(letters()), name
        assert numbers["r"] in SCALE_RANGES, name
        kind = ArrayKind(
            scheme,
            numbers["d"],
            numbers["b"],
            numbers["r"],
            numbers.get("g", 0),
            numbers.get("t", 0),
        )
        assert kind.name == name
