"""/v1/responses: OpenAI's newer form of a chat, answered in items.

A response is kept, unless `store` is false, so that a later one can go on from it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from hnlpu.run.engine import Sampling
from hnlpu.serve._answers import check_finished, failure, token_entry
from hnlpu.serve._choice import Choice
from hnlpu.serve._context import Context
from hnlpu.serve._conversation import turn_of, warnings_of
from hnlpu.serve._dialect import Turn
from hnlpu.serve._errors import ApiError, in_words
from hnlpu.serve._items import WORDS, ResponsesRequest, as_chat
from hnlpu.serve._output import Event, Items
from hnlpu.serve._reply import in_ascii, named_event, reply
from hnlpu.serve._service import Job
from hnlpu.serve._stored import StoredResponse, StoredResponses
from hnlpu.serve._wire import unknown_fields, warning_header


class _Answer:
    """One request's answer."""

    def __init__(
        self,
        context: Context,
        body: ResponsesRequest,
        turn: Turn,
        before: list[dict[str, Any]],
        sampling: Sampling,
    ):
        self.context = context
        self.turn = turn
        self.choice = Choice(context, turn)
        self.items = Items(
            self.choice, lambda score: token_entry(score, context.texts, listed=True)
        )
        self.body = body
        self.before = before
        self.thought = 0  # tokens that belong to thoughts
        self._envelope = _envelope(context, body, sampling)

    def begun(self) -> dict[str, Any]:
        """The response before its first item."""
        return self._envelope | {"status": "in_progress", "output": []}

    def ended(self, job: Job, reason: str | None) -> dict[str, Any]:
        """The whole response."""
        cut = reason == "length"
        if cut and self.items.items:
            self.items.items[-1]["status"] = "incomplete"
        found = self._envelope | {
            "status": "incomplete" if cut else "completed",
            "output": self.items.items,
            "usage": self._usage(job),
            "completed_at": None if cut else int(time.time()),
        }
        if cut:
            found["incomplete_details"] = {"reason": "max_output_tokens"}
        if self.body.store:
            context = [*self.before, *self.body.items]
            self.context.stored.put(found, context)
        return found

    def failed(self, error: dict[str, Any]) -> dict[str, Any]:
        """The response that the engine could not finish."""
        told = {"code": "server_error", "message": error["error"]["message"]}
        return self._envelope | {"status": "failed", "output": self.items.items, "error": told}

    def _usage(self, job: Job) -> dict[str, Any]:
        prompt = len(self.turn.prompt)
        return {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": job.reused_tokens, "cache_write_tokens": 0},
            "output_tokens": job.new_tokens,
            "output_tokens_details": {"reasoning_tokens": self.thought} | (job.tried or {}),
            "total_tokens": prompt + job.new_tokens,
        }

    async def events(self, job: Job) -> AsyncIterator[Event]:
        """What the items' events are, up to the last item's end."""
        async for _, update in job.updates():
            if update.error is not None:
                return
            parts = self.choice.push(update)
            self.thought += self.choice.place == "reasoning"
            for event in self.items.push(parts, update.score):
                yield event
        for event in self.items.close():
            yield event


def _envelope(context: Context, body: ResponsesRequest, sampling: Sampling) -> dict[str, Any]:
    """What all states of a response have in common; fields that mean nothing here say so."""
    form = {"type": "text"}
    if body.text is not None and body.text.format is not None:
        form = body.text.format.model_dump(by_alias=True, exclude_none=True)
    reasoning = {"effort": body.reasoning.effort if body.reasoning else None, "summary": None}
    return {
        "id": f"resp_{uuid.uuid4().hex}",
        "object": "response",
        "created_at": int(time.time()),
        "completed_at": None,
        "model": body.model or context.service.name,
        "instructions": body.instructions,
        "metadata": body.metadata or {},
        "parallel_tool_calls": body.parallel_tool_calls,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "top_logprobs": body.top_logprobs or 0,
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": None,
        "text": {"format": form},
        "reasoning": reasoning,
        "tools": [_tool(tool) for tool in body.tools or ()],
        "tool_choice": body.tool_choice or "auto",
        "previous_response_id": body.previous_response_id,
        "store": body.store,
        "background": False,
        "service_tier": "default",
        "safety_identifier": None,
        "prompt_cache_key": None,
        "truncation": "disabled",
        "error": None,
        "incomplete_details": None,
        "usage": None,
    }


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    """A function as responses tell it back, whichever way it was given."""
    function = tool.get("function", tool)
    told = {name: function.get(name) for name in ("name", "description", "parameters", "strict")}
    return {"type": "function"} | told


