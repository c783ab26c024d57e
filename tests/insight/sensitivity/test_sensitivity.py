"""Sensitivity: a mixture is the build that it stands for, and the policy keeps its word."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import hnlpu
from helpers import write_checkpoint, write_tokenizer
from hnlpu.errors import BuildInProgress, InvalidInput, OutputExists
from hnlpu.insight.report import sensitivity_report
from hnlpu.insight.sensitivity import POLICY, Sensitivity, SensitivitySubject, sensitivity
from hnlpu.model.policy import make_policy, read_policy
from hnlpu.silicon.hardwire import open_build
from hnlpu.silicon.place import array_area_mm2, make_target
from hnlpu.system.catalog import load_system
from hnlpu.system.cost import assume

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "README.md").read_text()[:1200]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A random gpt-oss, and a trained Llama whose weights were moved off the MXFP4 grid."""
    folder = tmp_path_factory.mktemp("sensitivity")
    oss = write_checkpoint(folder / "oss", layers=1)
    write_tokenizer(oss)
    llama = shutil.copytree(ROOT / "checkpoints/llama-90k", folder / "llama")
    tensors = load_file(llama / "model.safetensors")
    torch.manual_seed(0)
    for name, values in tensors.items():
        if values.ndim == 2 and "embed" not in name and "layers.0" in name:
            tensors[name] = (values * (1 + 0.2 * torch.randn(values.shape))).to(values.dtype)
    save_file(tensors, llama / "model.safetensors", {"format": "pt"})
    return {"oss": oss, "llama": llama}


def _subject(checkpoint, **changes) -> SensitivitySubject:
    policy = make_policy(activation_bits=8)
    return dataclasses.replace(
        SensitivitySubject(checkpoint, TEXT if checkpoint.name == "llama" else "abc def\n" * 40,
                make_target(), policy),
        **changes,
    )  # fmt: skip


@pytest.fixture(scope="module")
def measured(checkpoints, tmp_path_factory):
    out = tmp_path_factory.mktemp("measured")
    return {
        name: (out / name, sensitivity(_subject(path), out / name, 0.02, workers=1))
        for name, path in checkpoints.items()
    }


def _logprobs(folder, text):
    return hnlpu.open(folder).score(text)


@pytest.mark.parametrize("name", ["oss", "llama"])
def test_every_option_is_a_build_of_its_own(name, checkpoints, measured, tmp_path):
    """Roles and the whole model, built by their formats: perplexity, error and area are the same."""
    _, found = measured[name]
    subject = _subject(checkpoints[name])
    for option in found.options:
        if option.kind == "matrix":
            continue
        names = [o.name for o in found.options if o.kind == "matrix"
                 and option.role in ("", o.role)]  # fmt: skip
        policy = subject.policy.model_copy(update={"matrices": tuple((n, "mxfp4") for n in names)})
        build = hnlpu.build(subject.checkpoint, tmp_path / option.name, policy, workers=1)
        assert hnlpu.open(build).score(subject.text).perplexity == option.perplexity
        manifest = open_build(build).manifest
        squares = [
            (r.weights * r.rms**2, r.relative_error) for n in names if (r := manifest.matrices[n])
        ]
        error = (sum(s * e * e for s, e in squares) / sum(s for s, _ in squares)) ** 0.5
        assert option.relative_error == pytest.approx(error, rel=1e-8)
        placed = {p.name: p for p in manifest.placement.matrices}
        area = sum(
            sum(array_area_mm2(manifest.placement.model_copy(update={"matrices": (placed[n],)}),
                               manifest.technology))
            for n in names
        )  # fmt: skip
        assert option.area_mm2 == pytest.approx(area)
        assert option.saved_mm2 > 0
        assert option.loss == pytest.approx(option.perplexity / found.finest_perplexity - 1)


@pytest.mark.parametrize("name", ["oss", "llama"])
def test_the_policy_keeps_its_word(name, checkpoints, measured, tmp_path):
    """The file builds what was measured: perplexity to the bit, area, and no more than the budget."""
    folder, found = measured[name]
    subject = _subject(checkpoints[name])
    assert found.chosen is not None
    policy = make_policy(**read_policy(folder / POLICY))
    assert policy == found.policy
    build = hnlpu.build(subject.checkpoint, tmp_path / "b", policy, workers=1)
    perplexity = hnlpu.open(build).score(subject.text).perplexity
    assert perplexity == found.chosen.perplexity
    assert perplexity / hnlpu.open(subject.checkpoint).score(subject.text).perplexity <= 1.02
    manifest = open_build(build).manifest
    area = sum(array_area_mm2(manifest.placement, manifest.technology))
    assert area == pytest.approx(found.chosen.area_mm2)
    cheaper = [s for s in found.steps if s.area_mm2 < found.chosen.area_mm2 - 1e-12]
    assert all(s.loss > 0.02 for s in cheaper)


