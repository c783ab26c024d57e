"""`hnlpu cost` and `hnlpu audit` as users call them: keys, text, exit codes, refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from hnlpu.cli._app import app
from hnlpu.cli._words import in_options
from hnlpu.errors import DoesNotFit, HnlpuError
from hnlpu.system.catalog import model_names

ROOT = Path(__file__).parents[3]
BUNDLED = ROOT / "checkpoints" / "stdlib-8m"
PAPER = "hnlpu-asplos26"


def answer(*arguments: str) -> Any:
    done = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def refusal(*arguments: str) -> str:
    done = CliRunner().invoke(app, [*arguments])
    assert isinstance(done.exception, HnlpuError), done.output
    message = in_options(str(done.exception))  # as `hnlpu.cli.main` prints it
    assert "\n" not in message
    return message


@pytest.mark.parametrize("model", model_names())
def test_every_model_has_an_answer(model: str) -> None:
    facts = answer("cost", PAPER, "--model", model, "--trials", "50")
    for key in (
        "chips",
        "area_mm2",
        "power_w",
        "respin_musd",
        "tco_musd",
        "usd_per_mtoken",
        "tco2e",
    ):
        assert facts[key] > 0, key
    for key in ("masks_musd", "nre_musd"):
        assert 0 < facts[key]["low"] < facts[key]["high"], key
    assert facts["nre_musd"]["low"] > facts["masks_musd"]["low"]
    assert facts["area_mm2"] == pytest.approx(facts["chips"] * 827.08)
    ends = facts["ranges"]["tco_musd"]
    assert ends["low"] < facts["tco_musd"] < ends["high"]
    assert facts["bands"]["tco_musd"]["low"] < facts["bands"]["tco_musd"]["high"]


def test_the_paper_s_numbers() -> None:
    facts = answer("cost", PAPER, "--model", "gpt-oss-120b", "--paper-rounding")
    assert facts["chips"] == 16
    assert facts["nre_musd"]["low"] == pytest.approx(13.85 + 18.46 + 26.87, rel=0.002)
    assert facts["nre_musd"]["high"] == pytest.approx(27.69 + 36.92 + 58.54, rel=0.002)
    assert facts["ranges"]["respin_musd"]["low"] == pytest.approx(18.53, rel=0.002)
    assert facts["ranges"]["tco_musd"]["high"] == pytest.approx(123.7, rel=0.002)
    assert facts["tco2e"] == pytest.approx(102.0, rel=0.002)
    assert facts["electricity_musd"] == pytest.approx(0.0250, rel=0.002)
    assert facts["gross_dies_per_wafer"] == 62
    assert facts["good_dies_per_wafer"] == 27
    assert (
        facts["yields"]["poisson"]
        < facts["yields"]["murphy"]
        < facts["yields"]["negative_binomial"]
    )
    assert sum(layer["masks"] for layer in facts["mask_layers"]) == 70
    published = facts["published_rates"][0]
    assert (published["tokens_per_second"], published["context"]) == (249_960, 2048)
    assert published["tokens_per_second_per_user"] == pytest.approx(1157, abs=1)
    assert facts["rate"]["generated_tokens_per_second"] == pytest.approx(247_862, abs=1)
    assert [row["output_tokens_per_second"] for row in facts["against"]] == [45, 1080, 3824, 4715]
    many = answer("cost", PAPER, "--systems", "50", "--respins", "2")
    assert many["ranges"]["tco_musd"]["low"] == pytest.approx(118.9, rel=0.002)
    assert many["tco2e"] == pytest.approx(5124, rel=0.002)


def test_a_rate_of_ones_own_sets_the_price_of_a_token() -> None:
    slow, fast = (
        answer("cost", PAPER, "--tokens-per-second", rate)["usd_per_mtoken"]
        for rate in ("1000", "2000")
    )
    assert slow == pytest.approx(2 * fast)


def test_a_checkpoint_and_a_bought_system() -> None:
    facts = answer("cost", str(BUNDLED))
    assert facts["chips"] == 1
    assert facts["weights"] == 7_610_368
    bought = answer("cost", "h100", "--systems", "2000", "--model", "gpt-oss-120b")
    assert bought["tco_musd"] == pytest.approx(191.2, rel=0.002)
    assert bought["nre_musd"] == {"low": 0.0, "high": 0.0}
    assert len(bought["rates"]) == 4


def test_the_rate_is_the_bound_of_the_simulation() -> None:
    """Of the published machine, of another model on it, at another context, with fewer users."""
    for options, same in (
        ((), ()),
        (("--model", "llama-3.1-8b"), ()),
        (("--context", "65536"), ()),
        (("--sliding", "--context", "8192"), ()),
        (("--grid", "8x4"), ()),
        (("--users", "8"), ("--batch", "8")),
    ):
        priced = answer("cost", PAPER, *options, "--output-share", "1", "--trials", "20")
        asked = same or options
        run = answer("simulate", PAPER, *asked, "--tokens", "400")
        assert priced["tokens_per_second"] == run["bound_tokens_per_second"], options
        assert priced["chips"] == run["chips"]
        assert run["tokens_per_second"] <= run["bound_tokens_per_second"] * 1.01, options


def test_text_and_picture(tmp_path: Path) -> None:
    chart = tmp_path / "chart.svg"
    done = CliRunner().invoke(app, ["cost", PAPER, "--svg", str(chart), "--trials", "50"])
    assert done.exit_code == 0
    assert "16 chips of 827.08 mm2" in done.output
    assert "1,157 for each of 216 users" in done.output
    assert ElementTree.fromstring(chart.read_text()).tag.endswith("svg")
    again = CliRunner().invoke(app, ["cost", PAPER, "--svg", str(chart), "--trials", "50"])
    assert again.exit_code == 0
    notes = tmp_path / "notes.svg"
    notes.write_text("mine")
    for option in ("--chart", "--map"):
        assert "no SVG" in refusal("cost", PAPER, option, str(notes))
    assert notes.read_text() == "mine"


def test_a_map_that_is_refused_leaves_no_chart(tmp_path: Path) -> None:
    chart, drawn = tmp_path / "chart.svg", tmp_path / "map.svg"
    refusal("cost", PAPER, "--model", "kimi-k2", "--map", str(drawn), "--svg", str(chart))
    assert list(tmp_path.iterdir()) == []


def test_the_buyers_map_of_a_command(tmp_path: Path) -> None:
    picture = tmp_path / "map.svg"
    facts = answer("cost", PAPER, "--map", str(picture), "--utilisation", "0.5", "--rent", "6")
    assert ElementTree.fromstring(picture.read_text()).tag.endswith("svg")
    found = facts["buyers"]
    assert found["usd_per_hour"] == 6
    assert found["output_tokens_per_second"] == 4715
    by_life = {x["life_months"]: x for x in found["break_even_output_tokens_per_day"]}
    assert by_life[36]["low"] < by_life[36]["value"] < by_life[36]["high"]
    assert by_life[36]["value"] < by_life[12]["value"]
    assert by_life[3]["value"] is None  # its chips take longer


def test_against_what_a_user_states() -> None:
    """A rate or a price of one's own: compared with, in one direction, and paid against, by hand."""
    stated = ("--against-rate", "2500", "--rent", "4", "--utilisation", "0.5")
    facts = answer("cost", "llama-3.1-8b", *stated, "--trials", "20")
    row, *others = facts["against"]
    assert (row["kind"], row["output_tokens_per_second"], others) == ("given", 2500, [])
    made = facts["tokens_per_second"] / 2  # half of the tokens are output
    assert row["gpus_for_same_output"] == pytest.approx(made / 2500)
    buyers = facts["buyers"]
    assert (buyers["kind"], buyers["usd_per_hour"]) == ("given", 4)
    assert buyers["usd_per_moutput_token"] == pytest.approx(1e6 * 4 / 3600 / (2500 * 0.5))
    price = str(buyers["usd_per_moutput_token"])
    bought = answer(
        "cost", "llama-3.1-8b", "--against-usd-per-mtoken", price, "--utilisation", "0.5",
        "--trials", "20",
    )  # fmt: skip
    # a rented GPU and a seller of tokens at the same price of a token are one and the same
    assert bought["buyers"]["break_even_output_tokens_per_day"] == [
        pytest.approx(x) for x in buyers["break_even_output_tokens_per_day"]
    ]
    times = bought["against_price"]["times_the_price"]
    assert times["value"] == pytest.approx(facts["usd_per_moutput_token"] / float(price))
    assert times["low"] < times["value"] < times["high"]
    both = answer("cost", PAPER, "--against-rate", "2500", "--trials", "20")
    assert [r["kind"] for r in both["against"]] == ["given"] + ["published"] * 4
    assert both["buyers"]["output_tokens_per_second"] == 2500  # the published 4,715 give way


