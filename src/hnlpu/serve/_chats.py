"""POST /v1/chat/completions: answer a conversation."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from hnlpu.run.chat import AnswerParts
from hnlpu.run.engine import Update
from hnlpu.serve._answers import (
    chat_logprobs,
    check_finished,
    first_best,
    prompt_logprobs,
    stop_reason,
    usage,
)
from hnlpu.serve._choice import Choice
from hnlpu.serve._context import Context
from hnlpu.serve._conversation import turn_of, warnings_of
from hnlpu.serve._dialect import Turn
from hnlpu.serve._reply import chunks, reply
from hnlpu.serve._schema import ChatRequest
from hnlpu.serve._service import Job
from hnlpu.serve._wire import unknown_fields, warning_header


class _Answer:
    """The parts of one request's answer that all its chunks share."""

    def __init__(self, context: Context, body: ChatRequest, turn: Turn):
        self.context = context
        self.body = body
        self.turn = turn
        self.choices = [Choice(context, turn) for _ in range(body.n or 1)]
        self.envelope: dict[str, Any] = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion.chunk" if body.stream else "chat.completion",
            "created": int(time.time()),
            "model": body.model or context.service.name,
            "system_fingerprint": context.fingerprint,
        }

    def usage(self, job: Job) -> dict[str, Any]:
        """The `usage` so far of all choices."""
        return usage(len(self.turn.prompt), job.new_tokens, job.reused_tokens, job.tried)

    def opening(self) -> Iterator[dict[str, Any]]:
        """Every choice's role."""
        for index in range(len(self.choices)):
            first = {"role": "assistant", "content": ""}
            yield {"index": index, "delta": first, "logprobs": None, "finish_reason": None}

    def chunk(self, index: int, update: Update) -> dict[str, Any]:
        """An update as a choice of a stream's chunk."""
        choice = self.choices[index]
        parts = choice.push(update)
        if not self.body.include_reasoning:
            parts = AnswerParts(parts.content, "", parts.calls)
        found: dict[str, Any] = {
            "index": index,
            "delta": choice.delta(parts),
            "logprobs": None,
            "finish_reason": choice.reason(update.reason),
        }
        if update.score is not None:
            found["logprobs"] = chat_logprobs([update.score], self.context.texts)
        if update.experts is not None:
            found["experts"] = [update.experts.tolist()]
        if update.reason is not None:
            found["stop_reason"] = stop_reason(update.stopped_by, self.context.ends)
        return found


def routes(context: Context) -> APIRouter:
    """The endpoint."""
    router = APIRouter()

    @router.post("/v1/chat/completions", **context.documented)
    async def chats(body: ChatRequest, http: HttpRequest) -> Response:
        """Answer a conversation."""
        adapter = context.adapter(body.model)
        turn = await turn_of(context, body)
        requests = await context.translator.chat(body, turn, adapter)
        answer = _Answer(context, body, turn)
        job = context.service.job(requests)
        headers = warning_header(unknown_fields(body), *warnings_of(context, body))
        events = (lambda: chunks(answer, job)) if body.stream else None
        return await reply(
            context, http, job, headers, events=events, whole=lambda: _whole(answer, job)
        )

    return router


async def _whole(answer: _Answer, job: Job) -> dict[str, Any]:
    async for index, update in job.updates():
        answer.choices[index].push(update)
    results = job.collected()
    check_finished(results)
    choices = []
    for index, (result, choice) in enumerate(zip(results, answer.choices, strict=True)):
        found = {
            "index": index,
            "message": choice.message(answer.body.include_reasoning),
            "logprobs": None,
            "finish_reason": choice.reason(result.reason),
            "stop_reason": stop_reason(result.stopped_by, answer.context.ends),
        }
        if answer.body.logprobs:
            found["logprobs"] = chat_logprobs(
                first_best(result.scores, answer.body.top_logprobs or 0), answer.context.texts
            )
        if answer.body.trace_experts:
            found["experts"] = [e.tolist() for e in result.experts]
        choices.append(found)
    told = answer.envelope | {"choices": choices, "usage": answer.usage(job)}
    top = answer.body.prompt_logprobs
    if top is not None:
        told["prompt_logprobs"] = prompt_logprobs(
            results[0].prompt_scores, answer.context.texts, top
        )
    return told
