"""The documentation site: every page, in README's order, with links that are checked."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))


def leaves(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    else:
        for value in nav.values() if isinstance(nav, dict) else nav:
            yield from leaves(value)


def test_the_order_is_that_of_the_readme() -> None:
    read_on = (ROOT / "README.md").read_text("utf-8").split("## Read on\n")[1]
    links = re.findall(r"\]\(((?!https?:)[^)#]+)\)", read_on)
    assert list(leaves(CONFIG["nav"])) == ["README.md", *links]


def test_what_is_built_is_no_part_of_the_repository() -> None:
    assert f"/{CONFIG['site_dir']}/" in (ROOT / ".gitignore").read_text("utf-8").splitlines()


def test_ci_builds_it() -> None:
    assert "make docs" in (ROOT / ".ci" / "run").read_text("utf-8").splitlines()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources of the site, to be changed."""
    for page in [
        *ROOT.glob("*.md"),
        *ROOT.glob("checkpoints/*/*.md"),
        *ROOT.glob("studies/**/*.md"),
        ROOT / "mkdocs.yml",
    ]:
        there = tmp_path / page.relative_to(ROOT)
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(page, there)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "documentation_site.py", tmp_path / "scripts")
    return tmp_path


def build(folder: Path) -> tuple[int, str]:
    """The exit code and output of what `make docs` runs."""
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("mkdocs is missing: pip install 'hnlpu[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_it_is_built_with_no_warning(copy: Path) -> None:
    code, said = build(copy)
    assert (code, "WARNING" in said) == (0, False), said
    site = copy / "site"
    made = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    assert {"index.html", "CHANGELOG.html", "docs/masks.html"} <= made
    assert 'id="how-many-masks-that-takes"' in (site / "docs/masks.html").read_text("utf-8")
    assert "<h1 " in (site / "index.html").read_text("utf-8")


def test_it_fetches_nothing_from_elsewhere(copy: Path) -> None:
    code, said = build(copy)
    assert code == 0, said
    for page in (copy / "site").rglob("*.html"):
        loaded = re.findall(
            r"<(?:script|img|link)\b[^>]*\b(?:src|href)=\"(?:https?:)?//[^\"]*",
            page.read_text("utf-8"),
        )
        assert loaded == [], page


@pytest.mark.parametrize(
    "link",
    [
        "[a](nowhere.md)", "[a](masks.md#nowhere)", "[a](#nowhere)", "[a](../LICENSE)",
        "[a](/docs/masks.md)", "![a](images/nowhere.svg)",
    ],
)  # fmt: skip
def test_a_broken_link_ends_it(copy: Path, link: str) -> None:
    with (copy / "docs" / "policy.md").open("a", encoding="utf-8") as page:
        page.write(f"\n{link}\n")
    code, said = build(copy)
    assert code == 1
    assert "docs/policy.md" in said


def test_a_page_outside_of_the_order_ends_it(copy: Path) -> None:
    (copy / "docs" / "new.md").write_text("# New\n", encoding="utf-8")
    code, said = build(copy)
    assert code == 1
    assert "docs/new.md" in said
