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
from hnlpu.serve._answers import check_finished, completion_logprobs, failure, usage
from hnlpu.serve._context import Context
from hnlpu.serve._prompts import Encoded, encode_prompts
from hnlpu.serve._schema import CompletionRequest
from hnlpu.serve._service import Job
from hnlpu.serve._stream import DONE, EventStream, encode_event, while_client_waits


class _Answer:
    """The parts of one request's answer that all its chunks share."""

    def __init__(self, context: Context, body: CompletionRequest, prompts: list[Encoded]):
        self.context = context
        self.body = body
        self.prompts = prompts
        self.per_prompt = body.n or 1
        self.envelope: dict[str, Any] = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": body.model,
            "system_fingerprint": context.fingerprint,
        }

    def prompt(self, index: int) -> Encoded:
        """The prompt of choice `index`."""
        return self.prompts[index // self.per_prompt]

    def logprobs(
        self, index: int, scores: Sequence[TokenScore], first: int | None, offset: int
    ) -> dict[str, Any] | None:
        """The `logprobs` of a choice or chunk, where asked for."""
        top = self.body.logprobs
        if top is None:
            return None
        return completion_logprobs(scores, first, self.context.texts, offset, top)

    def usage(self, new: int) -> dict[str, int]:
        """The `usage` with `new` tokens in all choices."""
        return usage(sum(len(p.tokens) for p in self.prompts), new)


def routes(context: Context) -> APIRouter:
    """The endpoint."""
    router = APIRouter()

    @router.post("/v1/completions", **context.documented)
    async def completions(body: CompletionRequest, http: HttpRequest) -> Response:
        """Continue one or several prompts."""
        adapter = context.adapter(body.model)
        prompts = await encode_prompts(context.model, body.prompt)
        requests = await context.translator.completion(body, prompts, adapter)
        answer = _Answer(context, body, prompts)
        job = context.service.job(requests)
        if body.stream:
            job.submit()
            return EventStream(_events(answer, job), context.settings.timeout_seconds, job.close)
        with job:
            work = _whole(answer, job)
            return await while_client_waits(http, work, context.settings.timeout_seconds)

    return router


async def _whole(answer: _Answer, job: Job) -> Response:
    results = await job.results()
    check_finished(results)
    choices = []
    for index, result in enumerate(results):
        prompt = answer.prompt(index)
        echo = answer.body.echo
        scores = [*result.prompt_scores, *result.scores] if echo else result.scores
        choice = {
            "index": index,
            "text": (prompt.text if echo else "") + result.text,
            "logprobs": answer.logprobs(index, scores, prompt.tokens[0] if echo else None, 0),
            "finish_reason": result.reason,
        }
        if answer.body.trace_experts:
            choice["experts"] = [e.tolist() for e in result.experts]
        choices.append(choice)
    new = sum(len(result.tokens) for result in results)
    return JSONResponse(answer.envelope | {"choices": choices, "usage": answer.usage(new)})


async def _events(answer: _Answer, job: Job) -> AsyncIterator[bytes]:
    new = 0
    offsets: dict[int, int] = {}
    async for index, update in job.updates():
        new += update.token is not None
        if update.error is not None:
            yield encode_event(failure(update.error))
            break
        choice = _chunk(answer, index, update, offsets)
        yield encode_event(answer.envelope | {"choices": [choice]})
    options = answer.body.stream_options
    if options is not None and options.include_usage:
        yield encode_event(answer.envelope | {"choices": [], "usage": answer.usage(new)})
    yield DONE


def _chunk(answer: _Answer, index: int, update: Update, offsets: dict[int, int]) -> dict[str, Any]:
    prompt, text = answer.prompt(index), update.text
    scores = [] if update.score is None else [update.score]
    first = None
    if answer.body.echo and index not in offsets:
        text = prompt.text + text
        scores = [*(update.prompt_scores or ()), *scores]
        first = prompt.tokens[0]
    logprobs = answer.logprobs(index, scores, first, offsets.get(index, 0))
    length = 0 if logprobs is None else sum(map(len, logprobs["tokens"]))
    offsets[index] = offsets.get(index, 0) + length
    choice = {
        "index": index,
        "text": text,
        "logprobs": logprobs,
        "finish_reason": update.reason,
    }
    if update.experts is not None:
        choice["experts"] = [update.experts.tolist()]
    return choice
