"""Updates of the engine -> the objects of OpenAI's API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hnlpu.errors import HnlpuError
from hnlpu.run.emulate import Tokenizer
from hnlpu.run.engine import Result, TokenScore
from hnlpu.serve._errors import as_api_error

UNREADABLE = "�"


class TokenTexts:
    """What tokens are called in lists of log-probabilities, each by a name of its own."""

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._known: dict[int, str] = {}

    def __getitem__(self, token: int) -> str:
        text = self._known.get(token)
        if text is None:
            piece = self._tokenizer.piece(token) if self._tokenizer.usable else ""
            # parts of characters look alike; a number tells them apart
            text = f"token_id:{token}" if not piece or UNREADABLE in piece else piece
            self._known[token] = text
        return text


def completion_logprobs(
    scores: Sequence[TokenScore | None], first: int | None, texts: TokenTexts, offset: int, top: int
) -> dict[str, Any]:
    """The `logprobs` of a completion; token `first`, if given, stands before all and has none."""
    tokens = [] if first is None else [texts[first]]
    values: list[float | None] = [] if first is None else [None]
    best: list[dict[str, float] | None] = [] if first is None else [None]
    for score in scores:
        assert score is not None
        tokens.append(texts[score.token])
        values.append(score.logprob)
        named = {texts[token]: value for token, value in score.top}
        best.append(named | {texts[score.token]: score.logprob})
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token)
    return {
        "tokens": tokens,
        "token_logprobs": values,
        "top_logprobs": best if top else None,
        "text_offset": offsets,
    }


def chat_logprobs(scores: Sequence[TokenScore], texts: TokenTexts) -> dict[str, Any]:
    """The `logprobs` of a chat's choice."""

    def entry(token: int, logprob: float) -> dict[str, Any]:
        text = texts[token]
        known = not text.startswith("token_id:")
        return {
            "token": text,
            "logprob": logprob,
            "bytes": list(text.encode()) if known else None,
        }

    return {
        "content": [
            entry(s.token, s.logprob) | {"top_logprobs": [entry(t, value) for t, value in s.top]}
            for s in scores
        ],
        "refusal": None,
    }


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """The `usage` of an answer."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def check_finished(results: Sequence[Result]) -> None:
    """Raises the error that kept one of the results from its end."""
    for result in results:
        if result.error is not None:
            raise result.error


def failure(error: HnlpuError) -> dict[str, Any]:
    """The event that ends a stream which the engine could not finish."""
    return as_api_error(error).body
