"""Running the hardwired model, and the float one beside it: perplexity, samples, time.

What cannot be measured is not guessed: `Quality.missing`, `Speech.missing`
and `Quality.float_missing` say in a sentence why, and what would help.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hnlpu.errors import HnlpuError
from hnlpu.run.emulate import LanguageModel, Score, float_model, hardwired
from hnlpu.silicon.hardwire import Build, BuildLog, file_sha256

DEFAULT_PROMPT = "def "
TEMPERATURE = 0.7
SEED = 0
SAMPLE_TOKENS = 128
SAMPLE_SECONDS = 30.0
SHIFT_BINS = 41


@dataclass(frozen=True)
class Scored:
    """A text under one model."""

    perplexity: float
    nll: float
    bits_per_byte: float
    seconds: float


@dataclass(frozen=True)
class Shifts:
    """How far log p of single tokens moved from float to hardwired, in nats.

    `counts` are equal bins from -limit to limit; tokens beyond them are
    counted in the outermost, and in `beyond`.
    """

    limit: float
    counts: tuple[int, ...]
    beyond: int
    mean_magnitude: float
    median_magnitude: float


@dataclass(frozen=True)
class Quality:
    """The same text under up to three models.

    `missing` says why there is no score at all, `float_missing` why there is
    none of the float model, `remark` what a reader must know of it.
    """

    missing: str | None = None
    text_bytes: int = 0
    tokens: int = 0
    float_model: Scored | None = None
    float_activations: Scored | None = None
    hardwired: Scored | None = None
    shifts: Shifts | None = None
    float_missing: str | None = None
    remark: str | None = None

    @property
    def weight_change(self) -> float | None:
        """Relative change of perplexity by hardwiring the weights alone."""
        return _change(self.float_model, self.float_activations)

    @property
    def total_change(self) -> float | None:
        """Relative change of perplexity from the float to the hardwired model."""
        return _change(self.float_model, self.hardwired)

    @property
    def activation_change(self) -> float | None:
        """Relative change of perplexity by rounding activations, weights hardwired."""
        return _change(self.float_activations, self.hardwired)


@dataclass(frozen=True)
class Sample:
    """A continuation of the prompt; `ended` says what stopped it."""

    temperature: float
    text: str
    tokens: int
    tokens_per_second: float | None
    first_token_seconds: float
    ended: str


@dataclass(frozen=True)
class Speech:
    """What the hardwired model says, or why it says nothing."""

    prompt: str
    samples: tuple[Sample, ...] = ()
    missing: str | None = None


@dataclass
class Stopwatch:
    """Wall-clock seconds of named steps, in order."""

    steps: list[tuple[str, float]] = field(default_factory=list)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time the block as `name`."""
        began = time.perf_counter()
        yield
        self.steps.append((name, time.perf_counter() - began))


def measure_quality(
    build: Build,
    log: BuildLog | None,
    checkpoint: Path | None,
    text: str | None,
    clock: Stopwatch,
) -> Quality:
    """Score `text` with the hardwired model, with float activations, and in float.

    Raises the errors of `read_model` for a `checkpoint` that was given.
    """
    given = None if checkpoint is None else float_model(checkpoint)
    if text is None:
        return Quality(
            missing="No text was given, so nothing was scored. Make the report again with "
            "a text file (UTF-8, which the model was not trained on)."
        )
    metal = hardwired(build)
    if not metal.tokenizer.usable:
        return Quality(
            missing="This build has no tokenizer, so text cannot be scored; hnlpu score "
            "takes token ids."
        )
    try:
        tokens = metal.encode(text).tolist()
        with clock.step("scoring, hardwired"):
            exact, exact_score = _score(metal, text)
        with clock.step("scoring, hardwired weights, float activations"):
            relaxed, _ = _score(hardwired(build, float_activations=True), text)
    except HnlpuError as error:
        return Quality(missing=f"The text was not scored: {error}.")
    baseline: Scored | None = None
    shifts: Shifts | None = None
    with clock.step("finding and checking the checkpoint"):
        model, why_not, remark = _find_float(build, log, given)
    if model is not None:
        try:
            with clock.step("scoring, float"):
                baseline, float_score = _score(model, text)
            shifts = _shifts(float_score, exact_score)
        except HnlpuError as error:
            why_not = f"The float model was not scored: {error}."
    return Quality(
        text_bytes=len(text.encode("utf-8", "replace")), tokens=len(tokens),
        float_model=baseline, float_activations=relaxed, hardwired=exact,
        shifts=shifts, float_missing=why_not, remark=remark,
    )  # fmt: skip


