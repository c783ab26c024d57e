"""Sampling controls against their definitions, spelt out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hnlpu.errors import InvalidInput
from hnlpu.run.emulate import _sampling, ranked, softmax_weights
from hnlpu.run.engine import Sampling
from hnlpu.run.engine._sampler import Sampler

LOGITS = st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=12).map(
    lambda values: np.array(values, np.float32)
)


def possible(logits, top_k, top_p):
    """Ids that may be drawn, by the textbook: sort, cut, cut."""
    ranked = sorted(range(len(logits)), key=lambda i: (-logits[i], i))
    if top_k:
        ranked = ranked[:top_k]
    p = np.exp(logits[ranked].astype(np.float64))
    p /= p.sum()
    reached = [float(p[: i + 1].sum()) for i in range(len(p))]
    enough = next((i for i, total in enumerate(reached) if total >= top_p - 1e-12), len(p) - 1)
    return set(ranked[: enough + 1])


@given(
    logits=LOGITS,
    top_k=st.integers(0, 12),
    top_p=st.sampled_from([0.01, 0.3, 0.75, 0.95, 1.0]),
    seed=st.integers(0, 20),
)
def test_only_tokens_within_top_k_and_top_p_are_taken(logits, top_k, top_p, seed):
    sampler = Sampler(Sampling(temperature=1.0, top_k=top_k, top_p=top_p, seed=seed), None)
    assert sampler.take(logits) in possible(logits, top_k, top_p)


@given(
    values=st.lists(st.integers(-3, 3), min_size=1, max_size=40),
    least=st.integers(1, 50),
)
def test_a_part_is_ranked_as_the_whole_is(values, least):
    values = np.array(values, np.float32)
    whole = np.argsort(-values, kind="stable").tolist()
    part = ranked(values, least).tolist()
    assert part == whole[: len(part)]
    assert len(part) >= min(least, len(values))


@pytest.mark.parametrize("top_p", [0.5, 0.9, 0.999])
@pytest.mark.parametrize("top_k", [0, 1500])
def test_a_large_vocabulary_is_cut_as_a_small_one(monkeypatch, top_p, top_k):
    """Sorting a part first gives what sorting everything gives."""
    random = np.random.default_rng(1)
    for scale in (0.1, 3.0):  # flat: more than the part is needed; peaked: less
        logits = (scale * random.standard_normal(5000)).astype(np.float32)
        tokens = []
        for first in (1024, 10**6):
            monkeypatch.setattr(_sampling, "SORTED_FIRST", first)
            sampling = Sampling(temperature=1.0, top_p=top_p, top_k=top_k, seed=3)
            sampler = Sampler(sampling, None)
            tokens.append([sampler.take(logits) for _ in range(20)])
        assert tokens[0] == tokens[1]


def test_draws_follow_the_distribution():
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
    sampler = Sampler(Sampling(temperature=1.0, top_k=3, seed=1), None)
    counts = np.bincount([sampler.take(logits) for _ in range(20_000)], minlength=4)
    expected = np.array([0.5, 0.3, 0.15, 0]) / 0.95
    # four standard deviations of a share of 20 000 draws are below 0.0142
    np.testing.assert_allclose(counts / 20_000, expected, atol=0.0142)
    assert counts[3] == 0


@given(logits=LOGITS, seed=st.integers(0, 5))
def test_controls_that_cut_nothing_change_nothing(logits, seed):
    free = Sampler(Sampling(temperature=0.9, seed=seed), None)
    wide = Sampler(Sampling(temperature=0.9, seed=seed, top_k=100, logit_bias={0: 0.0}), None)
    assert [free.take(logits) for _ in range(5)] == [wide.take(logits) for _ in range(5)]


def test_penalties_count_what_was_taken():
    logits = np.array([3.0, 2.0, 1.0], np.float32)
    presence = Sampler(Sampling(presence_penalty=1.5), None)
    # 0 falls to 1.5, then 1 falls to 0.5, then 0 leads again and falls no further
    assert [presence.take(logits) for _ in range(4)] == [0, 1, 0, 0]
    frequency = Sampler(Sampling(frequency_penalty=1.5), None)
    # 3, 2, 1 less 1.5 each time a token was taken
    assert [frequency.take(logits) for _ in range(5)] == [0, 1, 0, 2, 1]
    assert logits.tolist() == [3.0, 2.0, 1.0]


def test_bias_forbids_and_commands():
    logits = np.array([3.0, 2.0, 1.0], np.float32)
    assert Sampler(Sampling(logit_bias={0: -100.0}), None).take(logits) == 1
    assert Sampler(Sampling(logit_bias={2: 100.0}), None).take(logits) == 2


class Letters:
    """A constraint: tokens 1, 2, 1, 2, four in all."""

    def __init__(self):
        self.taken = []

    def allowed(self):
        mask = np.zeros(3, bool)
        mask[1 + len(self.taken) % 2] = True
        return mask

    def accept(self, token):
        self.taken.append(token)

    def finished(self):
        return len(self.taken) == 4


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_constraint_is_kept(temperature):
    letters = Letters()
    sampler = Sampler(Sampling(temperature=temperature), letters)
    logits = np.array([9.0, 0.0, 0.0], np.float32)
    while not sampler.finished:
        sampler.take(logits)
    assert letters.taken == [1, 2, 1, 2]


def taken(logits, n=1, prompt=(), **settings):
    sampler = Sampler(Sampling(**settings), None, prompt)
    return [sampler.take(np.asarray(logits, np.float32)) for _ in range(n)]


@given(st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=40), st.integers(0, 2**40))
def test_a_top_p_of_nothing_is_the_best(logits, seed):
    assert taken(logits, temperature=1.0, top_p=0.0, seed=seed) == [
        int(np.argmax(np.float32(logits)))
    ]


@given(
    st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=40),
    st.floats(0.01, 1), st.floats(0.1, 5), st.integers(0, 2**40),
)  # fmt: skip
def test_min_p_drops_what_is_far_below_the_best(logits, min_p, temperature, seed):
    weights = softmax_weights(np.float32(logits), temperature)
    (token,) = taken(logits, temperature=temperature, min_p=min_p, seed=seed)
    assert weights[token] >= min_p * weights.max()


@given(
    st.lists(st.floats(-20, 20, width=32), min_size=3, max_size=20),
    st.sets(st.integers(0, 2)), st.floats(0.5, 2),
)  # fmt: skip
def test_the_repetition_penalty_is_transformers(logits, prompt, penalty):
    torch = pytest.importorskip("torch")
    from transformers import RepetitionPenaltyLogitsProcessor

    ids = torch.tensor([sorted(prompt)], dtype=torch.long)
    scores = torch.tensor([logits], dtype=torch.float32)
    expected = (
        RepetitionPenaltyLogitsProcessor(penalty)(ids, scores)[0].numpy()
        if prompt
        else scores[0].numpy()
    )
    sampler = Sampler(Sampling(repetition_penalty=penalty), None, tuple(prompt))
    np.testing.assert_allclose(sampler._changed(np.float32(logits)), expected, rtol=1e-6)


def test_only_allowed_tokens_and_no_barred_ones():
    assert taken([3, 2, 1], allowed_tokens=(1, 2)) == [1]
    sampler = Sampler(Sampling(), None)
    assert sampler.take(np.float32([3, 2, 1]), {0}) == 1
    assert sampler.take(np.float32([3, -np.inf, -np.inf]), {0}) == 0


class Nothing:
    """A constraint that no token fits."""

    def allowed(self):
        return np.zeros(3, np.bool_)


@pytest.mark.parametrize(
    ("allowed", "named"), [((), "the schema or regex: no token"), ((1,), "allowed_token_ids: none")]
)
def test_what_leaves_no_token_is_named(allowed, named):
    sampler = Sampler(Sampling(allowed_tokens=allowed), Nothing())
    with pytest.raises(InvalidInput, match=named):
        sampler.take(np.zeros(3, np.float32))
