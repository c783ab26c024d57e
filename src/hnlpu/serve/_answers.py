"""Updates of the engine -> the objects of OpenAI's API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hnlpu.errors import HnlpuError
from hnlpu.run.emulate import Tokenizer
from hnlpu.run.engine import Result, TokenScore
from hnlpu.serve._errors import as_api_error


class TokenTexts:
    """What tokens are called in lists of log-probabilities, and their bytes."""

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._known: dict[int, tuple[str, bytes | None]] = {}

    def __getitem__(self, token: int) -> str:
        return self._named(token)[0]

    def bytes_of(self, token: int) -> list[int] | None:
        """The bytes that a token stands for, be they a part of a character; None if not known."""
        raw = self._named(token)[1]
        return None if raw is None else list(raw)

    def _named(self, token: int) -> tuple[str, bytes | None]:
        found = self._known.get(token)
        if found is None:
            raw = self._tokenizer.bytes_of(token) if self._tokenizer.usable else b""
            try:
                name = raw.decode()
            except UnicodeDecodeError:
                name = ""  # parts of characters look alike; a number tells them apart
            found = self._known[token] = (name or numbered(token), raw or None)
        return found


def numbered(token: int) -> str:
    """The name of a token that spells no text of its own."""
    return f"token_id:{token}"


def completion_logprobs(
    scores: Sequence[TokenScore], first: int | None, texts: TokenTexts, offsets: Sequence[int],
    top: int,
) -> dict[str, Any]:  # fmt: skip
    """The `logprobs` of a completion; token `first`, if given, stands before all and has none."""
    tokens = [] if first is None else [texts[first]]
    values: list[float | None] = [] if first is None else [None]
    best: list[dict[str, float] | None] = [] if first is None else [None]
    for score in scores:
        tokens.append(texts[score.token])
        values.append(score.logprob)
        best.append(_best(score, texts))
    return {
        "tokens": tokens,
        "token_logprobs": values,
        "top_logprobs": best if top else None,
        "text_offset": list(offsets),
    }


def _best(score: TokenScore, texts: TokenTexts) -> dict[str, float]:
    """The best tokens by name and the token itself; of two of one name the worse has its number."""
    named: dict[str, float] = {}
    owners: dict[str, int] = {}
    for token, value in (*score.top, (score.token, score.logprob)):
        name = texts[token]
        if owners.setdefault(name, token) != token:
            name = numbered(token)
        named[name] = value
    return named


def token_entry(score: TokenScore, texts: TokenTexts, *, listed: bool = False) -> dict[str, Any]:
    """A token's log-probability and those of the best beside it, as chats and responses have them.

    Where a token's bytes are not known chats say null, responses (`listed`) an empty list.
    """

    def entry(token: int, logprob: float) -> dict[str, Any]:
        raw = texts.bytes_of(token)
        return {
            "token": texts[token],
            "logprob": logprob,
            "bytes": [] if listed and raw is None else raw,
        }

    best = [entry(token, value) for token, value in score.top]
    return entry(score.token, score.logprob) | {"top_logprobs": best}


def chat_logprobs(scores: Sequence[TokenScore], texts: TokenTexts) -> dict[str, Any]:
    """The `logprobs` of a chat's choice."""
    return {"content": [token_entry(score, texts) for score in scores], "refusal": None}


def usage(
    prompt_tokens: int,
    completion_tokens: int,
    cached: int = 0,
    tried: dict[str, int] | None = None,
) -> dict[str, Any]:
    """The `usage` of an answer; `cached` of the prompt's tokens were found in memory.

    `tried` counts tokens that were looked up, where they were to be.
    """
    found = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    return found if tried is None else found | {"completion_tokens_details": tried}


def prompt_logprobs(
    scores: Sequence[TokenScore], texts: TokenTexts, top: int
) -> list[dict[str, Any] | None]:
    """`prompt_logprobs` as vLLM has them: of each token but the first by token id.

    `rank` of a token that is none of the `top` best is null.
    """
    found: list[dict[str, Any] | None] = [None]
    for score in scores:
        best = {token: (value, i + 1) for i, (token, value) in enumerate(score.top)}
        told = {score.token: best.get(score.token, (score.logprob, None))}
        told |= dict(list(best.items())[:top])
        found.append(
            {
                str(token): {"logprob": value, "rank": rank, "decoded_token": texts[token]}
                for token, (value, rank) in told.items()
            }
        )
    return found


def first_best(scores: Sequence[TokenScore], top: int) -> list[TokenScore]:
    """Scores with no more than the `top` best beside each."""
    return [s if len(s.top) <= top else replace(s, top=s.top[:top]) for s in scores]


def stop_reason(stopped_by: int | str | None, ends: Sequence[int]) -> int | str | None:
    """The stop string or token that ended an answer, as vLLM tells it: an end of text is none."""
    return None if stopped_by in ends else stopped_by


def check_finished(results: Sequence[Result]) -> None:
    """Raises the error that kept one of the results from its end."""
    for result in results:
        if result.error is not None:
            raise result.error


def failure(error: HnlpuError) -> dict[str, Any]:
    """The event that ends a stream which the engine could not finish."""
    return as_api_error(error).body
