"""Each step of a recipe does what its paper says, on planted truths and beside plain definitions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hnlpu.arithmetic.mx import dequantize, quantize_mxfp4
from hnlpu.errors import InvalidInput
from hnlpu.insight.compress import (
    Amp,
    ExpertPruning,
    FinerCut,
    Heal,
    Round,
    StepOptions,
    round_columns,
)
from hnlpu.insight.compress._amp import best_neurons
from hnlpu.insight.compress._finercut import without
from hnlpu.insight.compress._subject import Subject
from hnlpu.model.edit import Edit, edited, keep_all, write_checkpoint

TEXT = Path("src/hnlpu/_whole.py").read_text()


Change = Callable[[int, np.ndarray], np.ndarray]


def _subject(checkpoint: str | Path, notes: Path, tokens: int = 300) -> Subject:
    return Subject.open(Path(checkpoint), TEXT, tokens, notes, lambda *_: None)


def _changed(checkpoint: str, name: str, change: Change, folder: Path) -> Path:
    """A checkpoint with other values of one matrix."""
    of = _subject(checkpoint, folder.with_suffix(".notes"))
    values = {name: lambda member: change(member, of.model.matrices[name].dense(member).copy())}
    edit = Edit(keep_all(of.layers), values)
    folder.mkdir()
    write_checkpoint(of.model, edited(of.family, of.values, edit), edit, folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        assert (folder / file).exists()
    return folder


def test_finercut_takes_the_half_that_says_least(tmp_path: Path) -> None:
    of = _subject("checkpoints/llama-90k", tmp_path / "notes")
    decision = FinerCut(remove=1).decide(of)
    said = [of.whole()] + [
        of.without(without(2, ((layer, half),)))
        for layer in range(2)
        for half in ("attention", "feed_forward")
    ]
    logits = [
        np.concatenate([m.logits(m.forward(p, m.new_cache())) for p in of.windows()]).astype(
            np.float64
        )
        for m in said
    ]
    shares = [np.exp(x - x.max(1, keepdims=True)) for x in logits]
    p = [x / x.sum(1, keepdims=True) for x in shares]
    distances = [float(np.mean(np.sum(p[0] * np.log(p[0] / q), 1))) for q in p[1:]]
    best = int(np.argmin(distances))
    kept = decision.edit.layers[best // 2]
    assert (kept.attention, kept.feed_forward) == (
        (False, True) if best % 2 == 0 else (True, False)
    )
    assert f"{min(distances):.4g}" in decision.lines[0]
    assert len((tmp_path / "notes").read_text().splitlines()) == 4


def test_finercut_goes_on_from_its_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = FinerCut(remove=2).decide(_subject("checkpoints/llama-90k", tmp_path / "notes"))
    lines = (tmp_path / "notes").read_text().splitlines(keepends=True)
    (tmp_path / "cut").write_text("".join(lines[:-1]) + lines[-1][:10])  # killed while it wrote
    of = _subject("checkpoints/llama-90k", tmp_path / "cut")
    again = FinerCut(remove=2).decide(of)
    assert again == first
    monkeypatch.setattr(Subject, "without", lambda *_: pytest.fail("was measured already"))
    assert FinerCut(remove=2).decide(_subject("checkpoints/llama-90k", tmp_path / "cut")) == first


def test_amp_takes_neurons_that_add_nothing(tmp_path: Path) -> None:
    quiet = sorted(np.random.default_rng(3).permutation(128)[:32].tolist())

    def faint(_: int, dense: np.ndarray) -> np.ndarray:
        dense[:, quiet] *= 1e-3
        return dense + np.float32(1e-3)  # off the grid, so that neurons go one by one

    checkpoint = _changed(
        "checkpoints/llama-90k", "model.layers.1.mlp.down_proj", faint, tmp_path / "faint"
    )
    decision = Amp(share=0.25, of=("neurons",)).decide(_subject(checkpoint, tmp_path / "n"))
    assert sorted(set(range(128)) - set(decision.edit.layers[1].inner or ())) == quiet
    kept = decision.edit.layers[0].inner
    assert kept is not None
    assert len(kept) == 96
    assert all(n // 32 * 32 in kept and n // 32 * 32 + 31 in kept for n in kept)  # whole blocks


@pytest.mark.parametrize(
    ("size", "share", "kept"),
    [
        (96, 0.3, [*range(32, 96)]),
        (100, 0.3, [*range(32, 100)]),
        (100, 0.99, [*range(96, 100)]),
        (20, 0.5, [*range(20)]),
        (64, 0.99, [*range(32, 64)]),
    ],
)
def test_neurons_go_in_whole_blocks_and_the_rest_stays(
    size: int, share: float, kept: list[int]
) -> None:
    assert list(best_neurons(np.arange(float(size)), share, 32)) == kept


def test_amp_takes_heads_that_add_nothing(tmp_path: Path) -> None:
    def faint(_: int, dense: np.ndarray) -> np.ndarray:
        dense[:, 0:16] *= 1e-3
        dense[:, 48:64] *= 1e-3
        return dense

    checkpoint = _changed(
        "checkpoints/llama-90k", "model.layers.0.self_attn.o_proj", faint, tmp_path / "faint"
    )
    decision = Amp(share=0.5, of=("heads",)).decide(_subject(checkpoint, tmp_path / "n"))
    assert decision.edit.layers[0].heads == (1, 2)
    assert decision.edit.layers[0].inner is None


def test_experts_that_add_nothing_go_whatever_their_share(tmp_path: Path) -> None:
    def faint(member: int, dense: np.ndarray) -> np.ndarray:
        return dense * np.float32(1e-3 if member == 2 else 1)

    of = _subject("checkpoints/stdlib-140k", tmp_path / "n")
    name = "model.layers.1.mlp.experts.down_proj"
    values = {
        name: lambda member: faint(member, dequantize(*of.model.matrices[name].packed(member)))
    }
    edit = Edit(keep_all(2), values)
    (tmp_path / "faint").mkdir()
    write_checkpoint(of.model, edited(of.family, of.values, edit), edit, tmp_path / "faint")
    biased = of.model.matrices[name].bias()
    decision = ExpertPruning(keep=3).decide(_subject(tmp_path / "faint", tmp_path / "m"))
    assert biased is not None
    assert len(decision.edit.layers[0].experts or ()) == 3
    assert 2 not in (decision.edit.layers[1].experts or ())


def _textbook(weights: np.ndarray, h: np.ndarray, damping: float) -> np.ndarray:
    """Optimal brain quantisation column by column, with the inverse of what is left made anew."""
    rest, out = weights.astype(np.float64), np.zeros_like(weights, np.float64)
    h = h + damping * np.mean(np.diag(h)) * np.eye(len(h))
    for start in range(0, rest.shape[1], 32):
        _, exponents = quantize_mxfp4(rest[:, start : start + 32].astype(np.float32))
        scale = 2.0 ** (exponents[:, 0].astype(float) - 127)
        for j in range(start, start + 32):
            grid = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])
            signed = np.concatenate([-grid[::-1], grid])
            nearest = signed[np.argmin(np.abs(rest[:, j, None] / scale[:, None] - signed), axis=1)]
            out[:, j] = nearest * scale
            inverse = np.linalg.inv(h[j:, j:])
            rest[:, j:] -= np.outer((rest[:, j] - out[:, j]) / inverse[0, 0], inverse[0])
    return out


def test_rounding_is_the_textbooks_and_better_than_nearest() -> None:
    random = np.random.default_rng(0)
    weights = random.normal(size=(24, 96)).astype(np.float32)
    x = random.normal(size=(400, 96)) @ (np.eye(96) + 0.3 * random.normal(size=(96, 96)))
    h = x.T @ x
    ours = round_columns(weights, h, 0.01)
    assert np.array_equal(ours, _textbook(weights, h, 0.01).astype(np.float32))
    assert np.array_equal(dequantize(*quantize_mxfp4(ours)), ours)  # one digit holds it

    def error(w: np.ndarray) -> float:
        return float(np.linalg.norm(x @ (w - weights).T))

    assert error(ours) < 0.8 * error(dequantize(*quantize_mxfp4(weights)))


def test_round_leaves_what_one_digit_holds(tmp_path: Path) -> None:
    of = _subject("checkpoints/llama-90k", tmp_path / "n")
    assert not Round().decide(of).edit.values

    def off(_: int, dense: np.ndarray) -> np.ndarray:
        return dense * np.float32(1.1)

    checkpoint = _changed(
        "checkpoints/llama-90k", "model.layers.0.self_attn.q_proj", off, tmp_path / "off"
    )
    decision = Round().decide(_subject(checkpoint, tmp_path / "m"))
    assert list(decision.edit.values) == ["model.layers.0.self_attn.q_proj"]


def test_a_text_shorter_than_a_piece_is_refused_before_any_work(tmp_path: Path) -> None:
    of = Subject.open(
        Path("checkpoints/llama-90k"), "def f():\n", 300, tmp_path / "n", lambda *_: None
    )
    with pytest.raises(InvalidInput, match="tokens, a piece takes 129"):
        Heal().check(of)


def _pruned(tmp_path: Path) -> Path:
    of = _subject("checkpoints/llama-90k", tmp_path / "p")
    edit = Amp(share=0.25, of=("neurons",)).decide(of).edit
    folder = tmp_path / "pruned"
    folder.mkdir()
    write_checkpoint(of.model, edited(of.family, of.values, edit), edit, folder)
    return folder


def _healed(checkpoint: Path, notes: Path, step: Heal, stop: int | None = None) -> Edit:
    def told(_: str, at: int, __: int) -> None:
        if at == stop:
            raise KeyboardInterrupt

    of = Subject.open(checkpoint, TEXT, 300, notes, told, teacher=Path("checkpoints/llama-90k"))
    return step.decide(of).edit


def test_healing_brings_something_back_and_keeps_one_digit(tmp_path: Path) -> None:
    checkpoint = _pruned(tmp_path)
    edit = _healed(checkpoint, tmp_path / "n", Heal(steps=30, batch=4, length=64, rate=2e-3))
    losses = json.loads((tmp_path / "n").read_text())
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    for name, values in edit.values.items():
        assert np.array_equal(dequantize(*quantize_mxfp4(values(0))), values(0)), name
    assert {"model.norm.weight", "model.embed_tokens.weight"} <= set(edit.vectors)


def test_healing_goes_on_where_it_was(tmp_path: Path) -> None:
    checkpoint = _pruned(tmp_path)
    step = Heal(steps=28, batch=1, length=32)
    whole = _healed(checkpoint, tmp_path / "whole", step)
    with pytest.raises(KeyboardInterrupt):
        _healed(checkpoint, tmp_path / "killed", step, stop=26)
    again = _healed(checkpoint, tmp_path / "killed", step)
    assert (tmp_path / "killed").read_text() == (tmp_path / "whole").read_text()
    for name, values in whole.values.items():
        assert np.array_equal(values(0), again.values[name](0))


@pytest.mark.parametrize(
    ("step", "checkpoint", "said"),
    [
        (FinerCut(remove=4), "llama-90k", "4 of 4 halves"),
        (FinerCut(share=0.1), "llama-90k", "a share of 0.1 of 4 halves of layers is less than one"),
        (ExpertPruning(keep=2), "llama-90k", "has none"),
        (ExpertPruning(keep=1), "stdlib-140k", "chooses 2 of 4; 1 cannot be kept"),
        (
            Round(matrices=("*proj", "typo")),
            "llama-90k",
            "no matrix is called typo; the first is model.",
        ),
    ],
)
def test_what_cannot_be_done_is_refused(
    step: StepOptions, checkpoint: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=said):
        step.check(_subject(f"checkpoints/{checkpoint}", tmp_path / "n"))
