"""State is a promise, for every family: nothing that happens to a sequence on its way changes a bit.

What a sequence gives when it runs whole and alone, offline, is what it gives however it is cut,
whoever runs beside it, and whether its states are saved, restored, taken over from another, taken
back, or computed again.  Controls show that each of these would be seen.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hnlpu
from family_builds import FAMILIES, STEP_BY_STEP, made
from hnlpu.errors import NotFinite
from hnlpu.run.emulate import InterpretedModel, LanguageModel, open_language_model
from hnlpu.run.engine import Engine, Limits, Request, Result, Sampling
from hnlpu.run.engine._layout import PAGE
from hnlpu.run.engine._open import layout_of_model
from hnlpu.run.engine._slots import INITIAL
from hybrid import build_hybrid

BUNDLED = Path(__file__).parents[3] / "checkpoints" / "stdlib-8m"
INTERPRETED = " interpreted"
TAPED = [*(name for name in FAMILIES if name not in STEP_BY_STEP), "hybrid"]
NAMES = ["gpt_oss", *TAPED, "mistral" + INTERPRETED, "hybrid" + INTERPRETED]
"""Trained, random and tiny, and one with states of every kind; some without a tape in C."""
FIXED = ("granitemoehybrid", "hybrid")
"""Whose states of fixed size are large beside a page of keys and values."""
LENGTH = 60
every_family = pytest.mark.parametrize("name", NAMES)


@cache
def folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory()


@cache
def model_of(name: str) -> LanguageModel:
    if name.endswith(INTERPRETED):
        model = open_language_model(model_of(name.removesuffix(INTERPRETED)).directory)
        assert isinstance(model.transformer, InterpretedModel)
        model.transformer.taped = None
        return model
    place = Path(folder().name) / name
    if name == "hybrid":
        return open_language_model(build_hybrid(place))
    if name == "gpt_oss":
        return open_language_model(hnlpu.build(BUNDLED, place))
    return open_language_model(made(name).one)


@cache
def sequences(name: str) -> list[list[int]]:
    """Three sequences of tokens: two begin alike, two end alike."""
    random = np.random.default_rng(8)
    first, second = random.integers(2, model_of(name).vocab_size, (2, LENGTH)).tolist()
    return [first, first[:20] + second[20:], second]


@cache
def alone(name: str, number: int) -> np.ndarray:
    """Hidden states [LENGTH, hidden] of a sequence that runs whole."""
    run = model_of(name).transformer
    hidden: np.ndarray = run.forward(np.array(sequences(name)[number]), run.new_cache())
    return hidden


# a sequence by itself: pieces, saving, restoring, taking back

ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.integers(1, 25)),
        st.tuples(st.just("save"), st.just(0)),
        st.tuples(st.just("restore"), st.integers(0, 9)),
        st.tuples(st.just("begin"), st.integers(0, 2)),
        st.tuples(st.just("try"), st.integers(1, 9)),
    ),
    min_size=4, max_size=20,
)  # fmt: skip


@every_family
@settings(max_examples=8)
@given(actions=ACTIONS)
def test_pieces_and_what_is_restored(name: str, actions: list[tuple[str, int]]) -> None:
    run: Any = model_of(name).transformer
    cache_, number, saved = run.new_cache(), 0, []
    for what, count in actions:
        start = cache_.length
        if what == "take":
            tokens = np.array(sequences(name)[number][start : start + count], np.int64)
            if len(tokens):
                hidden = run.forward(tokens, cache_)
                expected = alone(name, number)[start : start + count]
                assert hidden.tobytes() == expected.tobytes()
        elif what == "save":
            saved.append((number, cache_.save()))
        elif what == "restore" and saved:
            number, kept = saved[count % len(saved)]
            cache_.restore(kept)
        elif what == "try":  # tokens that are not the sequence's, taken back without a copy
            mark = cache_.mark()
            run.forward(np.array(sequences(name)[number][:count], np.int64)[::-1], cache_)
            cache_.rewind(mark)
            assert cache_.length == start
        elif what == "begin":
            cache_, number = run.new_cache(), count


@every_family
def test_a_state_that_is_not_restored_is_seen(name: str) -> None:
    run: Any = model_of(name).transformer
    tokens = np.array(sequences(name)[0])
    cache_ = run.new_cache()
    run.forward(tokens[:20], cache_)
    kept, mark = cache_.save(), cache_.mark()
    run.forward(tokens[40:43], cache_)  # and then on without `restore`
    wrong = run.forward(tokens[20:30], cache_)
    assert wrong.tobytes() != alone(name, 0)[20:30].tobytes()
    for back in (lambda: cache_.rewind(mark), lambda: cache_.restore(kept)):
        back()
        right = run.forward(tokens[20:30], cache_)
        assert right.tobytes() == alone(name, 0)[20:30].tobytes()


# many sequences in one engine


@st.composite
def requests(draw: st.DrawFn) -> tuple[int, int, str, int]:
    """Sequence, how many tokens of it, what is asked for, and a seed."""
    kind = draw(st.sampled_from(["greedy", "drawn", "score", "last", "mean"]))
    return draw(st.integers(0, 2)), draw(st.integers(1, LENGTH)), kind, draw(st.integers(0, 2))


def as_request(name: str, asked: tuple[int, int, str, int]) -> Request:
    number, length, kind, seed = asked
    prompt = tuple(sequences(name)[number][:length])
    match kind:
        case "greedy":
            return Request(prompt, max_tokens=6, top_logprobs=2, ignore_end=True)
        case "drawn":
            sampling = Sampling(temperature=1.5, seed=seed)
            return Request(prompt, max_tokens=6, sampling=sampling, ignore_end=True)
        case "score":
            return Request(prompt, max_tokens=0, score_prompt=True)
        case "last":
            return Request(prompt, pooling="last")
        case _:
            return Request(prompt, pooling="mean")


@cache
def offline(name: str, asked: tuple[int, int, str, int]) -> tuple[Any, ...]:
    """What `LanguageModel` says of a request: tokens, log-probabilities, and a vector's bytes."""
    number, length, kind, seed = asked
    model, prompt = model_of(name), sequences(name)[number][:length]
    if kind in ("last", "mean"):
        hidden = alone(name, number)[:length]
        total = np.zeros(hidden.shape[1])
        for row in hidden:
            total += row
        mean = (total / length).astype(np.float32)
        return (), (), (hidden[-1] if kind == "last" else mean).tobytes()
    if kind == "score":
        return (), tuple(model.score(prompt).logprobs) if length > 1 else (), None
    temperature = 1.5 if kind == "drawn" else 0.0
    new = model.generate(prompt, max_tokens=6, temperature=temperature, seed=seed, ignore_end=True)
    tokens = tuple(token.id for token in new)
    scores = model.score([*prompt, *tokens]).logprobs[-6:] if kind == "greedy" else ()
    return tokens, tuple(scores), None


