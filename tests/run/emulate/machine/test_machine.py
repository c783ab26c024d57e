"""Many chips with an exact exchange say what one chip says, to the bit; narrow ones nearly."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from family_builds import FAMILIES
from grids import of_one_chip, tokens_of, wide
from hnlpu.arithmetic.exchange import (
    FORMATS,
    KINDS,
    USUAL,
    WAYS,
    Exchange,
    ExchangeFormats,
    sent,
)
from hnlpu.cli._exchange import machine_of
from hnlpu.run.emulate import ChipModel, LanguageModel, Tokenizer, hardwired
from hnlpu.run.emulate.machine import MachineModel
from hnlpu.run.emulate.machine._numerics import MachineNumerics
from hnlpu.silicon.exchange import OfMembers, slices_on

GRIDS = list(itertools.product((1, 2, 3, 4), repeat=2))


def machine(family: str, rows: int, columns: int, exchange: Exchange | None = None) -> MachineModel:
    build = wide(family)
    return MachineModel(build, exchange or Exchange(), slices_on(build.matrices(), rows, columns))


def logits(model: MachineModel, tokens: np.ndarray, *pieces: int) -> np.ndarray:
    """Logits of tokens that come in pieces."""
    cache = model.new_cache()
    parts = np.split(tokens, np.cumsum(pieces)) if pieces else [tokens]
    return np.concatenate([model.logits(model.forward(part, cache)) for part in parts])


@pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: f"{grid[0]}x{grid[1]}")
def test_gpt_oss_on_any_grid(grid: tuple[int, int]) -> None:
    """Windows, sinks, experts on any chip, and five parts on three or four chips."""
    found = logits(machine("gpt_oss", *grid), tokens_of("gpt_oss"), 4)
    assert np.array_equal(found, of_one_chip("gpt_oss"))


def test_formats_are_those_of_designs_where_nobody_says() -> None:
    model = hardwired(wide("gpt_oss"), numerics="machine").transformer
    asked = machine_of("machine", None, None)(wide("gpt_oss"))
    assert isinstance(model, MachineModel)
    assert (model.exchange, None) == asked
    assert model.exchange.formats == USUAL
    assert not model.exchange.candidates  # logits are gathered, as in designs


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_on_grids(family: str) -> None:
    drawn = np.random.default_rng(len(family)).permutation(len(GRIDS))[:2]
    for rows, columns in [(2, 2), *(GRIDS[n] for n in drawn)]:
        found = logits(machine(family, rows, columns), tokens_of(family))
        assert np.array_equal(found, of_one_chip(family)), (rows, columns)


def test_the_way_of_an_exact_sum_changes_no_bit() -> None:
    for way in WAYS:
        exchange = Exchange(row=way, column=way)
        found = logits(machine("gpt_oss", 3, 3, exchange), tokens_of("gpt_oss"))
        assert np.array_equal(found, of_one_chip("gpt_oss"))


def test_tokens_are_those_of_one_chip() -> None:
    """Greedy and drawn, by candidates and from all logits."""
    build, prompt = wide("gpt_oss"), tokens_of("gpt_oss")[:3].tolist()
    for temperature, candidates in itertools.product((0.0, 1.5), (True, False)):
        said = []
        for model in (
            ChipModel(build),
            machine("gpt_oss", 3, 2, Exchange(candidates=candidates)),
        ):
            heard = LanguageModel(model, Tokenizer(build.directory), build.directory, ends=())
            new = heard.generate(prompt, max_tokens=12, temperature=temperature, seed=3)
            said.append([token.id for token in new])
        assert said[0] == said[1]
        assert len(set(said[0])) > 2


@pytest.mark.parametrize("form", FORMATS[1:])
def test_narrow_formats_are_near_and_do_not_depend_on_pieces(form: Any) -> None:
    exact, tokens = of_one_chip("gpt_oss"), tokens_of("gpt_oss")
    spread = exact.std()
    for way in WAYS:
        exchange = Exchange(ExchangeFormats.all_of(form), way, way, candidates=False)
        model = machine("gpt_oss", 3, 2, exchange)
        found = logits(model, tokens)
        assert np.array_equal(logits(model, tokens, 1, 4), found)
        most = {"vector": 0.02, "fp16": 0.05, "int8": 0.4}[form]
        assert 0 < np.sqrt(((found - exact) ** 2).mean()) < most * spread, way


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_a_format_of_its_own(kind: str) -> None:
    """One narrow kind alone changes the logits, so that none is a word without effect."""
    exchange = Exchange(ExchangeFormats(**{kind: "int8"}), candidates=False)
    # gpt-oss gathers nothing but logits
    family = {"activations": "llama", "values": "bitnet"}.get(kind, "gpt_oss")
    found = logits(machine(family, 2, 2, exchange), tokens_of(family))
    assert not np.array_equal(found, of_one_chip(family))


def test_chips_that_share_an_expert_send_a_message_each() -> None:
    model = machine("gpt_oss", 4, 4)
    assert model.plan is not None
    numerics = model.interpreter._numerics
    assert isinstance(numerics, MachineNumerics)
    [where, *_] = [
        c.where
        for c in model.plan.crossings
        if isinstance(c.where, OfMembers) and c.kind == "values"
    ]
    matrix = next(m for m in wide("gpt_oss").network.matrices if m.name == where.matrix)
    parts = [part for part in model.grid.slices[matrix.name] if part.members[0] == 0]
    assert len({part.neurons for part in parts}) > 1
    random, inner = np.random.default_rng(1), matrix.rows // 2  # gate and up make one number
    chosen = random.integers(0, matrix.members or 0, (3, 2))
    x = random.integers(-(1 << 20), 1 << 20, (3, 2, inner)) >> random.integers(0, 16, (3, 2, inner))
    numerics._chosen.by_name[str(where.chosen)] = chosen
    found = numerics._pieces_sent(x, where, 1, "int8")
    wanted = np.zeros_like(x)
    for position, rank in np.ndindex(3, 2):
        for part in model.grid.slices[matrix.name]:
            if part.members[0] <= chosen[position, rank] < part.members[1]:
                own = slice(part.neurons[0] // 2, part.neurons[1] // 2)
                wanted[position, rank, own] = sent(x[position, rank, own], "int8")
    assert np.array_equal(found, wanted)
    assert not np.array_equal(found, sent(x, "int8"))
