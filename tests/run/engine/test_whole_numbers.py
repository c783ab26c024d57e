"""The engine in chip and machine numerics: alone, in company, from shared pages, the emulator's tokens."""

from __future__ import annotations

from functools import cache

import pytest

from grids import tokens_of, wide
from hnlpu.cli._exchange import machine_of
from hnlpu.errors import InvalidInput
from hnlpu.run.emulate import LanguageModel, hardwired
from hnlpu.run.engine import Engine, Limits, Request, Sampling

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
