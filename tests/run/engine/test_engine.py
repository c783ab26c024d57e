"""The engine: what a request gets is what it would get alone, to the bit."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hnlpu
from elman import ELMAN, write_elman
from hnlpu.errors import InvalidInput, NotFinite
from hnlpu.model.families import open_family
from hnlpu.run.emulate import open_language_model
from hnlpu.run.engine import Engine, Limits, Request, Sampling, likelihoods
from hnlpu.run.engine._open import layout_of_model

RANDOM = np.random.default_rng(5)
BEGINNINGS = [RANDOM.integers(3, 97, 40).tolist() for _ in range(3)]


@st.composite
def requests(draw):
    """Requests that often begin alike, of every kind."""
    beginning = draw(st.sampled_from(BEGINNINGS))[: draw(st.integers(1, 40))]
    prompt = (*beginning, *draw(st.lists(st.integers(0, 96), max_size=3)))
    pooling = draw(st.sampled_from([None, None, None, "mean", "last"]))
    sampling = Sampling(
        temperature=draw(st.sampled_from([0.0, 0.7, 1.5])),
        top_p=draw(st.sampled_from([1.0, 0.8])),
        top_k=draw(st.sampled_from([0, 5])),
        seed=draw(st.integers(0, 3)),
        presence_penalty=draw(st.sampled_from([0.0, 0.5])),
        frequency_penalty=draw(st.sampled_from([0.0, -0.5])),
        logit_bias=draw(st.sampled_from([{}, {7: 3.0}])),
    )
    return Request(
        prompt,
        max_tokens=draw(st.integers(0, 12)),
        sampling=sampling,
        stop=draw(st.sampled_from([(), ("a", "bc")])),
        stop_tokens=draw(st.sampled_from([(), (11, 12)])),
        top_logprobs=draw(st.sampled_from([None, 0, 3])),
        score_prompt=draw(st.booleans()),
        pooling=pooling,
    )


def same(one, other):
    """Equal to the bit, embeddings too."""
    bits = [None if r.embedding is None else r.embedding.tobytes() for r in (one, other)]
    return bits[0] == bits[1] and vars(one) | {"embedding": 0} == vars(other) | {"embedding": 0}


@pytest.fixture(scope="module")
def alone(model):
    """The result of a request that has an engine for itself, each computed once."""
    known = {}

    def result(request):
        key = repr(request)
        if key not in known:
            known[key] = Engine(model, Limits(rows=4096)).run([request])[0]
        return known[key]

    return result


@settings(max_examples=25)
@given(
    batch=st.lists(requests(), min_size=1, max_size=12),
    rows=st.integers(1, 64),
    sequences=st.integers(1, 12),
    pages=st.integers(4, 24),
)
def test_neighbours_chunks_and_preemptions_change_no_bit(
    model, alone, batch, rows, sequences, pages
):
    size = pages * layout_of_model(model).page_bytes
    engine = Engine(model, Limits(rows=rows, sequences=sequences, cache_bytes=size))
    for request, result in zip(batch, engine.run(batch), strict=True):
        assert same(result, alone(request))
    assert engine.memory.pool.in_use == 0


def test_one_among_fifty(model, alone):
    requests = [
        Request(
            tuple(RANDOM.integers(3, 97, size=int(RANDOM.integers(1, 60))).tolist()),
            max_tokens=20,
            sampling=Sampling(temperature=float(i % 3) / 2, seed=i),
            top_logprobs=2,
        )
        for i in range(51)
    ]
    for request, result in zip(requests, Engine(model).run(requests), strict=True):
        assert same(result, alone(request))


@pytest.mark.parametrize(("temperature", "seed"), [(0.0, 0), (0.8, 3), (1e-300, 1)])
def test_it_generates_what_the_language_model_generates(model, temperature, seed):
    prompts = ["def f(x):", "import ", "a"]
    sampling = Sampling(temperature=temperature, seed=seed)
    requests = [
        Request(tuple(model.encode(p).tolist()), max_tokens=40, sampling=sampling) for p in prompts
    ]
    for prompt, result in zip(prompts, Engine(model, Limits(rows=5)).run(requests), strict=True):
        expected = list(model.generate(prompt, max_tokens=40, temperature=temperature, seed=seed))
        ended = result.reason == "stop"
        assert list(result.tokens)[: len(result.tokens) - ended] == [t.id for t in expected]
        assert result.text == "".join(t.text for t in expected)
        assert ended == (len(expected) < 40)


@pytest.mark.parametrize("rows", [3, 512])
def test_it_scores_what_the_language_model_scores(model, rows):
    tokens = RANDOM.integers(0, 97, 150).tolist()
    request = Request(tuple(tokens), max_tokens=0, score_prompt=True, top_logprobs=2)
    (result,) = Engine(model, Limits(rows=rows)).run([request])
    expected = model.score(tokens, top=2)
    assert [s.logprob for s in result.prompt_scores] == expected.logprobs
    assert [list(s.top) for s in result.prompt_scores] == expected.top
    assert [s.token for s in result.prompt_scores] == tokens[1:]


def test_logprobs_of_new_tokens_are_those_of_scoring_them(model):
    request = Request((5, 6, 7), max_tokens=30, top_logprobs=3, ignore_end=True)
    (result,) = Engine(model).run([request])
    expected = model.score([5, 6, 7, *result.tokens], top=3)
    assert [s.logprob for s in result.scores] == expected.logprobs[2:]
    assert [list(s.top) for s in result.scores] == expected.top[2:]


def test_likelihoods_of_continuations(model):
    """Against `LanguageModel.score`; a context that is too long loses its beginning."""
    engine = Engine(model, Limits(context=64))
    tokens = RANDOM.integers(3, 97, 150).tolist()
    greedy = list(
        engine.run([Request(tuple(tokens[:20]), max_tokens=5, ignore_end=True)])[0].tokens
    )
    pairs = [(tokens[:20], tokens[20:30]), (tokens[:140], tokens[140:]), (tokens[:20], greedy)]
    found = likelihoods(engine, pairs)
    for (context, continuation), likelihood in zip(pairs, found, strict=True):
        expected = model.score([*context, *continuation][-64:]).logprobs[-len(continuation) :]
        assert likelihood.logprob == math.fsum(expected)
    assert [likelihood.greedy for likelihood in found] == [False, False, True]
    for bad in (([], [1]), ([1], []), ([1], [1] * 64)):
        with pytest.raises(InvalidInput):
            likelihoods(engine, [bad])


def test_embeddings_are_the_mean_and_the_last_of_the_hidden_states(model):
    tokens = RANDOM.integers(0, 97, 50)
    hidden = model.transformer.forward(tokens, model.transformer.new_cache())
    prompt = tuple(tokens.tolist())
    mean, last = Engine(model, Limits(rows=7)).run(
        [Request(prompt, pooling="mean"), Request(prompt, pooling="last")]
    )
    assert last.embedding.tobytes() == hidden[-1].tobytes()
    np.testing.assert_allclose(mean.embedding, hidden.astype(np.float64).mean(0), rtol=1e-6)


def test_what_begins_alike_is_computed_once(model):
    engine = Engine(model)
    prompt = tuple(RANDOM.integers(3, 97, 100).tolist())
    first = engine.run([Request(prompt, max_tokens=5)])[0]
    assert engine.counters.reused_tokens == 0
    again = engine.run([Request(prompt, max_tokens=5)])[0]
    assert same(first, again)
    assert engine.counters.reused_tokens == 96
    assert engine.counters.prompt_tokens == 104
    # the answer is part of what the next turn begins with
    turn = (*prompt, *first.tokens, *RANDOM.integers(3, 97, 40).tolist())
    engine.run([Request(turn, max_tokens=1)])
    assert engine.counters.reused_tokens == 96 + 96


def test_a_step_runs_no_more_rows_than_it_may_and_answers_go_first(model):
    engine = Engine(model, Limits(rows=10))
    answering = engine.submit(Request((5,), max_tokens=30, ignore_end=True))
    engine.step()
    engine.submit(Request(tuple(range(3, 90)), max_tokens=1))
    for _ in range(9):  # 87 tokens of prompt, nine at a time beside the other's token
        before = engine.counters.rows
        assert answering in [u.request for u in engine.step()]
        assert engine.counters.rows - before <= 10


def test_every_answer_under_way_gets_a_token_in_every_step(model):
    engine = Engine(model, Limits(rows=3))
    for i in range(5):
        engine.submit(Request((5, 6, 7, i), max_tokens=5, ignore_end=True))
    last = {}
    step = 0
    while engine.busy:
        for update in engine.step():
            assert last.get(update.request, step - 1) == step - 1
            last[update.request] = step
        assert engine.running <= 3
        step += 1


def test_too_few_pages_make_the_youngest_wait_again(model, alone):
    size = 8 * layout_of_model(model).page_bytes
    engine = Engine(model, Limits(cache_bytes=size))
    batch = [
        Request(tuple(RANDOM.integers(3, 97, 20).tolist()), max_tokens=60, ignore_end=True)
        for _ in range(4)
    ]
    for request, result in zip(batch, engine.run(batch), strict=True):
        assert same(result, alone(request))
    assert engine.counters.preemptions > 0


def test_cancelled_requests_end_and_give_back_what_they_held(model, alone):
    engine = Engine(model, Limits(sequences=2))
    going = Request((5, 6), max_tokens=20, ignore_end=True)
    idents = [engine.submit(Request((5, i), max_tokens=50, ignore_end=True)) for i in (7, 8)]
    last = engine.submit(going)
    engine.step()
    for ident in idents:
        engine.cancel(ident)
    updates = engine.step()
    assert [u.request for u in updates if u.reason == "cancelled"] == idents
    told = [u for u in updates if u.request == last]
    while engine.busy:
        told += engine.step()
    assert tuple(u.token for u in told) == alone(going).tokens
    assert engine.memory.pool.in_use == 0
    engine.cancel(idents[0])  # long gone: nothing happens


def test_stop_tokens_and_end_tokens_are_told_but_spell_nothing(model):
    free = Engine(model).run([Request((5, 6), max_tokens=20, ignore_end=True)])[0]
    stop = free.tokens[7]
    at = free.tokens.index(stop)
    (result,) = Engine(model).run(
        [Request((5, 6), max_tokens=20, ignore_end=True, stop_tokens=(stop,))]
    )
    assert result.tokens == free.tokens[: at + 1]
    assert result.reason == "stop"
    assert result.text == model.tokenizer.decode(free.tokens[:at])


def test_a_stop_string_cuts_the_text(model):
    (free,) = Engine(model).run([Request((5, 6), max_tokens=30, ignore_end=True)])
    stop = free.text[10:13]
    (result,) = Engine(model).run(
        [Request((5, 6), max_tokens=30, ignore_end=True, stop=(stop, "never in there"))]
    )
    assert result.reason == "stop"
    assert result.text == free.text[: free.text.index(stop)]


def test_the_experts_that_fired_are_told(model):
    engine, architecture = Engine(model), model.transformer.architecture
    engine.submit(Request((5,), max_tokens=4, ignore_end=True, trace_experts=True))
    updates = []
    while engine.busy:
        updates += engine.step()
    assert len(updates) == 4
    for update in updates:
        assert update.experts.shape == (
            architecture.num_hidden_layers,
            architecture.num_experts_per_tok,
        )
        assert update.experts.max() < architecture.num_local_experts


class Overflowing:
    """The transformer's constants, but for one token whose embedding is infinite."""

    def __init__(self, constants, token):
        self._constants, self._token = constants, token

    def __getattr__(self, name):
        return getattr(self._constants, name)

    def rows(self, name, tokens):
        rows = self._constants.rows(name, tokens).copy()
        rows[tokens == self._token] = np.inf
        return rows


