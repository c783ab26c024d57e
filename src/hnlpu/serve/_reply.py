"""An answer under way -> what the client gets: all of it, or a stream of events.

job ─► updates ─► door's answer ─┬► one JSON object
                                 └► server-sent events
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from typing import Any, Protocol

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from hnlpu.run.engine import Update
from hnlpu.serve._answers import failure
from hnlpu.serve._context import Context
from hnlpu.serve._errors import in_words
from hnlpu.serve._schema import Controls
from hnlpu.serve._service import Job
from hnlpu.serve._stream import DONE, EventStream, encode_event, while_client_waits

NO_WORDS: Mapping[str, str] = {}


class Chunked(Protocol):
    """An answer that is streamed in OpenAI's older form: choices in chunks."""

    envelope: dict[str, Any]

    @property
    def body(self) -> Controls:
        """The request."""
        ...

    def usage(self, job: Job) -> dict[str, Any]:
        """The `usage` so far."""
        ...

    def opening(self) -> Iterable[dict[str, Any]]:
        """Choices that are told before any token."""
        ...

    def chunk(self, index: int, update: Update) -> dict[str, Any]:
        """An update as a choice."""
        ...


async def reply(
    context: Context,
    http: HttpRequest,
    job: Job,
    headers: Mapping[str, str],
    *,
    events: Callable[[], AsyncIterator[bytes]] | None,
    whole: Callable[[], Coroutine[Any, Any, dict[str, Any]]],
    words: Mapping[str, str] = NO_WORDS,
) -> Response:
    """The answer that `job` makes: streamed from `events`, or `whole` where these are None.

    Errors name fields as `words` has them.  Raises what the engine and the clock do.
    """
    seconds = context.settings.timeout_seconds
    with in_words(words):
        if events is not None:
            job.submit()
            return EventStream(events(), seconds, job.close, headers)
        with job:
            found = await while_client_waits(http, whole(), seconds)
    return in_ascii(found, headers)


def in_ascii(found: Any, headers: Mapping[str, str] = NO_WORDS) -> Response:
    """JSON in ASCII: what is told back need not be valid Unicode."""
    text = json.dumps(found, separators=(",", ":"))
    return Response(text, headers=dict(headers), media_type="application/json")


async def chunks(answer: Chunked, job: Job) -> AsyncIterator[bytes]:
    """The events of a streamed answer, with `usage` where it is asked for."""
    options = answer.body.stream_options

    def event(choice: dict[str, Any]) -> bytes:
        so_far = {}
        if options is not None and options.continuous_usage_stats:
            so_far = {"usage": answer.usage(job)}
        return encode_event(answer.envelope | {"choices": [choice]} | so_far)

    for choice in answer.opening():
        yield event(choice)
    async for index, update in job.updates():
        if update.error is not None:
            yield encode_event(failure(update.error))
            break
        yield event(answer.chunk(index, update))
    if options is not None and options.include_usage:
        yield encode_event(answer.envelope | {"choices": [], "usage": answer.usage(job)})
    yield DONE


def named_event(event: Mapping[str, Any]) -> bytes:
    """A server-sent event that is called as its `type` says, in ASCII."""
    data = json.dumps(event, separators=(",", ":"))
    return f"event: {event['type']}\ndata: {data}\n\n".encode()