def told(result: Result) -> tuple[Any, ...]:
    """The same of an engine's result."""
    assert result.error is None
    vector = None if result.embedding is None else result.embedding.tobytes()
    scores = tuple(s.logprob for s in (*result.prompt_scores, *result.scores))
    return result.tokens, scores, vector


def small_engine(name: str, pages: int, slots: int, **limits: int) -> Engine:
    layout = layout_of_model(model_of(name))
    size = pages * layout.page_bytes + slots * layout.slot_bytes
    return Engine(model_of(name), Limits(cache_bytes=size, **limits))


@every_family
@settings(max_examples=8)
@given(
    rounds=st.lists(st.lists(requests(), min_size=1, max_size=7), min_size=1, max_size=3),
    rows=st.integers(1, 80),
    together=st.integers(1, 7),
    pages=st.integers(5, 20),
    slots=st.integers(2, 30),
)
def test_company_pieces_reuse_and_preemption(
    name: str, rounds: list[Any], rows: int, together: int, pages: int, slots: int
) -> None:
    if name.startswith("hybrid"):
        slots += pages + 2
    engine = small_engine(name, pages, slots, rows=rows, sequences=together)
    for batch in rounds:
        results = engine.run([as_request(name, asked) for asked in batch])
        for asked, result in zip(batch, results, strict=True):
            assert told(result) == offline(name, asked)
    assert engine.memory.pool.in_use == engine.memory.slots.in_use == 0


