"""The report's page: complete, self-contained, true to the manifest, harmless, and usable."""

from __future__ import annotations

import errno
import html
import json
import math
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import SECTIONS, TEXT, TRAP, Page, write_talker

import hnlpu
from hnlpu._charts import charts_of, table_of
from hnlpu.arithmetic.mx import TWICE_E2M1, unpack
from hnlpu.errors import CheckpointNotFound, DamagedBuild, InvalidInput, OutputFailed
from hnlpu.insight.report import _measure
from hnlpu.insight.report._charts import change_ladder
from hnlpu.insight.report._facts import TWICE_VALUES, examine, value_counts
from hnlpu.insight.report._page import _visible
from hnlpu.insight.report._svg import nice_limit, percent, short_count
from hnlpu.silicon.hardwire import open_build


@pytest.fixture(scope="module")
def full(build: Path, checkpoint: Path) -> Path:
    return hnlpu.report(build, text=TEXT, prompt="def ")


@pytest.fixture(scope="module")
def page(full: Path) -> Page:
    return Page(full)


def test_it_lies_beside_the_build_and_nothing_else_does(full: Path, build: Path) -> None:
    assert full == build.with_name("tiny.report.html")
    assert not list(build.parent.glob(".*"))
    assert hnlpu.verify(build).passed


def test_sections_are_there(page: Page) -> None:
    ids = [attributes["id"] for tag, attributes in page.elements if tag == "section"]
    assert tuple(i for i in ids) == SECTIONS
    anchors = {a["href"] for tag, a in page.elements if tag == "a"}
    assert anchors <= {f"#{name}" for name in SECTIONS}


def test_the_network_is_drawn_with_all_its_matrices(page: Page, build: Path) -> None:
    section = page.source.split('<section id="network">')[1].split("</section>")[0]
    for name, matrix in open_build(build).manifest.matrices.items():
        assert f"{matrix.rows} × {matrix.columns}" in section, name
        assert f">{name.rpartition('.')[2]}</text>" in section
    assert "1 digit</text>" in section


def test_ids_are_unique(page: Page) -> None:
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))


def test_nothing_is_fetched(page: Page) -> None:
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:,", "data:image/png;base64,")), tag
    assert set(re.findall(r"http:[^\"]*", page.source)) <= {"http://www.w3.org/2000/svg"}
    assert "https:" not in page.source
    assert "@import" not in page.source
    assert "url(" not in page.source


DRAWINGS = {"A tile of this build, seen from above", "How a weight becomes metal"}
"""Pictures of metal and of the network, which have no numbers to list."""


def test_every_chart_carries_its_numbers(full: Path) -> None:
    text = full.read_text("utf-8")
    charts = dict(charts_of(text))
    for svg in re.findall(r"<svg\b[^>]*>.*?</svg>", text, re.DOTALL):
        if 'class="chart"' in svg.split(">")[0]:
            title = html.unescape(re.search(r"<title>(.*?)</title>", svg)[1])
            assert title in charts or title in DRAWINGS, title
    for title in ("Weights by role", "Bytes by purpose", "Time by step"):
        columns, rows = table_of(charts[title])
        assert columns == ["part", "size", "share"]
        assert math.isclose(sum(row[2] for row in rows), 1)


def test_drawings_speak_to_screen_readers(page: Page) -> None:
    for tag, attributes in page.elements:
        if tag == "svg" and attributes.get("aria-hidden") != "true":
            assert attributes.get("role") == "img"
    drawings = [a for tag, a in page.elements if tag == "svg" and a.get("role") == "img"]
    charts = [a for a in drawings if a.get("class") == "chart"]
    assert len(charts) >= 10
    assert page.source.count("<desc>") >= len(charts) + 6  # and the six of the metal


def test_every_matrix_is_listed_with_the_manifests_numbers(page: Page, build: Path) -> None:
    records = json.loads((build / "manifest.json").read_bytes())["matrices"]
    assert sorted(str(row["name"]) for row in page.rows) == sorted(records)
    for row in page.rows:
        record = records[row["name"]]
        cells = [" ".join(cell.split()) for cell in row["cells"]]
        weights = record["count"] * record["rows"] * record["columns"]
        assert cells[:3] == [row["name"], record["role"], record["format"]]
        assert cells[3].startswith(f"{record['rows']} × {record['columns']}")
        assert cells[4] == f"{weights:,}"
        assert cells[5] == f"{weights * len(record['digits']):,}"
        assert cells[6] == percent(record["zeros"] / weights)
        assert cells[7:9] == [str(record["spread"]), str(record["accumulator_bits"])]
        exact = record["relative_error"] == 0
        assert cells[9] == ("exact" if exact else percent(record["relative_error"]))


