"""Commands on models of every family: what works does, and the rest refuses in a line, before work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from elman import ELMAN, write_elman
from family_adapters import write_adapter
from family_builds import EVERY, FAMILIES, ON_A_GPU, made
from helpers import snapshot
from hnlpu.model.families import BY_OPERATION, EVERY_FAMILY
from hnlpu.silicon.hardwire import open_build


def commands(family: str, folder: Path) -> dict[str, list[str]]:
    """A run of every command that knows no family."""
    of = made(family)
    build, adapter = str(of.one), write_adapter(folder / "adapter", of.checkpoint)
    return {
        "build": ["build", str(of.checkpoint), "-o", str(folder / "b"), "--dense", "mxfp4"],
        "verify": ["verify", build, "--workers", "1"],
        "place": ["place", str(of.two)],
        "masks": ["masks", build, "-o", str(folder / "m"), "--tile", "lm_head*", "--workers", "1"],
        "rtl": ["rtl", build, "-o", str(folder / "r"), "--matrix", "lm_head"],
        "generate": ["generate", build, "--tokens", "3,1", "--max-tokens", "3", "--ignore-end"],
        "score": ["score", build, "--tokens", "3,1,2"],
        "draw": ["draw", build],
        "report": ["report", build, "-o", str(folder / "r.html")],
        "simulate": ["simulate", str(of.two), "--context", "40", "--tokens", "500"],
        "cost": ["cost", build, "--trials", "50"],
        "audit": ["audit", build],
        "adapter": ["adapter", "check", str(adapter), build, "--budget", "1"],
        "sensitivity": [
            "sensitivity",
            str(of.checkpoint),
            "--tokens",
            "3,1,2,3,1,2",
            "-o",
            str(folder / "s"),
            "--workers",
            "1",
            "--budget",
            "1",
        ],
    }


def _matrices(family: str) -> list[str]:
    return list(open_build(made(family).one).shapes())


@pytest.mark.parametrize("family", FAMILIES)
def test_what_works_for_every_family(family: str, tmp_path: Path, cli) -> None:
    runs = commands(family, tmp_path)
    assert set(runs) == set(EVERY_FAMILY) - {"serve"}  # which does not end: tests/serve
    for name, arguments in runs.items():
        code, printed, line = cli(*arguments, "--json")
        assert code == 0, (name, line)
        values = json.loads(printed)
        if name == "build":
            assert values["family"] == family
        if name == "sensitivity":
            single = [o["name"] for o in values["options"] if o["kind"] == "matrix"]
            assert sorted(single + values["exact"]) == sorted(_matrices(family))
        if name == "generate":
            assert len(values["tokens"]) == 3


@pytest.mark.parametrize("command", ["simulate", "cost", "audit"])
def test_a_checkpoint_is_sized_before_it_is_built(command: str, cli) -> None:
    for family in FAMILIES:
        code, printed, line = cli(command, made(family).checkpoint, "--context", "40", "--json")
        assert code == 0, (family, line)
        assert json.loads(printed)["model"] == "checkpoint"


@pytest.mark.parametrize("family", EVERY)
def test_chip_numerics_work_for_every_family(family: str, cli) -> None:
    of = made(family)
    answers = []
    for numerics in ("float", "chip"):
        option = ("--tokens", "3,1,2", "--numerics", numerics, "--json")
        code, printed, line = cli("score", of.one, *option)
        assert code == 0, line
        answers.append(json.loads(printed)["logprobs"])
        code, printed, line = cli("generate", of.one, *option, "--max-tokens", "3", "--ignore-end")
        assert code == 0, line
        assert len(json.loads(printed)["tokens"]) == 3
    assert answers[0] != answers[1]
    assert answers[0] == pytest.approx(answers[1], abs=0.05)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in ON_A_GPU])
def test_a_device_refuses_a_step_by_its_name_before_work(family: str, cli) -> None:
    pytest.importorskip("triton")
    of = made(family)
    before = snapshot(of.one.parent)
    option = ("--device", "interpreter")
    for arguments in (("generate", of.one, "--tokens", "1"), ("serve", of.one, "--port", "0")):
        code, printed, line = cli(*arguments, *option)
        assert (code, printed) == (2, ""), arguments
        assert line.count("\n") == 1
        assert "no GPU runs it so far: step " in line or "far: the state " in line, line
    assert snapshot(of.one.parent) == before


@pytest.mark.parametrize("family", FAMILIES)
def test_chips_are_written_or_refused_by_an_operations_name(
    family: str, tmp_path: Path, cli
) -> None:
    assert BY_OPERATION == ("chip",)
    code, printed, line = cli("chip", made(family).one, "-o", tmp_path / "out")
    if code == 0:
        assert (tmp_path / "out" / "top" / "chip.sv").exists()
        return
    assert (code, printed) == (2, "")
    assert line.count("\n") == 1
    assert "(step " in line, line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("how", ["file", "package"])
def test_a_family_from_outside(how: str, tmp_path: Path, cli, monkeypatch) -> None:
    checkpoint, target = write_elman(tmp_path / "c"), tmp_path / "b"
    code, _, line = cli("build", checkpoint, "-o", target)
    assert code == 2
    assert "model_type is 'elman'; supported: " in line
    (tmp_path / "elman_family.py").write_text(ELMAN)
    option: list[str] = ["--family", str(tmp_path / "elman_family.py")]
    if how == "package":
        info = tmp_path / "elman_family-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: elman-family\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[hnlpu.families]\nelman = elman_family:FAMILY\n")
        monkeypatch.syspath_prepend(tmp_path)
        option = []
    code, _, line = cli("build", checkpoint, "-o", target, *option)
    assert code == 0, line
    code, floats, line = cli(
        "generate", checkpoint, "--tokens", "3,1", "--max-tokens", "5", *option
    )
    assert code == 0, line
    monkeypatch.undo()  # the build needs neither file nor package
    (tmp_path / "elman_family.py").unlink()
    assert cli("verify", target)[0] == 0
    code, metal, line = cli("generate", target, "--tokens", "3,1", "--max-tokens", "5")
    assert (code, len(metal.split())) == (0, 5), line
    assert len(floats.split()) == 5


@pytest.mark.parametrize(
    "command", [["build"], ["generate", "--tokens", "1"], ["score", "--tokens", "1,2"]]
)
def test_a_family_file_that_is_none(command: list[str], tmp_path: Path, cli) -> None:
    checkpoint = write_elman(tmp_path / "c")
    (tmp_path / "mine.py").write_text("FAMILY = 3")
    extra = ["-o", str(tmp_path / "b")] if command == ["build"] else []
    name, *rest = command
    for path, words in (
        (tmp_path / "mine.py", "has no FAMILY"),
        (tmp_path / "no.py", "cannot be run"),
    ):
        code, _, line = cli(name, checkpoint, *rest, *extra, "--family", path)
        assert code == 2
        assert f"{path}: {words}" in line
    assert not (tmp_path / "b").exists()


def test_a_build_needs_no_family(tmp_path: Path, cli) -> None:
    (tmp_path / "mine.py").write_text(ELMAN)
    code, _, line = cli(
        "generate", made("gru").one, "--tokens", "1", "--family", tmp_path / "mine.py"
    )
    assert code == 2
    assert "a build says its own family; leave the family out" in line