def routes(context: Context) -> APIRouter:
    """The endpoint."""
    router = APIRouter()

    @router.post("/v1/responses", **context.documented)
    async def responses(body: ResponsesRequest, http: HttpRequest) -> Response:
        """Answer a conversation in items."""
        adapter = context.adapter(body.model)
        before = _before(context.stored, body.previous_response_id)
        chat = as_chat(body, before)
        with in_words(WORDS):
            turn = await turn_of(context, chat)
            requests = await context.translator.chat(chat, turn, adapter)
        answer = _Answer(context, body, turn, before, requests[0].sampling)
        job = context.service.job(requests)
        headers = warning_header(unknown_fields(body), *warnings_of(context, chat))
        events = (lambda: _stream(answer, job)) if body.stream else None
        return await reply(
            context,
            http,
            job,
            headers,
            events=events,
            whole=lambda: _whole(answer, job),
            words=WORDS,
        )

    @router.post("/v1/responses/compact", include_in_schema=False)
    async def compact() -> Response:
        """Not served: a conversation is kept whole."""
        raise ApiError(404, "compaction is not served here; send the items that are to stay")

    @router.get("/v1/responses/{response_id}", **context.documented)
    async def stored(response_id: str) -> Response:
        """A response that was stored."""
        return in_ascii(_found(context.stored, response_id).response)

    @router.get("/v1/responses/{response_id}/input_items", **context.documented)
    async def stored_input(response_id: str) -> Response:
        """What a stored response was the answer to, the items before it included."""
        entry = _found(context.stored, response_id)
        data = [{"id": f"item_{i}"} | item for i, item in enumerate(entry.input)]
        ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]}
        return in_ascii({"object": "list", "data": data, "has_more": False} | ends)

    @router.delete("/v1/responses/{response_id}", **context.documented)
    async def forget(response_id: str) -> Response:
        """Forget a stored response."""
        _found(context.stored, response_id)
        context.stored.delete(response_id)
        return JSONResponse({"id": response_id, "object": "response", "deleted": True})

    return router


def _found(stored: StoredResponses, ident: str, field: str = "response_id") -> StoredResponse:
    """A stored response; raises ApiError."""
    entry = stored.get(ident)
    if entry is None:
        raise ApiError(
            404, f"{field}: no response {ident[:64]!r} is stored here (those that are not asked "
            "for give way to new ones); send the whole conversation as input",
            code="response_not_found", param=field,
        )  # fmt: skip
    return entry


def _before(stored: StoredResponses, ident: str | None) -> list[dict[str, Any]]:
    """The items that a request goes on from."""
    if ident is None:
        return []
    entry = _found(stored, ident, "previous_response_id")
    return [*entry.input, *entry.response["output"]]


async def _whole(answer: _Answer, job: Job) -> dict[str, Any]:
    async for _ in answer.events(job):
        pass
    (result,) = results = job.collected()
    check_finished(results)
    return answer.ended(job, result.reason)


async def _stream(answer: _Answer, job: Job) -> AsyncIterator[bytes]:
    number = 0

    def encoded(event: Event) -> bytes:
        nonlocal number
        told = named_event(event | {"sequence_number": number})
        number += 1
        return told

    for kind in ("created", "in_progress"):
        yield encoded({"type": f"response.{kind}", "response": answer.begun()})
    async for event in answer.events(job):
        yield encoded(event)
    (result,) = job.collected()
    if result.error is not None:
        response = answer.failed(failure(result.error))
        yield encoded({"type": "response.failed", "response": response})
        return
    response = answer.ended(job, result.reason)
    yield encoded({"type": f"response.{response['status']}", "response": response})
