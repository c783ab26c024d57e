"""POST /v1/responses: OpenAI's newer form of a chat, answered in items.

    reasoning item ─► message item ─► function_call items, each opened, told in pieces, and closed

Nothing is stored: the client sends the whole conversation each time.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from hnlpu.run.chat import Parts
from hnlpu.serve._answers import chat_logprobs, check_finished, failure
from hnlpu.serve._choice import Choice
from hnlpu.serve._context import Context
from hnlpu.serve._conversation import turn_of, warnings_of
from hnlpu.serve._dialect import Turn
from hnlpu.serve._items import ResponsesRequest, as_chat
from hnlpu.serve._service import Job
from hnlpu.serve._stream import EventStream, while_client_waits
from hnlpu.serve._wire import unknown_fields, warning_header

Event = dict[str, Any]
PREFIXES = {"reasoning": "rs", "message": "msg", "function_call": "fc"}


class _Items:
    """The items of one answer, and the events that tell of them."""

    def __init__(self, choice: Choice):
        self.items: list[dict[str, Any]] = []
        self._choice = choice
        self._open = False

    def push(self, parts: Parts) -> Iterator[Event]:
        """What some parts add."""
        if parts.reasoning:
            yield from self._text("reasoning", parts.reasoning)
        if parts.content:
            yield from self._text("message", parts.content)
        for call in parts.calls:
            if call.name is not None:
                ident = self._choice.calls[call.index]["id"]
                item = {"call_id": ident, "name": call.name, "arguments": ""}
                yield from self._begin("function_call", item)
            self.items[-1]["arguments"] += call.arguments
            yield self._event("function_call_arguments.delta", delta=call.arguments)

    def close(self) -> Iterator[Event]:
        """The end of the item that is open."""
        if not self._open:
            return
        self._open = False
        item = self.items[-1]
        item["status"] = "completed"
        if item["type"] == "function_call":
            told = {"arguments": item["arguments"], "name": item["name"]}
            yield self._event("function_call_arguments.done", **told)
        else:
            part = item["content"][0]
            more: dict[str, Any] = {"logprobs": []} if part["type"] == "output_text" else {}
            kind = part["type"]
            yield self._event(f"{kind}.done", text=part["text"], content_index=0, **more)
            if kind == "output_text":
                yield self._event("content_part.done", content_index=0, part=dict(part))
        yield self._item_event("output_item.done")

    def _text(self, kind: str, text: str) -> Iterator[Event]:
        if not self._open or self.items[-1]["type"] != kind:
            yield from self._begin(kind, {})
        part = self.items[-1]["content"][0]
        part["text"] += text
        more: dict[str, Any] = {"logprobs": []} if kind == "message" else {}
        yield self._event(f"{part['type']}.delta", delta=text, content_index=0, **more)

    def _begin(self, kind: str, more: dict[str, Any]) -> Iterator[Event]:
        yield from self.close()
        ident = f"{PREFIXES[kind]}_{uuid.uuid4().hex}"
        item = {"id": ident, "type": kind, "status": "in_progress"} | more
        if kind == "message":
            item |= {"role": "assistant", "content": []}
        elif kind == "reasoning":
            item |= {"summary": [], "content": []}
        self.items.append(item)
        self._open = True
        yield self._item_event("output_item.added")
        if kind == "reasoning":
            item["content"].append({"type": "reasoning_text", "text": ""})
        elif kind == "message":
            item["content"].append({"type": "output_text", "text": "", "annotations": []})
            part = dict(item["content"][0])
            yield self._event("content_part.added", content_index=0, part=part)

    def _event(self, kind: str, **more: Any) -> Event:
        where = {"item_id": self.items[-1]["id"], "output_index": len(self.items) - 1}
        return {"type": f"response.{kind}"} | where | more

    def _item_event(self, kind: str) -> Event:
        item = json.loads(json.dumps(self.items[-1]))  # as it is now
        return {"type": f"response.{kind}", "output_index": len(self.items) - 1, "item": item}


class _Answer:
    """One request's answer."""

    def __init__(self, context: Context, body: ResponsesRequest, turn: Turn):
        self.context = context
        self.turn = turn
        self.choice = Choice(context, turn)
        self.items = _Items(self.choice)
        self.thought = 0  # tokens that told nothing but thoughts
        self._envelope: dict[str, Any] = {
            "id": f"resp_{uuid.uuid4().hex}",
            "object": "response",
            "created_at": int(time.time()),
            "model": body.model or context.service.name,
            "instructions": body.instructions,
            "metadata": body.metadata or {},
            "parallel_tool_calls": body.parallel_tool_calls,
            "temperature": body.temperature,
            "top_p": body.top_p,
            "max_output_tokens": body.max_output_tokens,
            "tools": body.tools or [],
            "tool_choice": body.tool_choice or "auto",
            "truncation": "disabled",
            "error": None,
            "incomplete_details": None,
            "usage": None,
        }

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
        }
        return found | ({"incomplete_details": {"reason": "max_output_tokens"}} if cut else {})

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
            "output_tokens_details": {"reasoning_tokens": self.thought},
            "total_tokens": prompt + job.new_tokens,
        }

    async def events(self, job: Job) -> AsyncIterator[Event]:
        """What the items' events are, up to the last item's end."""
        async for _, update in job.updates():
            if update.error is not None:
                return
            parts = self.choice.push(update)
            self.thought += bool(parts.reasoning) and not parts.content
            for event in self.items.push(parts):
                yield event
        for event in self.items.close():
            yield event


def routes(context: Context) -> APIRouter:
    """The endpoint."""
    router = APIRouter()

    @router.post("/v1/responses", **context.documented)
    async def responses(body: ResponsesRequest, http: HttpRequest) -> Response:
        """Answer a conversation in items."""
        adapter = context.adapter(body.model)
        chat = as_chat(body)
        turn = await turn_of(context, chat)
        requests = await context.translator.chat(chat, turn, adapter)
        answer = _Answer(context, body, turn)
        job = context.service.job(requests)
        headers = warning_header(unknown_fields(body), *warnings_of(context, chat))
        seconds = context.settings.timeout_seconds
        if body.stream:
            job.submit()
            return EventStream(_stream(answer, job), seconds, job.close, headers)
        with job:
            found = await while_client_waits(http, _whole(answer, job), seconds)
        # in ASCII: what is told back need not be valid Unicode
        told = json.dumps(found, separators=(",", ":"))
        return Response(told, headers=headers, media_type="application/json")

    return router


async def _whole(answer: _Answer, job: Job) -> dict[str, Any]:
    async for _ in answer.events(job):
        pass
    (result,) = results = job.collected()
    check_finished(results)
    found = answer.ended(job, result.reason)
    if result.scores:
        texts = [
            part
            for item in found["output"]
            if item["type"] == "message"
            for part in item["content"]
        ]
        for part in texts[:1]:
            part["logprobs"] = chat_logprobs(result.scores, answer.context.texts)["content"]
    return found


async def _stream(answer: _Answer, job: Job) -> AsyncIterator[bytes]:
    number = 0

    def encoded(event: Event) -> bytes:
        nonlocal number
        data = json.dumps(event | {"sequence_number": number}, separators=(",", ":"))
        number += 1
        return f"event: {event['type']}\ndata: {data}\n\n".encode()

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