def test_the_moved_matrices_are_those_that_lose(measured):
    """Of the Llama, layer 0 alone left the grid: all else has nothing to choose."""
    _, found = measured["llama"]
    assert found.order
    assert all(".0." in name for name in found.order)
    assert any(".1." in name for name in found.exact)
    whole = next(o for o in found.options if o.kind == "model")
    assert 0.05 < whole.relative_error < 0.2
    assert whole.perplexity != found.finest_perplexity


@pytest.mark.parametrize("coarser", ["int3", "ternary"])
def test_smaller_codebooks_are_measured_beside_the_finest(checkpoints, tmp_path, coarser):
    """What is exact in E2M1 loses too; and all of it in the codebook is the build that is."""
    subject = _subject(checkpoints["llama"], coarser=coarser)
    found = sensitivity(subject, tmp_path / "s", 5.0, workers=1)
    assert len(found.order) == 15
    assert not found.exact
    assert {o.format for o in found.options} == {coarser}
    roles = dict.fromkeys(("attention", "unembedding", "dense"), coarser)
    build = hnlpu.build(subject.checkpoint, tmp_path / "b", make_policy(activation_bits=8, **roles))
    whole = next(o for o in found.options if o.kind == "model")
    assert hnlpu.open(build).score(TEXT).perplexity == whole.perplexity
    assert whole.loss > 0.1
    with pytest.raises(InvalidInput, match="choose from mxfp4, int4, nf4, fitted, int8, int3"):
        sensitivity(_subject(checkpoints["llama"], coarser="auto"), tmp_path / "t", 1.0)


def test_dollars_are_a_share_of_a_chip_and_its_masks(measured):
    _, found = measured["oss"]
    system = load_system("hnlpu-asplos26")
    a = assume(system)
    assert system.prices
    chip = a.wafer_usd + a.package_and_test_usd + a.hbm_usd + a.integration_usd
    # our masks, all DUV, not the ten that are published; each at its price in the published set, as in `cost`
    assert found.masks_per_chip < 10
    set_musd = a.shared_masks_musd + a.chip_masks_musd
    chip += 1e6 * found.masks_per_chip * set_musd / system.prices.masks.units()
    for o in found.options:
        assert o.usd == pytest.approx(o.saved_mm2 / a.array_mm2 * chip)
        assert o.masks == pytest.approx(o.saved_mm2 / a.array_mm2 * found.masks_per_chip)


def test_prices_belong_to_their_process(checkpoints, tmp_path):
    with pytest.raises(InvalidInput, match=r"`system` hnlpu-asplos26 is made in n5.* sky130"):
        sensitivity(
            _subject(checkpoints["oss"], target=make_target("sky130"), system="hnlpu-asplos26"),
            tmp_path / "s", 0.1, workers=1,
        )  # fmt: skip
    assert not list(tmp_path.iterdir())
    found = sensitivity(
        _subject(checkpoints["oss"], target=make_target("asap7")), tmp_path / "s", 0.1, workers=1
    )
    assert (found.system, found.usd_per_mm2) == (None, None)
    assert all(o.usd is None and o.masks is None for o in found.options)


class _Stopped(BaseException):
    """As a kill, in the middle."""


def test_it_goes_on_where_it_was(checkpoints, measured, tmp_path):
    subject, out = _subject(checkpoints["oss"]), tmp_path / "s"

    def stop(_: str, done: int, __: int) -> None:
        if done == 3:
            raise _Stopped

    with pytest.raises(_Stopped):
        sensitivity(subject, out, 0.02, workers=1, progress=stop)
    assert not out.exists()
    lines = (tmp_path / "s.partial/scores.jsonl").read_text().splitlines()
    assert len(lines) == 3
    with (tmp_path / "s.partial/scores.jsonl").open("a") as stream:
        stream.write('{"mixture": "cut o')  # as a kill in the middle of a line leaves it
    seen = []
    found = sensitivity(subject, out, 0.02, workers=1, progress=lambda *a: seen.append(a[1]))
    assert found.model_dump() == measured["oss"][1].model_dump()
    assert max(seen) < len(found.options) + len(found.steps)
    assert {p.name for p in tmp_path.iterdir()} == {"s"}


