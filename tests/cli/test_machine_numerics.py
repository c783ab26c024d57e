"""`--numerics machine` on the command line: chips of a build, formats, grids, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from grids import wide


def folder() -> str:
    return str(wide("gpt_oss").directory)


def heard(cli: Any, *options: str) -> Any:
    code, out, err = cli("score", folder(), "--tokens", "3,1,4,1,5,9,2,6", "--json", *options)
    assert code == 0, err
    return json.loads(out)["logprobs"]


def test_exact_chips_score_as_one_chip(cli: Any) -> None:
    one = heard(cli, "--numerics", "chip")
    machine = ("--numerics", "machine")
    assert heard(cli, *machine, "--grid", "3x4", "--exchange", "exact") == one
    assert heard(cli, *machine, "--grid", "2x2") != one  # in the formats of designs
    assert heard(cli, *machine, "--grid", "2x2", "--exchange", "sums=int8") != one
    assert heard(cli, *machine, "--grid", "1x1") == pytest.approx(one, abs=0.01)


def test_tokens_are_those_of_one_chip(cli: Any) -> None:
    said = []
    for options in (("chip",), ("machine", "--grid", "4x3", "--exchange", "exact")):
        code, out, err = cli(
            "generate", folder(), "--tokens", "3,1", "--max-tokens", "6", "--temperature", "1.5",
            "--ignore-end", "--json", "--numerics", *options,
        )  # fmt: skip
        assert code == 0, err
        said.append(json.loads(out)["tokens"])
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--numerics", "chip", "--grid", "2x2"), "--grid 2x2: is for --numerics machine"),
        (("--exchange", "fp16"), "--exchange fp16: is for --numerics machine"),
        (("--numerics", "many"), "give float, chip or machine"),
        (("--numerics", "machine", "--exchange", "fp17"), "give one of exact, vector, fp16, int8"),
        (("--numerics", "machine", "--exchange", "sums=fp17"), "format 'fp17' of sums: choose"),
        (("--numerics", "machine", "--exchange", "sum=fp16"), "'sum' is no kind"),
        (("--numerics", "machine", "--grid", "9x1"), "9 x 1 chips leave some of them without"),
        (("--numerics", "machine", "--grid", "2"), "give rows x columns"),
        (("--numerics", "machine", "--float-activations"), "machine numerics have integer"),
    ],
)
def test_what_makes_no_sense_is_one_line(cli: Any, options: tuple[str, ...], message: str) -> None:
    code, _, err = cli("score", folder(), "--tokens", "1,2,3", *options)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("options", [("--numerics", "chip"), ("--grid", "2x2")])
def test_the_self_test_says_that_it_is_in_float(cli: Any, options: tuple[str, ...]) -> None:
    code, _, err = cli("serve", folder(), "--self-test", *options)
    assert code == 2
    assert "--self-test serves in float numerics" in err


def test_a_design_names_its_formats(cli: Any, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    code, _, err = cli(
        "design", "llama-3.1-8b", "--chips", "8", "--exchange", "sums=exact,logits=int8",
        "-o", str(file),
    )  # fmt: skip
    assert code == 0, err
    text = file.read_text()
    assert '[machine.link.exchange]\nsums = "exact"\n' in text
    assert 'logits = "int8"' in text
    code, _, err = cli("design", "llama-3.1-8b", "--chips", "8", "--exchange", "sums=12")
    assert code == 2
    assert "format '12' of sums" in err
