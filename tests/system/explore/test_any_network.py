"""A search takes any network: the machine to beat, and a design of another grid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hnlpu.system.catalog import load_system
from hnlpu.system.design import open_named, open_target
from hnlpu.system.explore import evaluate, load_options, make_problem, published_design

CHECKPOINTS = Path(__file__).parents[3] / "checkpoints"


@pytest.mark.parametrize("name", ["stdlib-8m", "gru-106k"])
def test_a_network_is_built_simulated_and_priced(name: str) -> None:
    shape = open_named(str(CHECKPOINTS / name)).subject.shape
    problem = make_problem(
        load_system("hnlpu-asplos26"), shape, load_options(), (128,), sliding=True
    )
    own = published_design(problem.system, shape, problem.options, problem.base)
    assert own.chips == 1
    score = evaluate(problem, own, force=True)
    (point,) = score.points
    assert point.tokens_per_second > 0
    assert point.bill.tco_musd > 0
    taps = evaluate(problem, replace(own, arrays="taps", fold=1), force=True)
    assert taps.chip.blocks["neuron arrays"] > 0


def test_a_grid_that_cannot_share_a_network_is_left_out_and_not_an_error() -> None:
    shape = open_named(str(CHECKPOINTS / "stdlib-8m")).subject.shape
    problem = make_problem(
        load_system("hnlpu-asplos26"), shape, load_options(), (128,), sliding=True
    )
    own = published_design(problem.system, shape, problem.options, problem.base)
    assert not evaluate(problem, replace(own, rows=1, columns=64)).feasible


@pytest.mark.parametrize("name", ["gpt-oss-20b", "llama-3.1-8b", "deepseek-v3"])
def test_the_machine_to_beat_has_the_chips_and_grid_of_every_command(name: str) -> None:
    shape = open_named(name).subject.shape
    problem = make_problem(
        load_system("hnlpu-asplos26"), shape, load_options(), (128,), sliding=True
    )
    own = published_design(problem.system, shape, problem.options, problem.base)
    spec = open_target("hnlpu-asplos26", name).specification
    assert (own.rows, own.columns) == (spec.rows, spec.columns)
