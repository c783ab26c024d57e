"""/v1/messages: Anthropic's form of a chat, answered in blocks.

thinking block ─► text block ─► tool_use blocks, each started, told in pieces, and stopped
"""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from hnlpu.errors import HnlpuError
from hnlpu.run.chat import AnswerParts
from hnlpu.serve._answers import check_finished
from hnlpu.serve._blocks import WORDS, CountRequest, MessagesRequest, as_chat
from hnlpu.serve._choice import Choice
from hnlpu.serve._context import Context
from hnlpu.serve._conversation import turn_of, warnings_of
from hnlpu.serve._dialect import Turn
from hnlpu.serve._errors import as_api_error, in_words, messages_error
from hnlpu.serve._reply import in_ascii, named_event, reply
from hnlpu.serve._service import Job
from hnlpu.serve._wire import unknown_fields, warning_header

Event = dict[str, Any]
PATH = "/v1/messages"


class _Blocks:
    """The blocks of one answer, and the events that tell of them."""

    def __init__(self, choice: Choice):
        self.blocks: list[dict[str, Any]] = []
        self._choice = choice
        self._open = False
        self._arguments = ""

    def push(self, parts: AnswerParts) -> Iterator[Event]:
        """What some parts add."""
        if parts.reasoning:
            yield from self._text("thinking", parts.reasoning)
        if parts.content:
            yield from self._text("text", parts.content)
        for call in parts.calls:
            if call.name is not None:
                ident = f"toolu_{self._choice.calls[call.index]['id']}"
                yield from self._begin("tool_use", _use(ident, call.name))
            self._arguments += call.arguments
            yield self._delta({"type": "input_json_delta", "partial_json": call.arguments})

    def close(self) -> Iterator[Event]:
        """The end of the block that is open."""
        if not self._open:
            return
        self._open = False
        block = self.blocks[-1]
        if block["type"] == "tool_use":
            block["input"] = _object(self._arguments)
            self._arguments = ""
        yield {"type": "content_block_stop", "index": len(self.blocks) - 1}

    def _text(self, kind: str, text: str) -> Iterator[Event]:
        if not self._open or self.blocks[-1]["type"] != kind:
            more = {"signature": ""} if kind == "thinking" else {"citations": None}
            yield from self._begin(kind, {kind: "", **more})
        self.blocks[-1][kind] += text
        yield self._delta({"type": f"{kind}_delta", kind: text})

    def _begin(self, kind: str, more: dict[str, Any]) -> Iterator[Event]:
        yield from self.close()
        self.blocks.append({"type": kind} | more)
        self._open = True
        block = dict(self.blocks[-1])
        yield {"type": "content_block_start", "index": len(self.blocks) - 1, "content_block": block}

    def _delta(self, delta: dict[str, Any]) -> Event:
        return {"type": "content_block_delta", "index": len(self.blocks) - 1, "delta": delta}


def _use(ident: str, name: str) -> dict[str, Any]:
    return {"id": ident, "name": name, "input": {}, "caller": {"type": "direct"}}


def _object(text: str) -> Any:
    """Arguments as the object that they are; what was cut off is told as it is."""
    try:
        found = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):
        return {"incomplete": text}
    return found if isinstance(found, dict) else {"value": found}


class _Answer:
    """One request's answer."""

    def __init__(self, context: Context, body: MessagesRequest, turn: Turn):
        self.turn = turn
        self.choice = Choice(context, turn)
        self.blocks = _Blocks(self.choice)
        self._envelope: dict[str, Any] = {
            "id": f"msg_{uuid.uuid4().hex}",
            "type": "message",
            "role": "assistant",
            "model": body.model or context.service.name,
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
            "container": None,
        }

    def _usage(self, job: Job) -> dict[str, Any]:
        return {
            "input_tokens": len(self.turn.prompt) - job.reused_tokens,
            "cache_read_input_tokens": job.reused_tokens,
            "cache_creation_input_tokens": 0,
            "output_tokens": job.new_tokens,
            "cache_creation": None,
            "inference_geo": None,
            "output_tokens_details": None,
            "server_tool_use": None,
            "service_tier": "standard",
        }

    def begun(self, job: Job) -> dict[str, Any]:
        """The message before its first block."""
        return self._envelope | {"content": [], "usage": self._usage(job)}

    def why(self, reason: str | None, stopped_by: int | str | None) -> dict[str, Any]:
        """Why it ended."""
        if self.choice.calls and reason == "stop":
            return {"stop_reason": "tool_use", "stop_sequence": None}
        if isinstance(stopped_by, str):
            return {"stop_reason": "stop_sequence", "stop_sequence": stopped_by}
        told = "max_tokens" if reason == "length" else "end_turn"
        return {"stop_reason": told, "stop_sequence": None}

    def ended(self, job: Job) -> dict[str, Any]:
        """The whole message.  Raises what kept it from its end."""
        (result,) = results = job.collected()
        check_finished(results)
        told = self.why(result.reason, result.stopped_by)
        return self._envelope | told | {"content": self.blocks.blocks, "usage": self._usage(job)}

    def last_delta(self, job: Job) -> Event:
        """The event that tells why the message ended."""
        (result,) = job.collected()
        told = self.why(result.reason, result.stopped_by)
        return {"type": "message_delta", "delta": told, "usage": self._usage(job)}

    async def events(self, job: Job) -> AsyncIterator[Event]:
        """What the blocks' events are, up to the last block's end."""
        async for _, update in job.updates():
            if update.error is not None:
                return
            for event in self.blocks.push(self.choice.push(update)):
                yield event
        for event in self.blocks.close():
            yield event


def routes(context: Context) -> APIRouter:
    """The endpoints."""
    router = APIRouter()

    @router.post(PATH, **context.documented)
    async def messages(body: MessagesRequest, http: HttpRequest) -> Response:
        """Answer a conversation in blocks."""
        adapter = context.adapter(body.model)
        chat = as_chat(body)
        with in_words(WORDS):
            turn = await turn_of(context, chat)
            requests = await context.translator.chat(chat, turn, adapter)
        answer = _Answer(context, body, turn)
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

    @router.post(f"{PATH}/count_tokens", **context.documented)
    async def count(body: CountRequest) -> Response:
        """How many tokens a conversation has."""
        context.adapter(body.model)
        with in_words(WORDS):
            turn = await turn_of(context, as_chat(body))
        headers = warning_header(unknown_fields(body))
        return in_ascii({"input_tokens": len(turn.prompt)}, headers)

    return router


async def _whole(answer: _Answer, job: Job) -> dict[str, Any]:
    async for _ in answer.events(job):
        pass
    return answer.ended(job)


async def _stream(answer: _Answer, job: Job) -> AsyncIterator[bytes]:
    yield named_event({"type": "message_start", "message": answer.begun(job)})
    async for event in answer.events(job):
        yield named_event(event)
    (result,) = job.collected()
    if isinstance(result.error, HnlpuError):
        error = as_api_error(result.error)
        yield named_event(messages_error(error.status, str(error)))
        return
    yield named_event(answer.last_delta(job))
    yield named_event({"type": "message_stop"})