def test_headlines_are_the_builds(page: Page, build: Path) -> None:
    manifest = json.loads((build / "manifest.json").read_bytes())
    records = manifest["matrices"].values()
    sizes = [r["count"] * r["rows"] * r["columns"] for r in records]
    weights = sum(sizes)
    digits = sum(n * len(r["digits"]) for n, r in zip(sizes, records, strict=True))
    zeros = sum(r["zeros"] for r in records)
    assert f"{weights:,}" in page.words
    assert f"{digits:,} digits" in page.words
    assert f"{digits / weights:.3f} digits a weight" in page.words
    assert f"{percent(zeros / weights)} are zero {zeros:,} weights" in page.words
    assert manifest["source"]["digest"] in page.words
    for name, value in manifest["policy"].items():
        assert f"{name} {'no' if value is False else value}" in page.words


def test_bytes_are_those_on_disk(build: Path) -> None:
    opened = open_build(build)
    facts = examine(opened)
    files = [path for path in build.rglob("*") if path.is_file()]
    assert facts.bytes_on_disk == sum(path.stat().st_size for path in files)
    assert sum(size for _, size in facts.parts) == facts.bytes_on_disk

    def stored(dtype: str) -> int:
        width = {"U8": 1, "BF16": 2}[dtype]
        return sum(
            width * int(np.prod(t.shape)) for t in opened.tensors.values() if t.dtype == dtype
        )

    parts = dict(facts.parts)
    assert facts.matrix_bytes == stored("U8")
    kept = parts["tables of embeddings"] + parts["biases, norms and other parameters"]
    assert kept == stored("BF16") == 2 * facts.kept_parameters


def test_histograms_count_the_weights_themselves(build: Path) -> None:
    opened = open_build(build)
    facts = examine(opened)
    for role in facts.roles:
        counts = np.zeros(len(TWICE_VALUES), np.int64)
        for shape in opened.shapes().values():
            for index in range(shape.count if shape.role == role.role else 0):
                twice = TWICE_E2M1[unpack(opened.matrix(shape, index).digits[0].codes)]
                counts += [(twice == value).sum() for value in TWICE_VALUES]
        assert role.spectra[0].values == tuple(counts.tolist())


@given(st.lists(st.integers(0, 10**9), min_size=16, max_size=16))
def test_both_zeros_are_one_value(codes: list[int]) -> None:
    counts = value_counts(codes)
    assert sum(counts) == sum(codes)
    assert counts[TWICE_VALUES.index(0)] == codes[0] + codes[8]
    assert counts[0] == codes[15]
    assert counts[-1] == codes[7]


@given(st.floats(1e-12, 1e12))
def test_axis_limits_leave_no_bar_outside(largest: float) -> None:
    assert largest * (1 - 1e-9) <= nice_limit(largest) <= 1.6 * largest


@given(st.integers(0, 10**15))
def test_short_counts_keep_three_figures(count: int) -> None:
    shown = short_count(count).split()
    size = {"million": 1e6, "billion": 1e9, "trillion": 1e12}.get(shown[-1], 1)
    assert float(shown[0].replace(",", "")) * size == pytest.approx(count, rel=5.1e-3)


def test_perplexities_are_those_that_score_gives(page: Page, build: Path, checkpoint: Path) -> None:
    for model in (
        hnlpu.open(checkpoint),
        hnlpu.open(build, float_activations=True),
        hnlpu.open(build),
    ):
        score = model.score(TEXT)
        assert f"{score.perplexity:#.5g}" in page.words
        assert f"{score.bits_per_byte:.4f} bits a byte" in page.words
    before, after = hnlpu.open(checkpoint).score(TEXT), hnlpu.open(build).score(TEXT)
    change = 100 * (after.perplexity / before.perplexity - 1)
    shown = re.search(r"Hardwiring changed perplexity by ([+−]?[\d.]+) %", page.words)
    assert shown
    assert float(shown[1].replace("−", "-")) == pytest.approx(change, rel=0.06)


def test_the_samples_are_what_the_model_says(page: Page, build: Path) -> None:
    model = hnlpu.open(build)
    said = [
        "def " + "".join(token.text for token in model.generate("def ", temperature=temperature))
        for temperature in (0.0, 0.7)
    ]
    assert page.preformatted == [_visible(text) for text in said]
    assert "tokens a second" in page.words


def test_exact_experts_are_said_to_be_exact(page: Page) -> None:
    assert "came as MXFP4 and keep their codes: their error is exactly 0" in page.words
    assert "experts.down_proj exactly 0 in all 2 layers (native)" in page.words


def test_without_text_it_says_how_to_give_one(build: Path, tmp_path: Path) -> None:
    page = Page(hnlpu.report(build, tmp_path / "page.html"))
    assert "No text was given" in page.words
    assert "Make the report again with a text file" in page.words
    assert "perplexity hardwired against float" not in page.words