@every_family
def test_what_is_taken_over_and_taken_back(name: str) -> None:
    """A longer sequence, then beginnings of it: their states are found, not computed."""
    engine = Engine(model_of(name))
    for length in (LENGTH, 50, 33, 17, 49, LENGTH):
        before = engine.counters.reused_tokens
        for kind in ("last", "greedy"):
            asked = (0, length, kind, 0)
            (result,) = engine.run([as_request(name, asked)])
            assert told(result) == offline(name, asked)
        if length < LENGTH:
            assert engine.counters.reused_tokens - before == 2 * ((length - 1) // PAGE) * PAGE
    for number, shared in ((1, PAGE), (2, 0)):  # one begins alike, and one ends like that one
        asked = (number, 50, "last", 0)
        before = engine.counters.reused_tokens
        (result,) = engine.run([as_request(name, asked)])
        assert told(result) == offline(name, asked)
        assert engine.counters.reused_tokens - before == shared


@pytest.mark.parametrize("name", ["mamba2", "hybrid"])
def test_a_long_prompt_leaves_snapshots_where_others_are_cut_too(name: str) -> None:
    model = model_of(name)
    tokens = np.random.default_rng(4).integers(2, model.vocab_size, 230).tolist()
    engine = Engine(model)
    for shared, reused in ((200, 0), (150, 128), (190, 144), (199, 192)):
        prompt = (*tokens[:shared], 1, 1, 1)
        before = engine.counters.reused_tokens
        (result,) = engine.run([Request(prompt, max_tokens=0, pooling="last")])
        assert engine.counters.reused_tokens - before == reused
        run = model.transformer
        expected = run.forward(np.array(prompt), run.new_cache(), last=True)
        assert result.embedding is not None
        assert result.embedding.tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", [*NAMES, *STEP_BY_STEP])
def test_who_gives_way_loses_no_bit(name: str) -> None:
    """Memory for little more than one at a time: others wait, or begin again."""
    paged = bool(layout_of_model(model_of(name)).paged)
    asked = [(n % 3, 40 + n, "greedy", 0) for n in range(6)]
    engine = small_engine(name, 8, 20 if name.startswith(FIXED) else 4, sequences=6)
    results = engine.run([as_request(name, one) for one in asked])
    assert [told(result) for result in results] == [offline(name, one) for one in asked]
    if paged:
        assert engine.counters.preemptions > 0


@every_family
@pytest.mark.parametrize("what", ["pages", "slots"])
def test_a_state_that_was_spoilt_is_seen(name: str, what: str) -> None:
    """The control of reuse: what is filed is what is read."""
    asked = (0, 50, "last", 0)
    engine = small_engine(name, 10, 40)
    for _ in range(2):
        (result,) = engine.run([as_request(name, asked)])
        assert told(result) == offline(name, asked)
    memory = engine.memory
    if what == "pages":
        for stack in memory.stacks:
            stack[:] = 0
    for whole in memory.whole.values() if what == "slots" else ():
        whole[INITIAL + 1 :] = whole[INITIAL]
    (result,) = engine.run([as_request(name, asked)])
    assert engine.counters.reused_tokens == 2 * 48
    spoilt = bool(memory.layout.paged if what == "pages" else memory.layout.whole)
    assert (told(result) != offline(name, asked)) == spoilt


@every_family
def test_a_run_that_fails_leaves_states_as_they_were(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who made the model overflow is found by running each alone: from the same states."""
    engine = Engine(model_of(name), Limits(rows=9))
    forward, failed = engine._batched.forward, []

    def fails_in_company(rows: Any, memory: Any, wanted: Any) -> Any:
        found = forward(rows, memory, wanted)
        if len(rows.tables) > 1:
            failed.append(rows)
            raise NotFinite("made up")
        return found

    monkeypatch.setattr(engine._batched, "forward", fails_in_company)
    asked = [(n, 30 + n, "greedy", 0) for n in range(3)]
    results = engine.run([as_request(name, one) for one in asked])
    assert [told(result) for result in results] == [offline(name, one) for one in asked]
    assert failed
    assert engine.memory.slots.in_use == 0


def test_a_tape_is_used_where_there_is_one() -> None:
    runs = {name: type(Engine(model_of(name))._batched.plain).__name__ for name in NAMES}
    taped = dict.fromkeys(["gpt_oss", *TAPED], "BatchedTape")
    interpreted = dict.fromkeys([n for n in NAMES if INTERPRETED in n], "BatchedInterpreter")
    assert runs == {**taped, **interpreted}


@pytest.mark.parametrize("name", ["qwen3_moe", "gru"])
def test_experts_that_fire_are_told_by_either(name: str) -> None:
    """By a tape as by the interpreter, in any company."""
    told_by = []
    for taped in (True, False):
        model = open_language_model(model_of(name).directory)
        assert isinstance(model.transformer, InterpretedModel)
        if not taped:
            model.transformer.taped = None
        ask = [
            Request(tuple(tokens[:n]), max_tokens=4, ignore_end=True, trace_experts=True)
            for tokens, n in zip(sequences(name), (35, 3, 20), strict=True)
        ]
        results = Engine(model, Limits(rows=11)).run(ask)
        told_by.append([np.array(r.experts) for r in results])
    for one, other in zip(*told_by, strict=True):
        assert np.array_equal(one, other)
        assert one.shape[0] == 4
        assert (one.size > 0) == (name == "qwen3_moe")