def measure_speech(build: Build, prompt: str | None, clock: Stopwatch) -> Speech:
    """Let the hardwired model continue `prompt`, greedily and sampled."""
    prompt = DEFAULT_PROMPT if prompt is None else prompt
    model = hardwired(build)
    if not model.tokenizer.usable:
        return Speech(
            prompt,
            missing="This build has no tokenizer, so it speaks in token ids only: "
            "hnlpu generate takes them.",
        )
    samples = []
    try:
        for temperature, name in ((0.0, "greedy"), (TEMPERATURE, "sampled")):
            with clock.step(f"generating, {name}"):
                samples.append(_sample(model, prompt, temperature))
    except HnlpuError as error:
        return Speech(prompt, tuple(samples), f"Not generated: {error}.")
    return Speech(prompt, tuple(samples))


def _score(model: LanguageModel, text: str) -> tuple[Scored, Score]:
    began = time.perf_counter()
    score = model.score(text)
    seconds = time.perf_counter() - began
    assert score.bits_per_byte is not None  # it is, for text
    return Scored(score.perplexity, score.nll, score.bits_per_byte, seconds), score


def _find_float(
    build: Build, log: BuildLog | None, given: LanguageModel | None
) -> tuple[LanguageModel | None, str | None, str | None]:
    """The float model, why there is none, and what must be said of it."""
    if given is not None:
        altered = _altered(build, given)
        return given, None, altered and f"{altered}: the float model is not the one that was built."
    remedy = "Make the report again with the checkpoint."
    if log is None:
        return None, f"No build log tells where the checkpoint is. {remedy}", None
    try:
        model = float_model(Path(log.checkpoint))
    except HnlpuError as error:
        return None, f"The checkpoint that was built cannot be read: {error}. {remedy}", None
    altered = _altered(build, model)
    if altered:
        return None, f"{altered}: it is no longer the checkpoint that was built. {remedy}", None
    return model, None, None


def _altered(build: Build, model: LanguageModel) -> str | None:
    """What differs between the checkpoint and the files that were built."""
    for name, wanted in build.manifest.source.files.items():
        path = model.sources.get(name, model.directory / name)
        try:
            if file_sha256(path) != wanted:
                return f"{path} has changed since the build"
        except OSError as error:
            return f"{path} cannot be read ({error.strerror})"
    return None


def _shifts(before: Score, after: Score) -> Shifts:
    moved = np.array(after.logprobs) - np.array(before.logprobs)
    size = np.abs(moved)
    limit = float(np.quantile(size, 0.99)) or 1.0
    counts, _ = np.histogram(np.clip(moved, -limit, limit), SHIFT_BINS, (-limit, limit))
    return Shifts(
        limit, tuple(counts.tolist()), int((size > limit).sum()),
        float(size.mean()), float(np.median(size)),
    )  # fmt: skip


def _change(before: Scored | None, after: Scored | None) -> float | None:
    if before is None or after is None:
        return None
    with np.errstate(over="ignore"):  # a model that broke changed beyond any number
        return float(np.expm1(after.nll - before.nll))


def _sample(model: LanguageModel, prompt: str, temperature: float) -> Sample:
    began = time.perf_counter()
    first = now = began
    pieces: list[str] = []
    ended = "an end-of-text token"
    for token in model.generate(
        prompt, max_tokens=SAMPLE_TOKENS, temperature=temperature, seed=SEED
    ):
        now = time.perf_counter()
        first = first if pieces else now
        pieces.append(token.text)
        if len(pieces) == SAMPLE_TOKENS:
            ended = f"the limit of {SAMPLE_TOKENS} tokens"
        elif now - began > SAMPLE_SECONDS:
            ended = f"the limit of {SAMPLE_SECONDS:.0f} s"
            break
    # the first token waits for the prompt, so the rate counts the ones after it
    rate = (len(pieces) - 1) / (now - first) if len(pieces) > 1 and now > first else None
    return Sample(temperature, "".join(pieces), len(pieces), rate, first - began, ended)
