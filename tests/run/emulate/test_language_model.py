"""Generating and scoring: what must hold for any model."""

import json
import math

import numpy as np
import pytest
import threadpoolctl

import hnlpu
from helpers import write_checkpoint
from hnlpu.errors import InvalidInput, TokenizerMissing
from hnlpu.run.emulate import one_blas_thread, open_language_model
from hnlpu.run.emulate._language_model import score_windows
from hnlpu.run.emulate._taped import SequenceMemory

TOKENS = np.random.default_rng(1).integers(0, 97, 150).tolist()


@pytest.fixture(scope="module")
def hardwired(tiny_build):
    return open_language_model(tiny_build)


@pytest.mark.parametrize("chunks", [[1] * 150, [7, 1, 100, 42], [3, 147]])
def test_how_tokens_arrive_changes_no_bit(hardwired, chunks):
    """Prefill and decode, by either kernel, give the same float32 logits."""
    run = hardwired.transformer
    whole = run.logits(run.forward(np.array(TOKENS), run.new_cache()))
    cache, pieces, at = run.new_cache(), [], 0
    for size in chunks:
        hidden = run.forward(np.array(TOKENS[at : at + size]), cache)
        pieces.append(np.concatenate([run.logits(row[None]) for row in hidden]))
        at += size
    assert np.concatenate(pieces).tobytes() == whole.tobytes()


def test_what_a_sequence_keeps_stays_and_its_room_grows_by_a_quarter(hardwired):
    taped = hardwired.transformer.taped
    memory, capacities = SequenceMemory(taped), []
    keys, values = (
        next(s.name for s in taped.tape.states if s.how == how) for how in ("keys", "values")
    )
    for position in range(700):
        memory.reserve(position + 1)
        capacities.append(memory.arrays[values].shape[2])
        memory.arrays[keys][..., position] = position + 1
        memory.arrays[values][:, :, position] = position + 1
        laid = memory.memory().states
        assert all(
            a is memory.arrays[s.name] for a, s in zip(laid.arrays, taped.tape.states, strict=True)
        )
    assert list(dict.fromkeys(capacities)) == [64, 128, 192, 256, 320, 448, 576, 768]
    expected = np.arange(1, 769) * (np.arange(768) < 700)
    assert (memory.arrays[keys] == expected).all()
    assert (memory.arrays[values] == expected[:, None]).all()


def test_score_is_the_log_softmax_of_the_logits(hardwired):
    run = hardwired.transformer
    logits = run.logits(run.forward(np.array(TOKENS), run.new_cache())).astype(np.float64)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    score = hardwired.score(TOKENS, top=3)
    expected = [log_p[i, t] for i, t in enumerate(TOKENS[1:])]
    assert score.logprobs == pytest.approx(expected, abs=1e-9)
    assert score.nll == pytest.approx(-np.mean(expected))
    assert score.perplexity == pytest.approx(math.exp(score.nll))
    assert [[t for t, _ in best] for best in score.top] == [
        np.argsort(-row, kind="stable")[:3].tolist() for row in log_p[:-1]
    ]


@pytest.mark.parametrize(("n", "limit"), [(2, 2), (10, 2), (10, 4), (10, 10), (11, 5), (100, 7)])
def test_windows_score_every_token_once(n, limit):
    scored = []
    for start, first, end in score_windows(n, limit):
        assert 0 <= start < first < end <= n
        assert end - start <= limit
        if start:
            assert first - start >= limit // 2
        scored += range(first, end)
    assert scored == list(range(1, n))


def test_long_texts_are_scored_in_windows(hardwired):
    whole = hardwired.score(TOKENS)
    pieces = hardwired.score(TOKENS, context=64)
    assert len(pieces.logprobs) == len(whole.logprobs) == 149
    assert pieces.logprobs[:63] == whole.logprobs[:63]
    last = hardwired.score(TOKENS[-64:])
    assert pieces.logprobs[-10:] == last.logprobs[-10:]


def test_greedy_is_the_argmax_and_the_cache_grows(hardwired):
    run = hardwired.transformer
    new = [t.id for t in hardwired.generate([5, 6], max_tokens=100, ignore_end=True)]
    assert len(new) == 100
    cache = run.new_cache()
    logits = run.logits(run.forward(np.array([5, 6, *new]), cache))
    assert new == logits[1:-1].argmax(1).tolist()


