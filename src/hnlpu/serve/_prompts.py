"""Requests as they come over the wire -> requests of the engine."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Any

from hnlpu.errors import InvalidInput
from hnlpu.run.emulate import LanguageModel
from hnlpu.run.engine import Request, Sampling
from hnlpu.serve._constraint import Constraints, Matched
from hnlpu.serve._errors import ApiError
from hnlpu.serve._schema import ChatRequest, CompletionRequest, Controls
from hnlpu.serve._settings import Settings


@dataclass(frozen=True)
class Encoded:
    """A prompt as token ids, and as text where text is at hand."""

    tokens: tuple[int, ...]
    text: str


async def encode_prompts(model: LanguageModel, prompt: Any) -> list[Encoded]:
    """The prompts of a request: one or several, each text or token ids.

    Raises InvalidInput, TokenizerMissing.
    """
    several = isinstance(prompt, list) and not isinstance(prompt[0], int)
    # off the loop: a long text takes a while
    return await asyncio.to_thread(_encode, model, prompt if several else [prompt])


def _encode(model: LanguageModel, prompts: list[Any]) -> list[Encoded]:
    encoded = []
    for prompt in prompts:
        tokens = tuple(model.encode(prompt).tolist())
        if isinstance(prompt, str):
            text = prompt
        else:
            text = model.tokenizer.decode(tokens) if model.tokenizer.usable else ""
        encoded.append(Encoded(tokens, text))
    return encoded


class Translator:
    """Turns the wire's controls into the engine's, for one model under the server's limits."""

    def __init__(self, model: LanguageModel, settings: Settings, context: int):
        self._model = model
        self._settings = settings
        self._context = context
        self._constraints = Constraints(model)

    async def completion(
        self, body: CompletionRequest, prompts: list[Encoded], adapter: str | None
    ) -> list[Request]:
        """One request of the engine per choice, `n` for each prompt."""
        scores = body.logprobs is not None
        return await asyncio.to_thread(
            self._requests, body, prompts, 16 if body.max_tokens is None else body.max_tokens,
            body.logprobs, body.echo and scores, adapter,
        )  # fmt: skip

    async def chat(self, body: ChatRequest, prompt: Encoded, adapter: str | None) -> list[Request]:
        """One request of the engine per choice; by default the answer may fill the context."""
        if body.max_completion_tokens is not None and body.max_tokens is not None:
            raise ApiError(400, "give either max_completion_tokens or max_tokens")
        limit = body.max_tokens
        if body.max_completion_tokens is not None:
            limit = body.max_completion_tokens
        if limit is None:
            room = self._context - len(prompt.tokens)
            limit = min(self._settings.max_tokens, max(room, 1))
        top = (body.top_logprobs or 0) if body.logprobs else None
        return await asyncio.to_thread(self._requests, body, [prompt], limit, top, False, adapter)

    def _requests(
        self,
        body: Controls,
        prompts: list[Encoded],
        limit: int,
        top: int | None,
        score: bool,
        adapter: str | None,
    ) -> list[Request]:
        if limit > self._settings.max_tokens:
            raise ApiError(
                400,
                f"max_tokens {limit}: this server gives at most {self._settings.max_tokens}",
                param="max_tokens",
            )
        seed = secrets.randbits(48) if body.seed is None else body.seed
        constraint = self._constraint(body)
        stops = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
        return [
            Request(
                prompt.tokens,
                max_tokens=limit,
                sampling=_sampling(body, seed + i),
                stop=stops,
                stop_tokens=tuple(body.stop_token_ids or ()),
                ignore_end=body.ignore_eos,
                top_logprobs=top,
                score_prompt=score,
                trace_experts=body.trace_experts,
                constraint=constraint.copy() if constraint else None,
                adapter=adapter,
            )
            for prompt in prompts
            for i in range(body.n or 1)
        ]

    def _constraint(self, body: Controls) -> Matched | None:
        form, structured = body.response_format, body.structured_outputs
        if structured is not None and structured.regex is not None:
            return self._constraints.regex(structured.regex)
        if structured is not None and structured.json_ is not None:
            return self._constraints.schema(structured.json_)
        if form is None or form.type == "text":
            return None
        if form.json_schema is None:
            return self._constraints.schema({"type": "object"})
        return self._constraints.schema(form.json_schema.schema_)


def _sampling(body: Controls, seed: int) -> Sampling:
    return Sampling(
        temperature=1.0 if body.temperature is None else body.temperature,
        top_p=1.0 if body.top_p is None else body.top_p,
        top_k=body.top_k or 0,
        seed=seed,
        presence_penalty=body.presence_penalty or 0.0,
        frequency_penalty=body.frequency_penalty or 0.0,
        logit_bias=_bias(body.logit_bias or {}),
    )


def _bias(wire: dict[str, float]) -> dict[int, float]:
    if not all(token.isdecimal() and token.isascii() and len(token) < 10 for token in wire):
        raise InvalidInput("logit_bias: its keys must be token ids, as in {'1234': -100}")
    return {int(token): bias for token, bias in wire.items()}
