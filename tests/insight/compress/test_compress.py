"""The whole way: a recipe, a checkpoint that every command takes, and a ledger that others confirm."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import hnlpu
from helpers import run_cli
from hnlpu._whole import working_folder
from hnlpu.errors import (
    BuildInProgress,
    HnlpuError,
    InvalidInput,
    OutputExists,
    UnsupportedArchitecture,
)
from hnlpu.insight.compress import Ledger, Task, compress, parse_steps, read_recipe, said
from hnlpu.model.policy import make_policy
from hnlpu.run.emulate import float_model
from hnlpu.silicon.place import make_target

TEXT = Path("src/hnlpu/_whole.py").read_text() * 2


def _task(steps: list[str], **others: object) -> Task:
    task = Task(
        "checkpoints/llama-90k", parse_steps(steps), TEXT, make_target("n5", "taps", 1),
        make_policy("default"), tokens=400,
    )  # fmt: skip
    return replace(task, **others)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ledger]:
    out = tmp_path_factory.mktemp("compress") / "smaller"
    return out, compress(_task(["finercut:remove=1", "amp:share=0.25,of=neurons", "round"]), out)


def test_the_ledger_says_what_others_say(made: tuple[Path, Ledger], tmp_path: Path) -> None:
    out, ledger = made
    first, *_, last = ledger.stages
    assert Ledger.model_validate_json((out / "ledger.json").read_text()) == ledger
    assert ledger.coverage == 1
    assert [s.step for s in ledger.stages[1:]] == [
        "finercut:remove=1", "amp:share=0.25,of=neurons", "round",
    ]  # fmt: skip
    for stage, checkpoint in ((first, Path("checkpoints/llama-90k")), (last, out)):
        build = tmp_path / f"build-{stage.step[:2]}"
        hnlpu.build(checkpoint, build, target=make_target("n5", "taps", 1))
        placed = json.loads(run_cli("place", str(build), "--json")[1])
        assert stage.arrays_mm2 == pytest.approx(placed["array_area_mm2"], rel=1e-12)
        assert stage.machine is not None
        priced = hnlpu.cost(str(build), trials=20)
        assert stage.machine.usd_once == 1e6 * float(priced.value.nre_musd)
        assert stage.machine.tokens_per_second == hnlpu.design(str(build)).rate().tokens_per_second
        assert hnlpu.verify(build).passed
    model = float_model(out)
    kept = _task([]).texts()[1]
    ids = model.encode(kept)[:400]
    assert float_model(out).score(model.tokenizer.decode(ids.tolist())).perplexity == pytest.approx(
        last.float_perplexity, rel=1e-12
    )
    assert last.weights < first.weights
    assert last.arrays_mm2 < first.arrays_mm2


def test_a_killed_compression_goes_on(made: tuple[Path, Ledger], tmp_path: Path) -> None:
    told: list[str] = []

    def stop(what: str, *_: object) -> None:
        told.append(what)
        if what.startswith("judging amp"):
            raise KeyboardInterrupt

    task = _task(["finercut:remove=1", "amp:share=0.25,of=neurons", "round"])
    with pytest.raises(KeyboardInterrupt):
        compress(task, tmp_path / "o", progress=stop)
    assert not (tmp_path / "o").exists()
    again: list[str] = []
    assert compress(task, tmp_path / "o", progress=lambda what, *_: again.append(what)) == made[1]
    assert "finercut" in told
    assert "finercut" not in again
    assert not (tmp_path / "o.partial").exists()
    with pytest.raises(OutputExists):
        compress(task, tmp_path / "o")


def test_others_work_is_thrown_away(tmp_path: Path) -> None:
    def stop(what: str, *_: object) -> None:
        if what.startswith("judging"):
            raise KeyboardInterrupt

    for steps in (["finercut:remove=2"], ["finercut:remove=1"]):
        with pytest.raises(KeyboardInterrupt):
            compress(_task(steps), tmp_path / "o", progress=stop)
    found = compress(_task(["finercut:remove=1"]), tmp_path / "o")
    assert len(found.stages[1].lines) == 1


def test_experts_that_the_text_does_not_meet_are_told(tmp_path: Path) -> None:
    task = _task(["experts:keep=3"], checkpoint="checkpoints/stdlib-140k", tokens=2)
    with pytest.raises(InvalidInput, match=r"meets \d+\.?\d* % of the matrices"):
        compress(task, tmp_path / "o")
    assert not list(tmp_path.iterdir())


def test_gpt_oss_keeps_experts_and_is_built(tmp_path: Path) -> None:
    task = _task(["experts:keep=3"], checkpoint="checkpoints/stdlib-140k")
    found = compress(task, tmp_path / "o")
    config = json.loads((tmp_path / "o/config.json").read_text())
    assert config["num_local_experts"] == 3
    assert config["quantization_config"] == {"quant_method": "mxfp4"}
    assert found.stages[1].arrays_mm2 < 0.95 * found.stages[0].arrays_mm2


def test_digits_of_any_family(tmp_path: Path) -> None:
    task = _task(["round"], checkpoint="checkpoints/gru-106k", tokens=64)
    assert compress(task, tmp_path / "o").stages[1].weights == 106496


def test_other_families_are_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedArchitecture, match="all of one size"):
        compress(_task(["finercut"], checkpoint="checkpoints/gru-106k"), tmp_path / "o")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"judged": "a"}, "the text to judge by has 1 tokens, at least 2 are needed"),
        ({"text": ""}, "the text is empty"),
        ({"text": "one line"}, "the text has one line"),
    ],
)
def test_a_text_that_is_too_short_is_told_before_any_work(
    others: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=message):
        compress(_task(["round"], **others), tmp_path / "o")
    assert not list(tmp_path.iterdir())


def test_a_build_that_is_refused_leaves_nothing(tmp_path: Path) -> None:
    task = _task(["round"], target=make_target("n5", "taps", 3))
    with pytest.raises(HnlpuError, match="3 chips make no grid"):
        compress(task, tmp_path / "o")
    assert not list(tmp_path.iterdir())


def test_a_second_process_leaves_the_work_of_the_first(tmp_path: Path) -> None:
    with working_folder(tmp_path / "o", {"about.json"}) as work:
        (work / "about.json").write_text("{}")
        with pytest.raises(BuildInProgress, match="another process is at work"):
            compress(_task(["round"]), tmp_path / "o")
        assert (work / "about.json").read_text() == "{}"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("shrink", "'shrink' is no step; there are finercut, amp"),
        ("amp:share", "write KEY=VALUE"),
        ("amp:share=2", "share: Input should be less than 1"),
        ("amp:colour=2", "amp has no such option; it has share, of, by"),
        ("finercut:remove=1,share=0.5", "give remove or share, not both"),
        ("amp:of=tails", "of.0"),
        ("amp:of=[]", "of: Tuple should have at least 1 item"),
        ("round:matrices=[]", "matrices: Tuple should have at least 1 item"),
        ("amp:share=0.1,share=0.2", "share is given twice"),
    ],
)
def test_a_wrong_step_is_told(given: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse_steps([given])


def test_a_recipe_is_what_the_command_line_says(tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text(
        '[[step]]\nname = "amp"\nshare = 0.25\nof = ["neurons"]\n[[step]]\nname = "round"\n'
    )
    steps = parse_steps(["amp:share=0.25,of=neurons", "round"])
    assert read_recipe(file) == steps
    assert parse_steps([said(step) for step in steps]) == steps
    for text, message in (
        ("", "at least one"), ("step = 3", "at least one"), ("a = 1", "at least one"),
        ("[[step]]\nname = 3", "3 is no step"), ("[[", "is no TOML"),
    ):  # fmt: skip
        file.write_text(text)
        with pytest.raises(InvalidInput, match=message):
            read_recipe(file)


def test_the_command_writes_checkpoint_ledger_and_page(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    done = run_cli(
        "compress", "checkpoints/llama-90k", "-o", str(tmp_path / "o"), "--text", str(text),
        "--with", "amp:share=0.25,of=neurons", "--tokens", "300", "--chips", "1", "--json",
    )  # fmt: skip
    assert done[0] == 0, done[2]
    assert json.loads(done[1])["stages"][1]["weights"] == 77824
    assert {"config.json", "model.safetensors", "tokenizer.json", "ledger.json", "ledger.html"} <= {
        path.name for path in (tmp_path / "o").iterdir()
    }
    wrong = run_cli(
        "compress", "checkpoints/llama-90k", "-o", str(tmp_path / "p"), "--text", str(text)
    )
    assert wrong[0] == 2
    assert "give --recipe FILE or one --with STEP" in wrong[2]