def test_sampling_repeats_with_its_seed_and_only_then(hardwired):
    def sample(seed):
        tokens = hardwired.generate([1], max_tokens=40, temperature=1.5, seed=seed, ignore_end=True)
        return [t.id for t in tokens]

    assert sample(3) == sample(3)
    assert sample(3) != sample(4)


def test_sampling_follows_the_distribution(hardwired):
    run = hardwired.transformer
    logits = run.logits(run.forward(np.array([9]), run.new_cache()))[0].astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum()
    drawn = np.bincount(
        [
            next(
                iter(hardwired.generate([9], max_tokens=1, temperature=1, seed=s, ignore_end=True))
            ).id
            for s in range(1500)
        ],
        minlength=97,
    )
    deviation = (drawn - 1500 * expected) / np.sqrt(1500 * expected * (1 - expected) + 1)
    assert np.abs(deviation).max() < 4.5


def test_generation_ends_at_the_end_token(hardwired, monkeypatch):
    first = [t.id for t in hardwired.generate([5], max_tokens=9, ignore_end=True)]
    changed = hardwired.transformer.architecture.model_copy(update={"eos_token_ids": (first[4],)})
    monkeypatch.setattr(hardwired.transformer, "architecture", changed)
    stopped = [t.id for t in hardwired.generate([5], max_tokens=9)]
    assert stopped == first[: first.index(first[4])]


def test_float_activations_lie_closer_to_the_float_model(tiny_checkpoint, tiny_build):
    base = np.array(open_language_model(tiny_checkpoint).score(TOKENS).logprobs)
    free = np.array(open_language_model(tiny_build, float_activations=True).score(TOKENS).logprobs)
    assert 0 < np.abs(free - base).mean() < 0.5


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.generate([]),
        lambda m: m.generate([97]),
        lambda m: m.generate([-1]),
        lambda m: m.generate([1.5]),
        lambda m: m.generate([True]),
        lambda m: m.generate([[1, 2], [3, 4]]),
        lambda m: m.generate(b"12"),
        lambda m: m.generate([2**70]),
        lambda m: m.generate([1], max_tokens=-1),
        lambda m: m.generate([1], temperature=-0.1),
        lambda m: m.generate([1], temperature=math.nan),
        lambda m: m.generate([1], seed=-1),
        lambda m: m.score([1]),
        lambda m: m.score([1, 2], context=1),
        lambda m: m.score([1, 2], context=0),
        lambda m: m.score([1, 2], top=98),
        lambda m: m.score([1, 2], top=-1),
    ],
)
def test_nonsense_is_refused_before_anything_runs(hardwired, call):
    with pytest.raises(InvalidInput):
        call(hardwired)


def test_text_needs_a_tokenizer(hardwired):
    with pytest.raises(TokenizerMissing, match="`tokens`"):
        hardwired.generate("text")


def test_a_checkpoint_has_no_rounded_activations(tiny_checkpoint):
    with pytest.raises(InvalidInput, match="float already"):
        open_language_model(tiny_checkpoint, float_activations=True)


def test_a_damaged_tokenizer_does_not_keep_ids_from_working(tmp_path):
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    (checkpoint / "tokenizer.json").write_text("{")
    model = open_language_model(checkpoint)
    tokens = list(model.generate([1, 2], max_tokens=3, ignore_end=True))
    assert [t.text for t in tokens] == ["", "", ""]
    with pytest.raises(TokenizerMissing, match="not a readable tokenizer"):
        model.generate("text")


def test_end_tokens_come_from_the_generation_settings(tmp_path):
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    first = [t.id for t in open_language_model(checkpoint).generate([5], max_tokens=6)]
    (checkpoint / "generation_config.json").write_text(json.dumps({"eos_token_id": [first[2]]}))
    model = open_language_model(hnlpu.build(checkpoint, tmp_path / "build"))
    assert model.transformer.architecture.eos_token_ids == (first[2],)
    stopped = [t.id for t in open_language_model(checkpoint).generate([5], max_tokens=6)]
    assert stopped == first[: first.index(first[2])]


def test_overlapping_limits_of_blas_threads_are_all_undone():
    def threads():
        pools = threadpoolctl.threadpool_info()
        return {p["num_threads"] for p in pools if p["user_api"] == "blas"}

    before = threads()
    first, second = one_blas_thread(), one_blas_thread()
    first.__enter__()
    second.__enter__()
    assert threads() <= {1}
    first.__exit__(None, None, None)
    assert threads() <= {1}
    second.__exit__(None, None, None)
    assert threads() == before
