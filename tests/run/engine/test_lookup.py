"""Tokens that are looked up and tried change the number of steps and no bit."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hnlpu
from family_builds import EVERY, made
from hnlpu.errors import InvalidInput, NotFinite
from hnlpu.run.emulate import LanguageModel, open_language_model
from hnlpu.run.engine import Engine, Limits, Request, Result, Sampling
from hnlpu.run.engine import _sequence as sequence_module
from hnlpu.run.engine._lookup import LEAST, LONGEST, looked_up

CHECKPOINTS = Path(__file__).parents[3] / "checkpoints"


@cache
def folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory()


@cache
def model_of(name: str) -> LanguageModel:
    if name in EVERY:
        return open_language_model(made(name).one)
    return open_language_model(hnlpu.build(CHECKPOINTS / name, Path(folder().name) / name))


def found(results: list[Result]) -> list[tuple[object, ...]]:
    return [(r.tokens, r.text, r.scores, r.prompt_scores, r.reason, r.stopped_by) for r in results]


def requests_of(model: LanguageModel, count: int, seed: int) -> list[Request]:
    """Requests of every kind whose prompts repeat themselves, so that there is much to look up."""
    random = np.random.default_rng(seed)
    made_ = []
    for i in range(count):
        part = random.integers(2, model.vocab_size, random.integers(3, 9)).tolist()
        prompt = tuple((part * 6)[: int(random.integers(8, 30))])
        sampling = Sampling(
            temperature=float(random.choice([0.0, 0.3, 1.0])), top_k=int(random.choice([0, 5])),
            repetition_penalty=float(random.choice([1.0, 1.1])), seed=i,
            logit_bias=dict.fromkeys(part, 9.0) if i % 2 else {},
        )  # fmt: skip
        made_.append(
            Request(
                prompt, max_tokens=int(random.integers(1, 40)), sampling=sampling, ignore_end=i % 3 > 0,
                top_logprobs=2 if i % 2 else None, score_prompt=i % 5 == 0, speculation=True,
                stop_tokens=(part[0],) if i % 4 == 3 else (),
            )
        )  # fmt: skip
    return made_


@pytest.mark.parametrize("name", ["stdlib-140k", "llama", "gru"])
def test_what_is_tried_changes_steps_and_no_bit(name: str) -> None:
    model = model_of(name)
    requests = requests_of(model, 10, 3)
    off, on = Engine(model), Engine(model)
    expected = found(off.run([replace(request, speculation=False) for request in requests]))
    assert found(on.run(requests)) == expected
    tight = Engine(model, Limits(sequences=4, rows=9, cache_bytes=2**19))
    assert found(tight.run(requests)) == expected
    assert off.counters.drafted_tokens == 0
    if on.memory.has_slots:  # what is kept whole cannot be taken back: nothing is tried
        assert on.counters.drafted_tokens == 0
        return
    assert 0 < on.counters.accepted_tokens < on.counters.drafted_tokens
    assert on.counters.steps <= off.counters.steps
    assert on.counters.new_tokens == off.counters.new_tokens


def test_preempted_and_reused_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("stdlib-140k")
    requests = requests_of(model, 12, 5)
    expected = found(Engine(model).run([replace(r, speculation=False) for r in requests]))
    page = Engine(model).memory.layout.page_bytes
    scarce = Engine(model, Limits(sequences=12, cache_bytes=9 * page))
    assert found(scarce.run(requests)) == expected
    assert scarce.counters.preemptions
    assert found(scarce.run(requests)) == expected
    assert scarce.counters.reused_tokens
    assert scarce.counters.accepted_tokens


def test_a_control_that_takes_what_is_tried_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """If wrong proposals were kept, these requests would show it."""
    model = model_of("stdlib-140k")
    requests = requests_of(model, 6, 3)
    expected = found(Engine(model).run([replace(r, speculation=False) for r in requests]))

    class Believed:
        """A token that every other equals."""

        def __init__(self, token: int):
            self.token = token

        def __ne__(self, _: object) -> bool:
            return False

    class Draft(np.ndarray):
        def __getitem__(self, at):  # type: ignore[no-untyped-def]
            value = np.asarray(self)[at]
            return Believed(int(value)) if isinstance(at, int) else value

    def believing(tokens: np.ndarray, most: int) -> np.ndarray:
        return looked_up(tokens, most).view(Draft)

    monkeypatch.setattr(sequence_module, "looked_up", believing)
    assert found(Engine(model).run(requests)) != expected


def test_what_is_tried_cannot_make_a_request_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("stdlib-140k")
    requests = requests_of(model, 3, 7)
    expected = found(Engine(model).run([replace(r, speculation=False) for r in requests]))
    engine = Engine(model)
    forward, refused = engine._batched.forward, []

    def overflowing(rows, memory, wanted):  # type: ignore[no-untyped-def]
        if len(wanted) > len(set(rows.sequences.tolist())):
            refused.append(len(wanted))
            raise NotFinite("overflow")
        return forward(rows, memory, wanted)

    monkeypatch.setattr(engine._batched, "forward", overflowing)
    plain = [request for request in requests if not request.score_prompt]
    kept = [e for e, request in zip(expected, requests, strict=True) if not request.score_prompt]
    assert found(engine.run(plain)) == kept
    assert refused


def test_more_is_tried_than_a_window_holds() -> None:
    """In the interpreter, whose runs keep what a window holds: what was refused must not push it out."""
    model = model_of("gemma2")
    requests = [requests_of(model, 6, 5)[i] for i in (3, 5)]
    engine = Engine(model)
    window = engine.memory.layout.narrowest
    assert window is not None
    assert window < sequence_module.MOST
    expected = found(Engine(model).run([replace(r, speculation=False) for r in requests]))
    assert found(engine.run(requests)) == expected
    assert engine.counters.accepted_tokens < engine.counters.drafted_tokens


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_embeddings_have_nothing_to_try(pooling: str) -> None:
    model = model_of("stdlib-140k")
    plain = Request((5, 6, 7, 8) * 4 + (5,), pooling=pooling)  # type: ignore[arg-type]
    limits = Limits(rows=16)  # the last token runs alone
    (expected,) = Engine(model, limits).run([plain])
    (tried,) = Engine(model, limits).run([replace(plain, speculation=True)])
    assert expected.embedding is not None
    assert tried.embedding is not None
    assert tried.embedding.tobytes() == expected.embedding.tobytes()


@pytest.mark.parametrize("second", ["stdlib-140k", "gru-106k"])
def test_a_second_model_proposes_and_changes_no_bit(second: str) -> None:
    model = model_of("stdlib-140k")
    requests = requests_of(model, 10, 3)
    expected = found(Engine(model).run([replace(r, speculation=False) for r in requests]))
    alone, engine = Engine(model), Engine(model, draft=model_of(second))
    assert found(alone.run(requests)) == expected
    assert found(engine.run(requests)) == expected
    assert found(engine.run(requests)) == expected
    assert engine.counters.drafted_tokens > 2 * alone.counters.drafted_tokens
    assert engine._draft is not None
    assert not engine._draft._states
    if second == "stdlib-140k":  # of a model's own greedy proposals most are right
        greedy = replace(requests[0], sampling=Sampling(), max_tokens=30, ignore_end=True)
        before = replace(engine.counters)
        engine.run([greedy])
        drafted = engine.counters.drafted_tokens - before.drafted_tokens
        assert engine.counters.accepted_tokens - before.accepted_tokens > 0.5 * drafted
        assert engine.counters.steps - before.steps < 20


def test_a_second_model_that_overflows_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would have to read the whole text again for every token."""
    model = model_of("stdlib-140k")
    requests = [replace(r, ignore_end=True, max_tokens=20) for r in requests_of(model, 2, 3)]
    expected = found(Engine(model).run([replace(r, speculation=False) for r in requests]))
    engine = Engine(model, draft=model)
    asked = []

    def overflowing(tokens: np.ndarray, cache: object) -> int:
        asked.append(len(tokens))
        raise NotFinite("overflow")

    monkeypatch.setattr(engine._draft, "_best", overflowing)
    assert found(engine.run(requests)) == expected
    assert 0 < len(asked) <= len(requests)
    assert engine._draft is not None
    assert not engine._draft._overflowed


def test_a_second_model_needs_the_same_vocabulary() -> None:
    with pytest.raises(InvalidInput, match=r"`draft`.*vocabulary of"):
        Engine(model_of("stdlib-140k"), draft=model_of("llama"))


@settings(max_examples=200)
@given(tokens=st.lists(st.integers(0, 3), min_size=1, max_size=40), most=st.integers(0, 9))
def test_the_latest_that_is_alike_is_found(tokens: list[int], most: int) -> None:
    """By the definition, spelt out."""
    expected: list[int] = []
    for size in range(LONGEST, LEAST - 1, -1):
        ends = [e for e in range(size, len(tokens)) if tokens[e - size : e] == tokens[-size:]]
        if len(tokens) > size and ends and most:
            expected = tokens[ends[-1] : ends[-1] + most]
            break
    assert looked_up(np.array(tokens, np.int64), most).tolist() == expected