def test_a_model_that_overflows_fails_only_who_made_it(spoken_build):
    model = open_language_model(spoken_build)
    engine = Engine(model)
    early = model.transformer.taped._early
    early._constants = Overflowing(early._constants, 50)
    good = Request((5, 6, 7), max_tokens=5)
    first, bad, second = engine.run([good, Request((5, 50), max_tokens=5), good])
    assert bad.reason == "error"
    assert "NaN or infinite" in str(bad.error)
    assert same(first, second)
    with pytest.raises(NotFinite):
        list(model.generate([5, 50], max_tokens=1))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"prompt": ()}, "prompt is empty"),
        ({"prompt": (97,)}, "outside of the vocabulary"),
        ({"prompt": (True,)}, "not a whole number"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 10**9}, "exceeds the context"),
        ({"top_logprobs": 98}, "logprobs"),
        ({"stop": ("",)}, "empty string"),
        ({"sampling": Sampling(temperature=-0.1)}, "temperature"),
        ({"sampling": Sampling(temperature=float("nan"))}, "temperature"),
        ({"sampling": Sampling(temperature=float("inf"))}, "temperature"),
        ({"sampling": Sampling(top_p=-0.1)}, "top_p"),
        ({"sampling": Sampling(top_p=1.1)}, "top_p"),
        ({"sampling": Sampling(top_k=-2)}, "top_k"),
        ({"sampling": Sampling(seed=-1)}, "seed"),
        ({"sampling": Sampling(presence_penalty=2.1)}, "presence_penalty"),
        ({"sampling": Sampling(frequency_penalty=float("nan"))}, "frequency_penalty"),
        ({"sampling": Sampling(logit_bias={97: 1.0})}, "logit_bias"),
        ({"sampling": Sampling(logit_bias={1: 101.0})}, "logit_bias"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(model, change, what):
    with pytest.raises(InvalidInput, match=what):
        Engine(model).submit(Request(**({"prompt": (1,)} | change)))


def test_a_model_in_float32_is_refused(tiny_checkpoint):
    with pytest.raises(InvalidInput, match="float sums depend on the batch"):
        Engine(open_language_model(tiny_checkpoint))


def test_limits_that_make_no_sense_are_refused(model):
    for limits in (Limits(rows=0), Limits(sequences=0), Limits(context=0), Limits(cache_bytes=1)):
        with pytest.raises(InvalidInput):
            Engine(model, limits)


def test_embeddings_need_hidden_states(tmp_path):
    """A family of a user's own whose logits are no product of a matrix."""
    write_elman(tmp_path / "checkpoint")
    bounded = ELMAN.replace("unembed(x, c.vocab_size)", "unembed(x, c.vocab_size).table('tanh')")
    (tmp_path / "family.py").write_text(bounded)
    family = open_family(tmp_path / "family.py")
    built = hnlpu.build(tmp_path / "checkpoint", tmp_path / "build", family=family)
    engine = Engine(open_language_model(built))
    with pytest.raises(InvalidInput, match="embeddings: the network has no hidden states"):
        engine.submit(Request((1, 2), pooling="last"))
    (result,) = engine.run([Request((1, 2, 3), max_tokens=3)])
    expected = [t.id for t in engine.model.generate([1, 2, 3], max_tokens=3)]
    assert list(result.tokens) == expected