def test_without_tokenizer(tmp_path: Path) -> None:
    checkpoint = write_talker(tmp_path / "checkpoint", layers=1, tokenizer=False)
    page = Page(hnlpu.report(hnlpu.build(checkpoint, tmp_path / "build", workers=1), text=TEXT))
    assert page.words.count("This build has no tokenizer") == 2
    assert len(page.rows) == 8


def test_without_log_or_checkpoint(build: Path, tmp_path: Path) -> None:
    alone = shutil.copytree(build, tmp_path / "alone")
    page = Page(hnlpu.report(alone, text=TEXT))
    assert "No build log tells where the checkpoint is. Make the report again with" in page.words
    assert "Build time and memory are not known" in page.words
    assert "scored by two models" in page.words


def test_checkpoint_gone_or_altered_since_the_build(tmp_path: Path) -> None:
    checkpoint = write_talker(tmp_path / "checkpoint", layers=1)
    build = hnlpu.build(checkpoint, tmp_path / "build", workers=1)
    weights = checkpoint / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    assert "has changed since the build" in Page(hnlpu.report(build, text=TEXT)).words
    given = Page(hnlpu.report(build, text=TEXT, checkpoint=checkpoint)).words
    assert "the float model is not the one that was built" in given
    assert "scored by three models" in given
    shutil.rmtree(checkpoint)
    assert "cannot be read" in Page(hnlpu.report(build, text=TEXT)).words
    with pytest.raises(CheckpointNotFound):
        hnlpu.report(build, checkpoint=checkpoint)


def test_hostile_text_is_only_text(tmp_path: Path) -> None:
    traps = 64
    checkpoint = write_talker(tmp_path / "checkpoint", layers=1, traps=traps)
    name = "<img src=x onerror=alert(1)>&\"'"
    build = hnlpu.build(checkpoint, tmp_path / name, workers=1)
    prompt = "</pre><script>alert(2)</script>{{ 7 * 7 }}"
    page = Page(hnlpu.report(build, text=TRAP, prompt=prompt))
    tags = [tag for tag, _ in page.elements]
    scripts = [a.get("type") for tag, a in page.elements if tag == "script"]
    assert scripts == ["application/octet-stream", None, None]  # data, and two of our own
    assert "img" not in tags
    assert not [a for _, a in page.elements if any(key.startswith("on") for key in a)]
    assert TRAP in page.text
    assert prompt in page.text
    assert name in page.text


def test_control_characters_become_visible(build: Path, tmp_path: Path) -> None:
    page = Page(hnlpu.report(build, tmp_path / "page.html", prompt="a\x00\x1b[31m\r"))
    assert "a␀␛[31m␍" in page.text
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", page.source)


def test_a_text_too_short_to_score_costs_only_its_section(build: Path, tmp_path: Path) -> None:
    page = Page(hnlpu.report(build, tmp_path / "page.html", text="x"))
    assert "The text was not scored: scoring needs at least 2 tokens" in page.words


@pytest.mark.parametrize("where", ["folder", "inside", "under a file"])
def test_impossible_outputs_are_refused_before_work(
    where: str, build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("keep")
    output = {
        "folder": tmp_path,
        "inside": build / "weights" / "page.html",
        "under a file": tmp_path / "file" / "page.html",
    }[where]
    monkeypatch.setattr(
        sys.modules["hnlpu.insight.report"], "examine", lambda _: pytest.fail("work was begun")
    )
    with pytest.raises((OutputFailed, InvalidInput), match=r"choose another place|give the name"):
        hnlpu.report(build, output)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


OLD = '<!DOCTYPE html>\n<meta name="generator" content="hnlpu">\nold'


def test_a_failure_leaves_the_old_page(
    build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "page.html"
    output.write_text(OLD)

    def fail(*_: object) -> Iterator[None]:
        raise DamagedBuild("a file is damaged")

    monkeypatch.setattr(sys.modules["hnlpu.insight.report"], "examine", fail)
    with pytest.raises(DamagedBuild):
        hnlpu.report(build, output)
    assert output.read_text() == OLD
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_a_full_disk_is_told_and_leaves_the_old_page(
    build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "page.html"
    output.write_text(OLD)
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if data:
            write(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputFailed, match="No space left on device"):
        hnlpu.report(build, output)
    assert output.read_text() == OLD
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_a_broken_model_still_gets_its_page() -> None:
    fine = _measure.Scored(2.0, 0.7, 1.0, 1.0)
    broken = _measure.Scored(float("inf"), 2000.0, 1.0, 1.0)
    quality = _measure.Quality(float_model=fine, float_activations=broken, hardwired=broken)
    assert quality.total_change == float("inf")
    assert change_ladder(quality) is None
    assert percent(float("inf")) == "∞"
