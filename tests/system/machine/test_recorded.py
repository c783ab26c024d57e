"""Recorded scenarios of the simulator stay byte-identical."""

from __future__ import annotations

import json

import pytest
from scenarios import RECORDED, line_of, scenarios

LINES = RECORDED.read_text("utf-8").splitlines()
ALL = list(scenarios())


def test_the_record_is_of_these_scenarios() -> None:
    assert [json.loads(line)["scenario"] for line in LINES] == ALL
    assert len(ALL) >= 50
    assert len(set(LINES)) == len(LINES)


@pytest.mark.parametrize("n", range(0, len(ALL), 10))
def test_ten_scenarios_are_as_recorded_to_the_last_digit(n: int) -> None:
    for line, scenario in zip(LINES[n : n + 10], ALL[n : n + 10], strict=True):
        assert line_of(scenario) == line, scenario
