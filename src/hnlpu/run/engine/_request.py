"""What is asked of the engine, and what it tells while it works."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from hnlpu.errors import ContextExceeded, HnlpuError, InvalidInput
from hnlpu.run.emulate import Step

Float32 = npt.NDArray[np.float32]
Pooling = Literal["mean", "last"]
Reason = Literal["stop", "length", "cancelled", "error"]

TOP_LOGPROBS_LIMIT = 100
BIAS_LIMIT = 100.0


@dataclass(frozen=True)
class Sampling:
    """How the next token is taken from the logits.

    In this order: penalties and bias change the logits (`repetition_penalty`
    first: it divides those above 0 and multiplies the others of every token that
    the prompt or the answer has had, as transformers does), a constraint and
    `allowed_tokens` strike out tokens, temperature 0 takes the best; else
    temperature divides, tokens less likely than `min_p` times the best are
    dropped, the `top_k` best are kept (0 and -1: all), of those the fewest whose
    probability reaches `top_p` (0: the best alone), and one is drawn with
    Philox(`seed`).
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    allowed_tokens: tuple[int, ...] = ()

    def check(self, vocab_size: int) -> None:
        """Raises InvalidInput for a value outside of what it may be."""
        _within("temperature", self.temperature, 0, math.inf)
        _within("top_p", self.top_p, 0, 1)
        _within("min_p", self.min_p, 0, 1)
        _within("repetition_penalty", self.repetition_penalty, 0, math.inf, above=True)
        if self.top_k < -1:
            raise InvalidInput(f"top_k {self.top_k}: must be 0 or -1 (no limit), or more")
        if self.seed < 0:
            raise InvalidInput(f"seed {self.seed}: must not be negative")
        _within("presence_penalty", self.presence_penalty, -2, 2)
        _within("frequency_penalty", self.frequency_penalty, -2, 2)
        for name, tokens in (
            ("logit_bias", self.logit_bias),
            ("allowed_token_ids", self.allowed_tokens),
        ):
            _within_vocabulary(name, tokens, vocab_size)
        for token, bias in self.logit_bias.items():
            _within(f"logit_bias of token {token}", bias, -BIAS_LIMIT, BIAS_LIMIT)


def _within_vocabulary(name: str, tokens: Iterable[int], vocab_size: int) -> None:
    for token in tokens:
        if not 0 <= token < vocab_size:
            raise InvalidInput(
                f"{name}: token {token} is outside of the vocabulary (0 to {vocab_size - 1})"
            )


def _within(name: str, value: float, low: float, high: float, *, above: bool = False) -> None:
    inside = math.isfinite(value) and (low < value if above else low <= value) and value <= high
    if not inside:
        least = "above" if above else "at least"
        most = "" if math.isinf(high) else f" and at most {high:g}"
        raise InvalidInput(f"{name} {value}: must be a number {least} {low:g}{most}")


class Constraint(Protocol):
    """A language that the new tokens must belong to, and where in it they are."""

    def allowed(self) -> npt.NDArray[np.bool_]:
        """Which tokens may come next: [vocabulary]."""
        ...

    def accept(self, token: int) -> None:
        """Take in the token that was chosen."""
        ...

    def finished(self) -> bool:
        """Whether nothing may follow."""
        ...


