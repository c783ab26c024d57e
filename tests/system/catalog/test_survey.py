"""Surveys as data: published models' parameters come out of their configs; techniques are commands or gaps."""

from __future__ import annotations

import json

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from hnlpu.cli._app import app
from hnlpu.errors import InvalidInput
from hnlpu.system.catalog import load_survey, load_techniques, rated_devices, surveyed

MODELS = load_survey().model


def test_there_are_many_and_each_has_its_source() -> None:
    assert len(MODELS) >= 50
    assert len({one.name for one in MODELS}) == len(MODELS)
    assert all(len(one.parameters.source) > 12 for one in MODELS)
    kinds = {json.loads(one.config)["model_type"] for one in MODELS if one.config}
    assert len(kinds) >= 9


@pytest.mark.parametrize("start", range(4))
def test_parameters_are_within_two_percent_of_what_is_published(start: int) -> None:
    for one in MODELS[start::4]:
        if one.config and json.loads(one.config)["num_hidden_layers"] > 40:
            continue  # the same families, in the table of `hnlpu catalog survey`; they take long
        found = surveyed(one)
        assert abs(found.error) < 0.02, (found.name, found.parameters)
        if found.active_error is not None:
            assert abs(found.active_error) < 0.02, (found.name, found.active)
        assert found.operations <= 2 * found.active
        if one.config:
            assert found.weight_bytes == 2 * found.parameters


def test_a_model_by_hand() -> None:
    """Llama 2 7B: 32 layers of 4 x 4096 x 4096 and 3 x 4096 x 11008, two tables of 32000, 65 norms."""
    [found] = [surveyed(one) for one in MODELS if one.name == "llama-2-7b"]
    matrices = 32 * (4 * 4096**2 + 3 * 4096 * 11008) + 32000 * 4096
    assert found.parameters == matrices + 32000 * 4096 + 65 * 4096
    assert found.operations == 2 * matrices


def test_the_command_names_what_it_does_not_have() -> None:
    done = CliRunner().invoke(app, ["catalog", "survey", "smollm2-135m", "--json"])
    [row] = json.loads(done.output)
    assert row["parameters"] == 134_515_008
    refused = CliRunner().invoke(app, ["catalog", "survey", "gpt-9"])
    assert isinstance(refused.exception, InvalidInput)


def test_every_leaf_is_a_command_that_exists_or_a_gap() -> None:
    known = get_command(app)
    leaves = [leaf for branch in load_techniques().branch for leaf in branch.leaves]
    assert len(leaves) > 40
    assert sum(leaf.gap is not None for leaf in leaves) > 10  # it is honest
    for leaf in leaves:
        if leaf.command is None:
            continue
        words = leaf.command.split()
        command = known.commands[words.pop(0)]
        while words and not words[0].startswith("-") and hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        options = {name for p in command.params for name in p.opts}
        assert {word for word in words if word.startswith("--")} <= options, leaf


def test_rates_of_devices_are_computed_within_a_third_or_listed_as_missed() -> None:
    rows = rated_devices()
    held = [row for row in rows if not row.missed]
    assert len(held) >= 10
    assert len({(row.device.name, row.rate.model) for row in held}) >= 10
    assert all(abs(row.error) <= 0.3 for row in held)
    missed = [row for row in rows if row.missed]
    assert missed
    # memory bounds a rate from above: nothing published is faster
    assert all(row.error > 0 for row in rows)
    # by hand: 4096 wide, 32 layers, 32,000 words in F16 through 1,008 GB/s
    [one] = [r for r in rows if (r.device.name, r.rate.model, r.rate.bits.value) ==
             ("rtx-4090", "llama-2-7b", 16)]  # fmt: skip
    weights = 32 * (4 * 4096**2 + 3 * 4096 * 11008) + 32000 * 4096
    assert one.computed == pytest.approx(1008e9 / (2 * weights))
    said = CliRunner().invoke(app, ["catalog", "devices", "--json"])
    assert [r["missed"] for r in json.loads(said.output)] == [r.missed for r in rows]
    shown = CliRunner().invoke(app, ["catalog", "devices"]).output
    assert shown.count("missed") == len(missed)