def test_the_bundled_model_in_an_open_process() -> None:
    facts = answer("cost", str(BUNDLED), "--system", "sky130-one", "--context", "256")
    assert facts["chips"] == 1
    assert facts["nre_musd"]["high"] < 3
    assert facts["respin_musd"] < 0.03
    assert 1000 < facts["tokens_per_second"] < 10_000
    claims = answer("audit", str(BUNDLED), "--system", "sky130-one", "--context", "256")["claims"]
    by_name = {c["name"]: c["verdict"] for c in claims}
    assert by_name["die within the reticle"] == "holds"
    assert by_name["stored bits in the arrays"] in ("holds", "tight")


def test_the_audit_as_json_and_as_an_answer() -> None:
    facts = answer("audit", PAPER)
    assert sum(facts["verdicts"].values()) == len(facts["claims"]) >= 60
    for claim in facts["claims"]:
        assert {"computed", "claimed", "margin", "verdict", "unit", "how"} <= claim.keys()
    assert {c["verdict"] for c in facts["claims"]} == {"holds", "tight", "depends", "fails"}
    strict = CliRunner().invoke(app, ["audit", PAPER, "--strict"])
    assert strict.exit_code == 1
    assert "what 249,960 tokens/s would take" in strict.output
    assert CliRunner().invoke(app, ["audit", str(BUNDLED), "--explain"]).exit_code == 0


