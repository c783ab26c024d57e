"""Sweeps: each row is what `hnlpu cost` says of its values."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

import hnlpu
from hnlpu.cli._app import app
from hnlpu.errors import InvalidInput
from hnlpu.system.cost import OwnershipPlan

PAPER = "hnlpu-asplos26"


def test_rows_are_the_cost_of_their_values() -> None:
    rows = hnlpu.sweep(PAPER, {"context": [2048, 65_536], "machine.link.bandwidth": [12.8, 128]})
    assert [(r["context"], r["machine.link.bandwidth"]) for r in rows] == [
        (2048, 12.8), (2048, 128), (65_536, 12.8), (65_536, 128),
    ]  # fmt: skip
    alone = hnlpu.cost(PAPER, plan=OwnershipPlan(context=65_536), trials=20)
    assert rows[3]["tokens_per_second"] == alone.rate.tokens_per_second
    assert rows[3]["tco_musd"] == float(alone.value.tco_musd)
    assert rows[0]["tokens_per_second"] == pytest.approx(rows[1]["tokens_per_second"] / 10)
    assert rows[0]["limit"] == "column links"


def test_what_makes_no_machine_says_why_in_its_row() -> None:
    rows = hnlpu.sweep(PAPER, {"power.system": [100.0, 6900.0], "users": [1.5, 2]})
    assert [bool(row["problem"]) for row in rows] == [True, True, True, False]
    assert "less than 16 chips" in rows[0]["problem"]
    assert "whole number" in rows[2]["problem"]
    rows = hnlpu.sweep(PAPER, {"users": [math.inf, math.nan]})
    assert all("whole number" in row["problem"] for row in rows)
    with pytest.raises(InvalidInput, match=r"'machine\.warp' is no value of hnlpu-asplos26"):
        hnlpu.sweep(PAPER, {"machine.warp": [1.0]})


def test_the_command_writes_csv_and_keeps_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    command = ["sweep", PAPER, "--vary", "users=8,216", "-o", str(path), "--json"]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    rows = json.loads(done.output)
    with path.open() as file:
        read = list(csv.DictReader(file))
    assert [float(r["tokens_per_second"]) for r in read] == [r["tokens_per_second"] for r in rows]
    assert "exists already" in str(CliRunner().invoke(app, command).exception)
    wrong = CliRunner().invoke(app, ["sweep", PAPER, "--vary", "users"])
    assert "give KEY=A,B,C" in str(wrong.exception)
