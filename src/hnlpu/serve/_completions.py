"""POST /v1/completions: continue texts, or score them with `echo` and `logprobs`."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from hnlpu.run.engine import TokenScore, Update
from hnlpu.serve._answers import (
    check_finished,
    completion_logprobs,
    first_best,
    prompt_logprobs,
    stop_reason,
    usage,
)
from hnlpu.serve._context import Context
from hnlpu.serve._offsets import Offsets
from hnlpu.serve._prompts import Encoded, encode_prompts
from hnlpu.serve._reply import chunks, reply
from hnlpu.serve._schema import CompletionRequest
from hnlpu.serve._service import Job
from hnlpu.serve._wire import unknown_fields, warning_header


class _Answer:
    """The parts of one request's answer that all its chunks share."""

    def __init__(self, context: Context, body: CompletionRequest, prompts: list[Encoded]):
        self.context = context
        self.body = body
        self.prompts = prompts
        self.per_prompt = body.n or 1
        self._offsets: dict[int, Offsets] = {}
        self._begun: set[int] = set()
        self.envelope: dict[str, Any] = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": body.model or context.service.name,
            "system_fingerprint": context.fingerprint,
        }

    def prompt(self, index: int) -> Encoded:
        """The prompt of choice `index`."""
        return self.prompts[index // self.per_prompt]

    def logprobs(
        self, index: int, before: Sequence[TokenScore], new: Sequence[TokenScore], opens: bool
    ) -> dict[str, Any] | None:
        """The `logprobs` of a choice or chunk, where asked for.

        `before` are the prompt's; `opens`: the text begins with the prompt here.
        """
        top = self.body.logprobs
        if top is None:
            return None
        prompt = self.prompt(index)
        if index not in self._offsets:
            self._offsets[index] = Offsets(
                self.context.model.tokenizer,
                prompt.tokens,
                len(prompt.text) if self.body.echo else 0,
                show_special=not self.body.skip_special_tokens,
            )
        offsets = [*(prompt.starts if opens else ())]
        offsets += [self._offsets[index].next(score.token) for score in new]
        first = prompt.tokens[0] if opens else None
        return completion_logprobs(
            first_best([*before, *new], top), first, self.context.texts, offsets, top
        )

    def usage(self, job: Job) -> dict[str, Any]:
        """The `usage` so far of all choices."""
        prompt = sum(len(p.tokens) for p in self.prompts)
        return usage(prompt, job.new_tokens, job.reused_tokens, job.tried)

    def opening(self) -> Iterable[dict[str, Any]]:
        """Nothing."""
        return ()

    def chunk(self, index: int, update: Update) -> dict[str, Any]:
        """An update as a choice of a stream's chunk."""
        first = index not in self._begun
        self._begun.add(index)
        opens = self.body.echo and first
        before = (update.prompt_scores or ()) if opens else ()
        scores = [] if update.score is None else [update.score]
        choice = {
            "index": index,
            "text": (self.prompt(index).text if opens else "") + update.text,
            "logprobs": self.logprobs(index, before, scores, opens),
            "finish_reason": update.reason,
            "stop_reason": stop_reason(update.stopped_by, self.context.ends),
        }
        if update.experts is not None:
            choice["experts"] = [update.experts.tolist()]
        return choice


def routes(context: Context) -> APIRouter:
    """The endpoint."""
    router = APIRouter()

    @router.post("/v1/completions", **context.documented)
    async def completions(body: CompletionRequest, http: HttpRequest) -> Response:
        """Continue one or several prompts."""
        adapter = context.adapter(body.model)
        starts = body.echo and body.logprobs is not None
        prompts = await encode_prompts(context.model, body.prompt, starts=starts)
        requests = await context.translator.completion(body, prompts, adapter)
        answer = _Answer(context, body, prompts)
        job = context.service.job(requests)
        headers = warning_header(unknown_fields(body))
        events = (lambda: chunks(answer, job)) if body.stream else None
        return await reply(
            context, http, job, headers, events=events, whole=lambda: _whole(answer, job)
        )

    return router


async def _whole(answer: _Answer, job: Job) -> dict[str, Any]:
    results = await job.results()
    check_finished(results)
    choices = []
    for index, result in enumerate(results):
        prompt = answer.prompt(index)
        echo = answer.body.echo
        choice = {
            "index": index,
            "text": (prompt.text if echo else "") + result.text,
            "logprobs": answer.logprobs(
                index, result.prompt_scores if echo else (), result.scores, opens=echo
            ),
            "finish_reason": result.reason,
            "stop_reason": stop_reason(result.stopped_by, answer.context.ends),
        }
        if answer.body.prompt_logprobs is not None:
            choice["prompt_logprobs"] = prompt_logprobs(
                result.prompt_scores, answer.context.texts, answer.body.prompt_logprobs
            )
        if answer.body.trace_experts:
            choice["experts"] = [e.tolist() for e in result.experts]
        choices.append(choice)
    return answer.envelope | {"choices": choices, "usage": answer.usage(job)}