@dataclass(frozen=True)
class Request:
    """A prompt and what to do with it: continue it, score it, or embed it.

    `top_logprobs` None gives no log-probabilities, 0 only the token's own.
    `score_prompt` asks for those of the prompt's tokens 2..n too.  `pooling`
    asks for one vector of the prompt and generates nothing.  `constraint` is
    used up by the request.  Before `min_tokens` nothing but a constraint ends the answer;
    `include_stop` leaves the stop string in the text, and `show_special` the
    names of special tokens.  `reader` takes the new tokens in turn, an end token too, and says
    their text in place of the tokenizer: what it leaves out no stop string sees.
    `speculation` lets tokens be looked up in the text and checked several at a time, where all states
    are kept by position; what comes out is the same.
    """

    prompt: tuple[int, ...]
    max_tokens: int = 16
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    stop_tokens: tuple[int, ...] = ()
    ignore_end: bool = False
    top_logprobs: int | None = None
    score_prompt: bool = False
    pooling: Pooling | None = None
    trace_experts: bool = False
    constraint: Constraint | None = None
    adapter: str | None = None
    min_tokens: int = 0
    include_stop: bool = False
    show_special: bool = False
    reader: Step | None = None
    speculation: bool = False

    def check(self, vocab_size: int, max_context: int) -> None:
        """Raises InvalidInput for what no engine of these sizes can serve."""
        if not self.prompt:
            raise InvalidInput("the prompt is empty; give at least one token")
        if self.max_tokens < 0:
            raise InvalidInput(f"max_tokens {self.max_tokens}: must not be negative")
        if not 0 <= self.min_tokens <= max(self.max_tokens, 0):
            raise InvalidInput(
                f"min_tokens {self.min_tokens}: must be from 0 to max_tokens, {self.max_tokens}"
            )
        new = 0 if self.pooling else self.max_tokens
        if len(self.prompt) + new > max_context:
            raise ContextExceeded(
                f"the prompt has {len(self.prompt)} tokens and {new} are asked for, "
                f"which exceeds the context of {max_context}; shorten one of them"
            )
        top = self.top_logprobs or 0
        if not 0 <= top <= min(TOP_LOGPROBS_LIMIT, vocab_size):
            raise InvalidInput(
                f"logprobs {top}: must be from 0 to {min(TOP_LOGPROBS_LIMIT, vocab_size)}"
            )
        if any(not text for text in self.stop):
            raise InvalidInput("stop: an empty string stops everything; leave it out")
        _within_vocabulary("stop_token_ids", self.stop_tokens, vocab_size)
        self.sampling.check(vocab_size)


@dataclass(frozen=True)
class TokenScore:
    """A token's natural log-probability, and the best tokens at its position where asked for."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Update:
    """News of a request: of its prompt, of one new token, or of its end.

    `text` may be shorter than the token (a stop string may be under way) or
    longer (it was not).  An end token or stop token is told as `token` with
    reason "stop"; its text is not.  `experts` are those that fired for the
    input that produced the token: [layers, active].  `reused` of the first update
    of a request counts the prompt's tokens that were found in memory.  `drafted` tokens were proposed
    in the step of which this is the last update, and `accepted` of them were right.
    """

    request: int
    token: int | None = None
    text: str = ""
    score: TokenScore | None = None
    experts: npt.NDArray[np.int64] | None = None
    prompt_scores: tuple[TokenScore, ...] | None = None
    embedding: Float32 | None = None
    reason: Reason | None = None
    stopped_by: int | str | None = None
    error: HnlpuError | None = None
    reused: int = field(default=0, compare=False)  # how, not what
    drafted: int = field(default=0, compare=False)
    accepted: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Result:
    """Everything that a request's updates told."""

    tokens: tuple[int, ...]
    text: str
    scores: tuple[TokenScore, ...]
    prompt_scores: tuple[TokenScore, ...]
    embedding: Float32 | None
    reason: Reason
    error: HnlpuError | None = None
    experts: tuple[npt.NDArray[np.int64], ...] = ()
    stopped_by: int | str | None = None


def collect(updates: list[Update]) -> Result:
    """The updates of one finished request as one result."""
    last = updates[-1]
    assert last.reason is not None
    return Result(
        tuple(u.token for u in updates if u.token is not None),
        "".join(u.text for u in updates),
        tuple(u.score for u in updates if u.score is not None),
        next((u.prompt_scores for u in updates if u.prompt_scores is not None), ()),
        next((u.embedding for u in updates if u.embedding is not None), None),
        last.reason,
        last.error,
        tuple(u.experts for u in updates if u.experts is not None),
        last.stopped_by,
    )
