"""One design, one answer: every command says the same of a chip, to the last digit."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import hnlpu
from family_builds import made
from hnlpu.cli._app import app
from hnlpu.insight.report._system_page import system_section
from hnlpu.serve._chip import chip_facts
from hnlpu.silicon.hardwire import open_build
from hnlpu.silicon.place import make_target

ROOT = Path(__file__).parents[3]
CHECKPOINTS = ROOT / "checkpoints"


def answer(*arguments: str | Path) -> Any:
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Builds by name: small trained models, one in an open process, one on two chips."""
    folder = tmp_path_factory.mktemp("builds")

    def build(name: str) -> Path:
        if name == "two chips":
            return made("qwen3_moe").two
        path = folder / name.replace(" ", "-")
        if not path.exists():
            checkpoint, _, process = name.partition(" in ")
            hnlpu.build(CHECKPOINTS / checkpoint, path, target=make_target(process or "n5"))
        return path

    return build


@pytest.mark.parametrize(
    "name", ["stdlib-140k", "stdlib-140k in sky130", "gru-106k", "llama-90k", "two chips"]
)
def test_all_commands_agree(name: str, builds: Callable[[str], Path], tmp_path: Path) -> None:
    build = builds(name)
    one = answer("design", build, "-o", tmp_path / "design.toml")
    placed = answer("place", build)
    run = answer("simulate", build, "--tokens", "300")
    priced = answer("cost", build, "--output-share", "1", "--trials", "20")
    audited = answer("audit", build)
    explored = answer("explore", build, "--trials", "1")["reference"]
    page = system_section(open_build(build))
    rows = {name: (value, note) for name, value, note in page.rows}
    served = chip_facts(build)

    rate = one["bound_tokens_per_second"]
    assert placed["design"]["bound_tokens_per_second"] == rate
    assert run["bound_tokens_per_second"] == rate
    assert priced["tokens_per_second"] == rate
    assert priced["rate"]["generated_tokens_per_second"] == rate
    first = next(b for b in audited["bounds"] if b["context"] == one["context"])
    assert (first["tokens_per_second"], first["resource"]) == (rate, one["limit"])
    assert served["bound_tokens_per_second"] == rate
    assert rows["tokens/s at most"][0] == f"{rate:,.0f}"
    assert rows["tokens/s"][0] == f"{served['tokens_per_second']:,.0f}"

    assert {one["chips"], placed["design"]["chips"], placed["chips"], run["chips"],
            priced["chips"], served["chips"]} == {one["chips"]}  # fmt: skip
    assert placed["design"]["die_mm2"] == priced["die_mm2"] == served["die_mm2"] == one["die_mm2"]
    arrays = next(b for b in one["values"]["block"] if b["purpose"] == "neuron arrays")
    assert arrays["area"]["value"] == pytest.approx(placed["array_area_mm2"], rel=1e-11)
    assert run["context"] == audited["context"] == served["context"] == one["context"]
    assert run["batch"] == served["sequences"] == priced["rate"]["users"] == one["users"]
    assert priced["power_w"] == pytest.approx(one["power_w"], rel=1e-12)

    half = answer("cost", build, "--trials", "20")
    (point,) = explored["points"]
    assert explored["chips"] == one["chips"]
    assert explored["die_mm2"] == one["die_mm2"]
    assert point["context"] == one["context"]
    assert point["bound_tokens_per_second"] == rate
    assert point["tokens_per_second"] == served["tokens_per_second"]
    assert (point["tco_musd"], point["tco2e"]) == (half["tco_musd"], half["tco2e"])
    assert point["power_w"] == pytest.approx(one["power_w"], rel=1e-12)
    assert rows["cost of owning"][0].startswith(f"${half['tco_musd']:,.4g}M")
    assert rows["a million tokens"][0] == f"${half['usd_per_mtoken']:,.3g}"
    verdicts = ", ".join(f"{n} {what}" for what, n in audited["verdicts"].items() if n)
    assert rows["audit"][1] == verdicts
    failed = {claim["topic"] for claim in audited["claims"] if claim["verdict"] == "fails"}
    assert failed <= {"memory"}  # keys and values that stream from beside the chip

    # the file of the design says what the build says
    written = tmp_path / "design.toml"
    assert answer("simulate", written, "--tokens", "300")["bound_tokens_per_second"] == rate
    again = answer("cost", written, "--trials", "20")
    for key in ("tco_musd", "usd_per_mtoken", "chips", "die_mm2", "tokens_per_second", "tco2e"):
        assert again[key] == half[key], key
    of_file = answer("audit", written)
    assert of_file["claims"] == audited["claims"]
    assert answer("explore", written, "--trials", "1")["reference"] == explored


def test_an_edited_design_moves_all(builds: Callable[[str], Path], tmp_path: Path) -> None:
    path = tmp_path / "design.toml"
    before = answer("design", builds("gru-106k"), "-o", path)
    text = path.read_text()
    path.write_text(re.sub(r"(clock = \{ value = )1.0", r"\g<1>2.0", text))
    fast = answer("simulate", path, "--tokens", "300")["bound_tokens_per_second"]
    assert fast > before["bound_tokens_per_second"]  # until the buffer's ports, as they were, limit
    priced = answer("cost", path, "--output-share", "1", "--trials", "20")
    assert priced["tokens_per_second"] == fast


PAPER = "hnlpu-asplos26"


@pytest.mark.parametrize(
    "arguments",
    [
        (PAPER, "--grid", "4x4"),
        (PAPER, "--grid", "4x8"),
        (PAPER, "--model", "gpt-oss-20b", "--grid", "4x4"),
        (CHECKPOINTS / "stdlib-140k", "--grid", "1x2"),
    ],
)
def test_a_grid_means_the_same_machine_everywhere(arguments: tuple[str | Path, ...]) -> None:
    run = answer("simulate", *arguments, "--tokens", "300")
    priced = answer("cost", *arguments, "--output-share", "1", "--trials", "20")
    audited = answer("audit", *arguments)
    assert run["grid"] == priced["rate"]["grid"] == [int(n) for n in arguments[-1].split("x")]
    assert run["sliding"] == audited["sliding"]
    bound = next(b for b in audited["bounds"] if b["context"] == run["context"])
    assert run["bound_tokens_per_second"] == priced["tokens_per_second"]
    assert run["bound_tokens_per_second"] == bound["tokens_per_second"]
    long = answer("cost", *arguments, "--output-share", "1", "--trials", "20", "--context", "8192")
    if (bound := next((b for b in audited["bounds"] if b["context"] == 8192), None)) is not None:
        assert long["tokens_per_second"] == bound["tokens_per_second"]


def test_a_chip_without_links_is_not_joined_with_others(tmp_path: Path) -> None:
    answer("design", CHECKPOINTS / "stdlib-140k", "-o", tmp_path / "own.toml")
    for command in ("simulate", "cost", "audit"):
        done = CliRunner().invoke(app, [command, str(tmp_path / "own.toml"), "--grid", "1x2"])
        assert "is one chip without links" in str(done.exception), command
    done = CliRunner().invoke(app, ["design", str(tmp_path / "own.toml")])
    assert "own.toml: is a system, and a model is wanted here" in str(done.exception)
