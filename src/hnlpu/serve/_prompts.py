"""Requests as they come over the wire -> requests of the engine."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import dataclass, replace
from typing import Any

from hnlpu.errors import InvalidInput
from hnlpu.run.emulate import Defaults, LanguageModel, read_defaults
from hnlpu.run.engine import Constraint, Request, Sampling
from hnlpu.serve._constraint import CalledFreely, Constraints, Matched
from hnlpu.serve._dialect import Dialect, Turn
from hnlpu.serve._errors import ApiError, of_field
from hnlpu.serve._offsets import Offsets
from hnlpu.serve._schema import ChatRequest, CompletionRequest, Controls
from hnlpu.serve._settings import ServerSettings

ANY_SEED = -1
SEEDS = 2**64


@dataclass(frozen=True)
class Encoded:
    """A prompt as token ids, and as text where text is at hand.

    `starts` are the characters of the text that stand before each token.
    """

    tokens: tuple[int, ...]
    text: str
    starts: tuple[int, ...] = ()


async def encode_prompts(
    model: LanguageModel, prompt: Any, *, starts: bool = False
) -> list[Encoded]:
    """The prompts of a request: one or several, each text or token ids.

    Raises InvalidInput, TokenizerMissing.
    """
    several = isinstance(prompt, list) and not isinstance(prompt[0], int)
    # off the loop: a long text takes a while
    return await asyncio.to_thread(_encode, model, prompt if several else [prompt], starts)


def _encode(model: LanguageModel, prompts: list[Any], starts: bool) -> list[Encoded]:
    encoded = []
    for prompt in prompts:
        tokens = tuple(model.encode(prompt).tolist())
        if isinstance(prompt, str):
            at = _starts(model, tokens, prompt) if starts else []
            encoded.append(Encoded(tokens, prompt, tuple(at)))
        elif model.tokenizer.usable:
            text = model.tokenizer.decode(tokens)
            offsets = Offsets(model.tokenizer, (), 0, show_special=False)
            at = [offsets.next(token) for token in tokens] if starts else []
            encoded.append(Encoded(tokens, text, tuple(at)))
        else:
            encoded.append(Encoded(tokens, "", (0,) * len(tokens)))
    return encoded


def _starts(model: LanguageModel, tokens: tuple[int, ...], text: str) -> list[int]:
    """The characters of a text that stand before each of its tokens."""
    tokenizer = model.tokenizer
    spelled = "".join(map(tokenizer.decoder(show_special=True), tokens))
    if spelled != text:  # the tokenizer has changed the text; it knows where its tokens come from
        return tokenizer.starts(text)
    offsets = Offsets(tokenizer, (), 0, show_special=True)
    return [offsets.next(token) for token in tokens]


@dataclass(frozen=True)
class _Asked:
    """What the engine is asked besides the controls that all requests have."""

    limit: int
    top: int | None
    adapter: str | None
    score: bool = False


class Translator:
    """Turns the wire's controls into the engine's, for one model under the server's limits.

    Raises InvalidInput for a damaged generation_config.json.
    """

    def __init__(
        self, model: LanguageModel, settings: ServerSettings, context: int, dialect: Dialect
    ):
        self._model = model
        self._settings = settings
        self._context = context
        self._dialect = dialect
        self.defaults = read_defaults(model.directory)
        ends = tuple(dict.fromkeys((*model.end_tokens, *dialect.ends)))
        self._constraints = Constraints(model, ends)

    async def completion(
        self, body: CompletionRequest, prompts: list[Encoded], adapter: str | None
    ) -> list[Request]:
        """One request of the engine per choice, `n` for each prompt."""
        score = body.echo and body.logprobs is not None
        limit = 16 if body.max_tokens is None else body.max_tokens
        asked = _Asked(limit, body.logprobs, adapter, score)

        def requests() -> list[Request]:
            wanted = body.structure
            with of_field(body.structure_field):
                constraint = None if wanted is None else self._constraints.answer(wanted)
            return [
                request
                for prompt in prompts
                for request in self._choices(body, prompt.tokens, asked, constraint)
            ]

        return await asyncio.to_thread(requests)

    async def chat(self, body: ChatRequest, turn: Turn, adapter: str | None) -> list[Request]:
        """One request of the engine per choice; by default the answer may fill the context."""
        limit = (
            body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
        )
        if limit is None:
            room = max(self._context - len(turn.prompt), 1)
            limit = min(self._settings.max_tokens, room, self.defaults.max_new_tokens or room)
        top = (body.top_logprobs or 0) if body.logprobs else None
        asked = _Asked(limit, top, adapter)

        def requests() -> list[Request]:
            wanted = body.structure
            with contextlib.nullcontext() if wanted is None else of_field(body.structure_field):
                constraint = self._dialect.constraint(self._constraints, turn, wanted)
            made = self._choices(body, turn.prompt, asked, constraint)
            ends = () if body.ignore_eos else self._dialect.ends
            return [
                replace(
                    request,
                    stop_tokens=(*request.stop_tokens, *ends),
                    reader=self._dialect.reader(turn),
                )
                for request in made
            ]

        return await asyncio.to_thread(requests)

    def _choices(
        self,
        body: Controls,
        tokens: tuple[int, ...],
        asked: _Asked,
        constraint: Matched | CalledFreely | None,
    ) -> list[Request]:
        """The requests for one prompt."""
        if asked.limit > self._settings.max_tokens:
            raise ApiError(
                400,
                f"max_tokens {asked.limit}: this server gives at most {self._settings.max_tokens}",
                param="max_tokens",
            )
        any_seed = body.seed is None or body.seed == ANY_SEED
        seed = secrets.randbits(48) if any_seed else (body.seed or 0) % SEEDS
        return [
            Request(
                tokens,
                max_tokens=asked.limit,
                sampling=_sampling(body, self.defaults, seed + i),
                stop=tuple(body.stop or ()),
                stop_tokens=tuple(body.stop_token_ids or ()),
                ignore_end=body.ignore_eos,
                top_logprobs=_most(asked.top, body.prompt_logprobs),
                score_prompt=asked.score or body.prompt_logprobs is not None,
                trace_experts=body.trace_experts,
                constraint=_copy(constraint),
                adapter=asked.adapter,
                min_tokens=body.min_tokens,
                include_stop=body.include_stop_str_in_output,
                show_special=not body.skip_special_tokens,
                speculation=self._settings.speculation
                if body.speculation is None
                else body.speculation,
            )
            for i in range(body.n or 1)
        ]


def _most(new: int | None, prompt: int | None) -> int | None:
    """How many best tokens are asked for, of the new ones or of the prompt's."""
    return new if prompt is None else max(new or 0, prompt)


