"""Perplexity as a judge of builds: what it measures is what `score` says, and it refuses."""

from __future__ import annotations

import json

import pytest

import hnlpu
from helpers import write_checkpoint, write_tokenizer
from hnlpu.errors import InvalidInput, LossTooHigh, TokenizerMissing
from hnlpu.insight.sensitivity import PerplexityGate
from hnlpu.model.policy import make_policy

TEXT = "the quick brown fox jumps over the lazy dog; 0123456789 times (or 42)\n" * 3


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = write_checkpoint(tmp_path_factory.mktemp("gate") / "c")
    write_tokenizer(folder)
    return folder


def test_it_measures_what_score_says(checkpoint, tmp_path):
    gate = PerplexityGate(checkpoint, TEXT)
    build = hnlpu.build(checkpoint, tmp_path / "b", judge=gate)
    before, after = (hnlpu.open(folder).score(TEXT) for folder in (checkpoint, build))
    assert gate.found is not None
    assert gate.found.float_perplexity == before.perplexity
    assert gate.found.perplexity == after.perplexity
    assert gate.found.tokens == len(after.logprobs)
    assert gate.found.share == pytest.approx(after.perplexity / before.perplexity - 1)


def test_it_refuses_a_build_that_loses_more_and_leaves_nothing(checkpoint, tmp_path):
    """Found first how much two bits of activations lose, then that just less is refused."""
    policy = make_policy(activation_bits=2)
    gate = PerplexityGate(checkpoint, TEXT)
    hnlpu.build(checkpoint, tmp_path / "b", policy, judge=gate)
    lost = gate.found.share
    assert lost > 0.01
    hnlpu.build(checkpoint, tmp_path / "b", policy, judge=PerplexityGate(checkpoint, TEXT, lost))
    stricter = PerplexityGate(checkpoint, TEXT, lost * 0.99)
    with pytest.raises(
        LossTooHigh, match=r"perplexity of the text rises from .*lm_head"
    ) as refused:
        hnlpu.build(checkpoint, tmp_path / "no", policy, judge=stricter)
    assert "`max_perplexity_loss`" in str(refused.value)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith("no")]


@pytest.mark.parametrize("limit", [-0.01, float("nan"), float("inf")])
def test_a_limit_that_means_nothing(checkpoint, limit):
    with pytest.raises(InvalidInput, match="max perplexity loss"):
        PerplexityGate(checkpoint, TEXT, limit)


def test_without_a_tokenizer_it_is_told_before_any_work(tiny_checkpoint):
    with pytest.raises(TokenizerMissing, match=r"tokenizer\.json"):
        PerplexityGate(tiny_checkpoint, TEXT)


def test_on_the_command_line(checkpoint, tmp_path, cli):
    (tmp_path / "t.txt").write_text(TEXT)
    policy = tmp_path / "p.toml"
    policy.write_text('activation_bits = 2\n[matrices]\n"*.router" = "mxfp4"\n')
    arguments = ("build", checkpoint, "-o", tmp_path / "b", "--policy", policy)
    code, printed, _ = cli(
        *arguments, "--text", tmp_path / "t.txt", "--json", "--router", "mxfp4x2"
    )
    facts = json.loads(printed)
    assert code == 0
    assert facts["policy"]["activation_bits"] == 2
    assert facts["policy"]["router"] == "mxfp4x2"  # an option counts more than the file's roles
    assert facts["errors"]["router"]["formats"] == ["mxfp4"]
    loss = facts["perplexity"]["loss"]
    assert loss == pytest.approx(
        facts["perplexity"]["hardwired"] / facts["perplexity"]["float"] - 1
    )
    limits = ("--text", tmp_path / "t.txt", "--max-perplexity-loss")
    code, printed, line = cli(*arguments, *limits, loss - 0.001)
    assert (code, printed) == (2, "")
    assert line.startswith("hnlpu: the perplexity of the text rises")
    assert line.count("\n") == 1
    code, printed, _ = cli(*arguments, *limits, loss + 0.001)
    assert code == 0
    assert "in float" in printed
    code, _, line = cli(*arguments, "--max-perplexity-loss", "0.1")
    assert (code, "--text FILE" in line) == (2, True)
    code, _, line = cli(*arguments, "--max-error", "0.0001")
    assert (code, "--max-error 0.0001" in line) == (2, True)