@pytest.mark.parametrize("changed", ["weights", "scheme"])
def test_builds_of_something_else_are_made_anew(checkpoints, measured, tmp_path, changed):
    """A stopped run of another checkpoint under the same name, or of another scheme, is not taken up."""
    other, out = shutil.copytree(checkpoints["oss"], tmp_path / "oss"), tmp_path / "s"
    subject = _subject(checkpoints["oss"])
    if changed == "weights":
        shutil.rmtree(other)
        write_tokenizer(write_checkpoint(other, layers=1, seed=5))
        before = _subject(other)
    else:
        before = _subject(other, target=make_target("n5", "regions"))

    def stop(_: str, done: int, __: int) -> None:
        raise _Stopped

    with pytest.raises(_Stopped):
        sensitivity(before, out, 0.02, workers=1, progress=stop)
    found = sensitivity(subject, out, 0.02, workers=1)
    assert found.model_dump() == measured["oss"][1].model_dump()


def test_what_stands_there_is_left_alone(checkpoints, tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s/mine").write_text("x")
    with pytest.raises(OutputExists):
        sensitivity(_subject(checkpoints["oss"]), tmp_path / "s", 0.1)
    (tmp_path / "t.partial").mkdir()
    (tmp_path / "t.partial/mine").write_text("x")
    with pytest.raises(OutputExists):
        sensitivity(_subject(checkpoints["oss"]), tmp_path / "t", 0.1)
    assert {p.name for p in tmp_path.rglob("*")} == {"s", "mine", "t.partial"}


def test_only_one_measures(checkpoints, tmp_path):
    subject = _subject(checkpoints["oss"])

    def again(*_: object) -> None:
        sensitivity(subject, tmp_path / "s", 0.1)

    with pytest.raises(BuildInProgress):
        sensitivity(subject, tmp_path / "s", 0.1, workers=1, progress=again)


@pytest.mark.parametrize("budget", [-0.1, float("nan"), 11.0])
def test_a_budget_that_means_nothing(checkpoints, tmp_path, budget):
    with pytest.raises(InvalidInput, match="budget"):
        sensitivity(_subject(checkpoints["oss"]), tmp_path / "s", budget)
    assert not list(tmp_path.iterdir())


def test_no_policy_where_none_is_good_enough(checkpoints, tmp_path):
    """Two bits of activations lose more than any format of the weights can give back."""
    subject = _subject(checkpoints["llama"], policy=make_policy(activation_bits=2))
    found = sensitivity(subject, tmp_path / "s", 0.0, workers=1)
    assert (found.chosen, found.policy) == (None, None)
    assert {p.name for p in (tmp_path / "s").iterdir()} == {"sensitivity.json"}


def test_table_and_page_say_what_was_found(measured, tmp_path):
    folder, found = measured["llama"]
    table = Sensitivity.model_validate_json((folder / "sensitivity.json").read_text())
    assert table == found
    hostile = found.model_copy(update={"exact": ("<script>x</script>",), "checkpoint": "/a/<b>&"})
    page = sensitivity_report(hostile, tmp_path / "p.html").read_text()
    assert "<script>" not in page
    assert "&lt;b&gt;&amp;" in page
    for option in found.options:
        assert option.name in page
    assert page.count("<circle") == len(found.steps)


def test_on_the_command_line(checkpoints, tmp_path, cli):
    (tmp_path / "t.txt").write_text("abc def\n" * 40)
    arguments = ("sensitivity", checkpoints["oss"], "--text", tmp_path / "t.txt", "--budget", "0.5",
                 "--workers", "1")  # fmt: skip
    code, printed, errors = cli(*arguments, "-o", tmp_path / "a", "--json")
    facts = json.loads(printed)
    assert (code, errors) == (0, "")
    assert {p.name for p in (tmp_path / "a").iterdir()} == {
        "sensitivity.json", "sensitivity.html", "policy.toml",
    }  # fmt: skip
    assert np.isfinite([o["loss"] for o in facts["options"]]).all()
    code, printed, _ = cli(*arguments, "-o", tmp_path / "b")
    assert code == 0
    assert "policy: " in printed
    whole = next(o for o in facts["options"] if o["kind"] == "model")
    row = next(line for line in printed.splitlines() if line.startswith("│ all "))
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells[4:] == [
        f"{whole['finest_area_mm2'] - whole['area_mm2']:.4g}", f"{whole['masks']:.4g}",
        f"{whole['usd']:,.0f}",
    ]  # fmt: skip
    code, printed, line = cli(*arguments, "-o", tmp_path / "b")
    assert (code, printed) == (2, "")
    assert "choose another with --output" in line
    code, _, line = cli("sensitivity", tmp_path / "none", "--text", tmp_path / "t.txt")
    assert code == 2
    assert "none" in line