def _copy(constraint: Matched | CalledFreely | None) -> Constraint | None:
    return None if constraint is None else constraint.copy()


def _sampling(body: Controls, defaults: Defaults, seed: int) -> Sampling:
    """The controls of a request; what it leaves out is as the model's makers state it."""

    def given(name: str, otherwise: Any) -> Any:
        value = getattr(body, name)
        value = getattr(defaults, name) if value is None else value
        return otherwise if value is None else value

    return Sampling(
        temperature=given("temperature", 1.0),
        top_p=given("top_p", 1.0),
        top_k=max(given("top_k", 0), 0),
        min_p=given("min_p", 0.0),
        repetition_penalty=given("repetition_penalty", 1.0),
        seed=seed,
        presence_penalty=body.presence_penalty or 0.0,
        frequency_penalty=body.frequency_penalty or 0.0,
        logit_bias=_bias(body.logit_bias or {}),
        allowed_tokens=tuple(body.allowed_token_ids or ()),
    )


def _bias(wire: dict[str, float]) -> dict[int, float]:
    if not all(token.isdecimal() and token.isascii() and len(token) < 10 for token in wire):
        raise InvalidInput("logit_bias: its keys must be token ids, as in {'1234': -100}")
    return {int(token): bias for token, bias in wire.items()}
