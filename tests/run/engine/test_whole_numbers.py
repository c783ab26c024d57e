"""The engine in chip and machine numerics: alone, in company, from shared pages, the emulator's tokens."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from grids import tokens_of, wide
from hnlpu.cli._exchange import machine_of
from hnlpu.errors import InvalidInput
from hnlpu.run.emulate import ChipModel, LanguageModel, hardwired
from hnlpu.run.engine import Engine, Limits, Request, Sampling
from hnlpu.run.engine._layout import Room
from hnlpu.run.engine._memory import StateMemory
from hnlpu.run.engine._slots import INITIAL
from hnlpu.run.engine._whole_numbers import layout_of_chip
from hnlpu.serve import ServerSettings

PROMPT = 5
MADE = 22
"""Tokens, so that a page of 16 positions is full and shared."""


@cache
def model_of(family: str, numerics: str) -> LanguageModel:
    if numerics == "chip":
        return hardwired(wide(family), numerics="chip")
    machine = machine_of("machine", numerics, "2x3")
    return hardwired(wide(family), numerics="machine", machine=machine)


def prompts(family: str) -> list[tuple[int, ...]]:
    """Two that begin alike for longer than a page, and a short one."""
    first = tuple(tokens_of(family).tolist())
    return [first * 3 + (3, 4), first * 3 + (5,), first[:PROMPT]]


@pytest.mark.parametrize(
    ("family", "numerics"),
    [("gpt_oss", "chip"), ("gpt_oss", "fp16"), ("gru", "chip"), ("mamba2", "exact")],
)
def test_company_changes_no_token_of_the_emulators(family: str, numerics: str) -> None:
    model = model_of(family, numerics)
    asked = prompts(family)
    wanted = [
        tuple(token.id for token in model.generate(prompt, max_tokens=MADE)) for prompt in asked
    ]
    requests = [
        Request(prompt, max_tokens=MADE, sampling=Sampling(temperature=0.0)) for prompt in asked
    ]
    engine = Engine(model, Limits(rows=7, context=64, sequences=8))
    together = engine.run(requests)
    again = engine.run(requests)  # from pages and slots that the first runs left
    for found in (together, again):
        assert [result.tokens for result in found] == wanted
    assert engine.counters.reused_tokens > 0
    assert len(set(wanted[0])) > 2


def test_what_needs_float_is_refused() -> None:
    model = model_of("gpt_oss", "chip")
    with pytest.raises(InvalidInput, match="chip and machine numerics run on the CPU"):
        Engine(model, device="interpreter")
    with pytest.raises(InvalidInput, match="no hidden states"):
        Engine(model).run([Request((1, 2), max_tokens=0, pooling="last")])
    with pytest.raises(InvalidInput, match="adapters run in float numerics"):
        Engine(model, adapters={"mine": cast(Any, None)})
    with pytest.raises(InvalidInput, match="adapters run in float numerics"):
        Engine(model).check(Request((1, 2), max_tokens=1, adapter="mine"))


def test_a_server_in_whole_numbers_loads_no_adapters(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="adapters run in float numerics"):
        ServerSettings(adapter_folder=tmp_path, numerics="chip").check()
    ServerSettings(adapter_folder=tmp_path).check()


@pytest.mark.parametrize("value", [0.0, 1.5, -4.5, -7.9, -36.0, -100.0, -127.99])
def test_slots_begin_with_whole_numbers_whose_bits_are_a_nans(value: float) -> None:
    """-128 to -64 that count 2^-16, and -8 to -4 that count 2^-20: bits of a NaN, which float64 makes quiet."""
    run = copy(model_of("gru", "chip").transformer)
    assert isinstance(run, ChipModel)
    assert run.body.states
    states = tuple(replace(state, initial=value) for state in run.body.states)
    run.body = replace(run.body, states=states)
    run.interpreter = copy(run.interpreter)
    run.interpreter.network = run.body
    memory = StateMemory(layout_of_chip(run), Room(0, 2))
    start = run.interpreter.start().entries
    found = memory.gather(np.array([], np.int64), INITIAL, 0)
    for name, entries in found.items():
        assert np.array_equal(entries.view(np.int32), start[name]), name