def test_an_audit_on_as_many_chips_as_the_model_needs() -> None:
    with pytest.raises(DoesNotFit, match=r"kimi-k2 needs 257 chips .*, the grid has 16"):
        answer("audit", PAPER, "--model", "kimi-k2", "--grid", "4x4")  # as `simulate` says
    fitted = answer("audit", PAPER, "--model", "kimi-k2")
    verdicts = {claim["name"]: claim["verdict"] for claim in fitted["claims"]}
    assert verdicts["stored bits in the arrays"] in ("holds", "tight")
    assert fitted["system"] == "hnlpu-asplos26, 260 chips"
    assert fitted == answer("audit", PAPER, "--model", "kimi-k2", "--fit")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("cost", "nothing"), "nothing: no such system, model, folder or file; systems are h100"),
        (("cost", PAPER, "--model", "gpt-9"), "gpt-9: no such system, model, folder or file"),
        (("cost", PAPER, "--systems", "0"), "--systems 0: give 1 to"),
        (("cost", PAPER, "--respins", "-1"), "--respins -1: give 0 to"),
        (("cost", PAPER, "--utilisation", "2"), "--utilisation 2: give a share above 0"),
        (("cost", PAPER, "--output-share", "0"), "--output-share 0: give a share"),
        (("cost", PAPER, "--tokens-per-second", "-5"), "--tokens-per-second -5"),
        (("cost", PAPER, "--tokens-per-second", "nan"), "--tokens-per-second nan"),
        (("cost", PAPER, "--trials", "1"), "1 trials: take 20 to"),
        (("cost", PAPER, "--weights", "three"), "weights 'three': choose from stored"),
        (("cost", PAPER, "--against", "wse-3"), "--against wse-3: its file has no price"),
        (("cost", PAPER, "--context", "0"), "--context 0"),
        (("cost", PAPER, "--users", "0"), "--users 0: give 1 to"),
        (("cost", PAPER, "--grid", "2x2"), "gpt-oss-120b needs 16 chips of hnlpu-asplos26"),
        (("cost", "roma"), "system roma has no price"),
        (("cost", str(BUNDLED), "--model", "qwq-32b"), "is a model already; give a system's name"),
        (("cost", str(BUNDLED.parent)), "config.json"),
        (("cost", PAPER, "--svg", "/nowhere/chart.svg"), "cannot be written"),
        (
            ("cost", PAPER, "--model", "kimi-k2", "--map", "x.svg"),
            "--map x.svg: nobody says what h100 makes of kimi-k2 or costs an hour; give --against-rate",
        ),
        (("cost", "sky130-one"), "give --model NAME"),
        (("cost", PAPER, "--rent", "-1"), "--rent -1: give a number above 0"),
        (("cost", PAPER, "--against-rate", "0"), "--against-rate 0: give a number above 0"),
        (("cost", PAPER, "--against-usd-per-mtoken", "nan"), "--against-usd-per-mtoken nan: give"),
        (("cost", PAPER, "--against-usd-per-mtoken", "2", "--rent", "3"), "leave one out"),
        (("cost", "qwq-32b", "--rent", "3"), "no rate of h100 is known for qwq-32b"),
        (("cost", "h100", "--model", "gpt-oss-120b", "--against-rate", "9"), "h100 is bought"),
        (
            ("cost", PAPER, "--chart", "x.svg", "--map", "./x.svg"),
            "--map x.svg: --chart writes this file",
        ),
        (("cost", PAPER, "--chart", "x.txt"), "x.txt: .txt is no kind of chart; choose from .svg"),
        (("audit", "h100"), "is not hardwired"),
        (("audit", PAPER, "--context", "0"), "--context 0"),
        (("audit", PAPER, "--tokens-per-second", "0"), "--tokens-per-second 0"),
    ],
)
def test_refusals_name_what_is_wrong(arguments: tuple[str, ...], says: str) -> None:
    assert says in refusal(*arguments)


def test_a_malformed_system_is_refused_with_its_line_and_exit_code_2(tmp_path: Path) -> None:
    text = (resources.files("hnlpu.system.catalog") / "systems" / f"{PAPER}.toml").read_text()
    mine = tmp_path / "mine.toml"
    mine.write_text(text.replace("value = 16988", "value = -16988", 1))
    line = (
        mine.read_text()
        .splitlines()
        .index(next(line for line in mine.read_text().splitlines() if "-16988" in line))
    )
    done = subprocess.run(
        [sys.executable, "-m", "hnlpu", "cost", str(mine)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"{mine}:{line + 1}: prices.wafer.price: value -16988 USD is out of range" in done.stderr
    assert "Traceback" not in done.stderr
