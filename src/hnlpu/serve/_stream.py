"""Answers that take a while: stopped when the client leaves, and by the clock.

Starlette notices a client that left only when it writes; a request may wait
for its turn much longer than that.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hnlpu.serve._errors import ApiError, error_body

T = TypeVar("T")
DONE = b"data: [DONE]\n\n"


class ClientLeft(Exception):
    """Nobody waits for the answer any more."""


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def while_client_waits(http: HttpRequest, work: Coroutine[Any, Any, T], seconds: float) -> T:
    """The result of `work`; it is cancelled when the client leaves or time is up.

    Raises ClientLeft or, with status 504, ApiError.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_left(http.receive))
    try:
        await asyncio.wait({task, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if gone.done():
            raise ClientLeft
        raise ApiError(504, f"not finished within {seconds:g} seconds", code="timeout")
    finally:
        await _cancel(task, gone)


async def _cancel(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def encode_event(value: Any) -> bytes:
    """A server-sent event, in ASCII: some clients end lines at more characters than a newline."""
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


class EventStream(Response):
    """Server-sent events from `events`; `on_end` is called whatever ends the stream.

    A reader that does not read keeps the stream waiting, and is cut off when
    its time is up.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncIterator[bytes],
        seconds: float,
        on_end: Callable[[], None],
        headers: Mapping[str, str],
    ):
        own = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(headers=own | dict(headers))
        del self.headers["content-length"]
        self._events = events
        self._seconds = seconds
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the events end, the client leaves, or time is up."""
        pump = asyncio.ensure_future(self._pump(send))
        gone = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait(
                {pump, gone}, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if pump.done():
                pump.result()  # a fault of ours is for the log
            elif not gone.done():
                pump.cancel()
                await asyncio.gather(pump, return_exceptions=True)
                await self._last_words(send)
        finally:
            self._on_end()
            await _cancel(pump, gone)

    async def _pump(self, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        async for event in self._events:
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _last_words(self, send: Send) -> None:
        """Say that time is up, if the client reads that at least."""
        message = f"not finished within {self._seconds:g} seconds"
        event = encode_event(error_body(504, message, "timeout")) + DONE
        try:
            async with asyncio.timeout(1):
                await send({"type": "http.response.body", "body": event, "more_body": False})
        except TimeoutError:
            pass
