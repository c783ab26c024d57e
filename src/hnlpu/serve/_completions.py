"""POST /v1/completions: continue texts, or score them with `echo` and `logprobs`."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from hnlpu.run.engine import TokenScore, Update
from hnlpu.serve._answers import (
    check_finished,
    completion_logprobs,
    failure,
    first_best,
    prompt_logprobs,
    stop_reason,
    usage,
)
from hnlpu.serve._context import Context
from hnlpu.serve._offsets import Offsets
from hnlpu.serve._prompts import Encoded, encode_prompts
from hnlpu.serve._schema import CompletionRequest
from hnlpu.serve._service import Job
from hnlpu.serve._stream import DONE, EventStream, encode_event, while_client_waits
from hnlpu.serve._wire import unknown_fields, warning_header


class _Answer:
    """The parts of one request's answer that all its chunks share."""

    def __init__(self, context: Context, body: CompletionRequest, prompts: list[Encoded]):
        self.context = context
        self.body = body
        self.prompts = prompts
        self.per_prompt = body.n or 1
        self._offsets: dict[int, Offsets] = {}
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
        if body.stream:
            job.submit()
            seconds = context.settings.timeout_seconds
            return EventStream(_events(answer, job), seconds, job.close, headers)
        with job:
            work = _whole(answer, job)
            found = await while_client_waits(http, work, context.settings.timeout_seconds)
        return JSONResponse(found, headers=headers)

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


async def _events(answer: _Answer, job: Job) -> AsyncIterator[bytes]:
    begun: set[int] = set()
    options = answer.body.stream_options
    async for index, update in job.updates():
        if update.error is not None:
            yield encode_event(failure(update.error))
            break
        choice = _chunk(answer, index, update, index not in begun)
        begun.add(index)
        so_far = {}
        if options is not None and options.continuous_usage_stats:
            so_far = {"usage": answer.usage(job)}
        yield encode_event(answer.envelope | {"choices": [choice]} | so_far)
    if options is not None and options.include_usage:
        yield encode_event(answer.envelope | {"choices": [], "usage": answer.usage(job)})
    yield DONE


def _chunk(answer: _Answer, index: int, update: Update, first: bool) -> dict[str, Any]:
    opens = answer.body.echo and first
    before = (update.prompt_scores or ()) if opens else ()
    scores = [] if update.score is None else [update.score]
    choice = {
        "index": index,
        "text": (answer.prompt(index).text if opens else "") + update.text,
        "logprobs": answer.logprobs(index, before, scores, opens),
        "finish_reason": update.reason,
        "stop_reason": stop_reason(update.stopped_by, answer.context.ends),
    }
    if update.experts is not None:
        choice["experts"] = [update.experts.tolist()]
    return choice
