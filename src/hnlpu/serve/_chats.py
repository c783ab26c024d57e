"""POST /v1/chat/completions: answer a conversation."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from hnlpu.serve._answers import chat_logprobs, check_finished, failure, usage
from hnlpu.serve._context import Context
from hnlpu.serve._prompts import Encoded, encode_prompts
from hnlpu.serve._schema import ChatRequest
from hnlpu.serve._service import Job
from hnlpu.serve._stream import DONE, EventStream, encode_event, while_client_waits


class _Answer:
    """The parts of one request's answer that all its chunks share."""

    def __init__(self, context: Context, body: ChatRequest, prompt: Encoded):
        self.context = context
        self.body = body
        self.prompt = prompt
        self.parsers = [context.answer_parser() for _ in range(body.n or 1)]
        self.envelope: dict[str, Any] = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion.chunk" if body.stream else "chat.completion",
            "created": int(time.time()),
            "model": body.model,
            "system_fingerprint": context.fingerprint,
        }

    def usage(self, new: int) -> dict[str, int]:
        """The `usage` with `new` tokens in all choices."""
        return usage(len(self.prompt.tokens), new)


def routes(context: Context) -> APIRouter:
    """The endpoint."""
    router = APIRouter()

    @router.post("/v1/chat/completions", **context.documented)
    async def chats(body: ChatRequest, http: HttpRequest) -> Response:
        """Answer a conversation."""
        adapter = context.adapter(body.model)
        text = context.template.render(
            body.messages, list(context.special_tokens), body.reasoning_effort
        )
        (prompt,) = await encode_prompts(context.model, text)
        requests = await context.translator.chat(body, prompt, adapter)
        answer = _Answer(context, body, prompt)
        job = context.service.job(requests)
        if body.stream:
            job.submit()
            return EventStream(_events(answer, job), context.settings.timeout_seconds, job.close)
        with job:
            work = _whole(answer, job)
            return await while_client_waits(http, work, context.settings.timeout_seconds)

    return router


async def _whole(answer: _Answer, job: Job) -> Response:
    content, reasoning = [""] * len(answer.parsers), [""] * len(answer.parsers)

    async for index, update in job.updates():
        parts = answer.parsers[index].push(update.token, update.text)
        content[index] += parts.content
        reasoning[index] += parts.reasoning
    results = job.collected()
    check_finished(results)
    choices = []
    for index, result in enumerate(results):
        message = {"role": "assistant", "content": content[index], "refusal": None}
        if reasoning[index]:
            message["reasoning_content"] = reasoning[index]
        wanted = answer.body.logprobs
        choice = {
            "index": index,
            "message": message,
            "logprobs": chat_logprobs(result.scores, answer.context.texts) if wanted else None,
            "finish_reason": result.reason,
        }
        if answer.body.trace_experts:
            choice["experts"] = [e.tolist() for e in result.experts]
        choices.append(choice)
    new = sum(len(result.tokens) for result in results)
    return JSONResponse(answer.envelope | {"choices": choices, "usage": answer.usage(new)})


async def _events(answer: _Answer, job: Job) -> AsyncIterator[bytes]:
    new = 0

    def event(index: int, delta: dict[str, Any], reason: str | None, **more: Any) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason} | more
        return encode_event(answer.envelope | {"choices": [choice]})

    for index in range(len(answer.parsers)):
        yield event(index, {"role": "assistant", "content": ""}, None)
    async for index, update in job.updates():
        new += update.token is not None
        if update.error is not None:
            yield encode_event(failure(update.error))
            break
        parts = answer.parsers[index].push(update.token, update.text)
        delta: dict[str, Any] = {}
        if parts.content or not parts.reasoning:
            delta["content"] = parts.content
        if parts.reasoning:
            delta["reasoning_content"] = parts.reasoning
        more: dict[str, Any] = {}
        if update.score is not None:
            more["logprobs"] = chat_logprobs([update.score], answer.context.texts)
        if update.experts is not None:
            more["experts"] = [update.experts.tolist()]
        yield event(index, delta, update.reason, **more)
    options = answer.body.stream_options
    if options is not None and options.include_usage:
        yield encode_event(answer.envelope | {"choices": [], "usage": answer.usage(new)})
    yield DONE
