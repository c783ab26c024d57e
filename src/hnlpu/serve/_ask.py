"""A small client of the server's own: one request on one connection, and its answer without what is new each time."""

from __future__ import annotations

import asyncio
import json
from typing import Any

NEW_EACH_TIME = ("id", "created", "usage", "system_fingerprint")
RETRY_SECONDS = 0.05


async def ask(port: int, path: str, body: bytes, patience: float | None = None) -> Any:
    """The answer to a request: its status and its JSON, or the events of a stream.

    After `patience` seconds the client leaves, and there is none: None.  A full queue is tried again.
    """
    while True:
        try:
            async with asyncio.timeout(patience):
                status, raw = await _exchanged(port, path, body)
        except TimeoutError:
            return None
        if status != 429:
            return status, _plain(_parsed(raw))
        await asyncio.sleep(RETRY_SECONDS)


async def _exchanged(port: int, path: str, body: bytes) -> tuple[int, bytes]:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(head.encode() + body)
        raw = await reader.read()
    finally:
        writer.close()
    headers, _, content = raw.partition(b"\r\n\r\n")
    if b"chunked" in headers.lower():
        content = _unchunked(content)
    return int(headers.split(b" ", 2)[1]), content


def _unchunked(content: bytes) -> bytes:
    """A body in chunks as one piece (RFC 9112, 7.1)."""
    found = []
    while content:
        size, _, rest = content.partition(b"\r\n")
        length = int(size or b"0", 16)
        found.append(rest[:length])
        content = rest[length + 2 :] if length else b""
    return b"".join(found)


def _parsed(raw: bytes) -> Any:
    if raw.startswith((b"data: ", b"event: ")):
        lines = [line for line in raw.split(b"\n") if line.startswith(b"data: {")]
        return [json.loads(line.removeprefix(b"data: ")) for line in lines]
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode("utf-8", "replace")


def _plain(value: Any) -> Any:
    """An answer without ids, times and counts of what was found in memory."""
    match value:
        case dict():
            return {k: _plain(v) for k, v in value.items() if k not in NEW_EACH_TIME}
        case list():
            return [_plain(entry) for entry in value]
        case _:
            return value
