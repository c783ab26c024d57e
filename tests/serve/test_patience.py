"""Clients that take their time, connections that say nothing, and a clock that jumps: nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import resource
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hnlpu.serve import _connection, _guard
from hnlpu.serve._ask import _exchanged, ask
from hnlpu.serve._self_test import _served
from hnlpu.serve._service import Service
from hnlpu.serve._settings import ServerSettings
from hnlpu.silicon.hardwire import open_build

BODY = json.dumps({"prompt": "import os\n", "max_tokens": 20, "temperature": 0}).encode()
IDLE = 1000


def text(answer: Any) -> str:
    status, found = answer
    assert status == 200, found
    said: str = found["choices"][0]["text"]
    return said


def served(bundled: Path, work: Callable[[int], Awaitable[None]], **settings: Any) -> None:
    """Do some work with the port of a server in this process."""

    async def run() -> None:
        async with _served(Service(open_build(bundled), ServerSettings(**settings))) as port:
            await work(port)

    asyncio.run(run())


@contextlib.asynccontextmanager
async def dripped(port: int, before: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """A connection on which some bytes are sent at once and then one after the other, slowly."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def drip() -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(before)
            while not writer.is_closing():
                writer.write(b"x")
                await asyncio.sleep(0.1)

    task = asyncio.create_task(drip())
    yield reader
    task.cancel()
    writer.close()


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What comes until the server closes."""
    with contextlib.suppress(ConnectionError):
        return await reader.read()
    return b""


def test_clients_of_a_byte_now_and_then_hold_nobody_up(bundled, model, monkeypatch):
    monkeypatch.setattr(_connection, "HEAD_SECONDS", 4)
    monkeypatch.setattr(_guard, "UPLOAD_SECONDS", 4)
    expected = "".join(t.text for t in model.generate("import os\n", max_tokens=20))
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
    body = head + b"Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n"

    async def work(port: int) -> None:
        async with (
            dripped(port, b"") as nothing,
            dripped(port, head) as slow_head,
            dripped(port, body) as slow_body,
        ):
            slow = (nothing, slow_head, slow_body)
            assert text(await ask(port, "/v1/completions", BODY)) == expected
            assert not any(reader.at_eof() for reader in slow)  # they are still there
            answers = await asyncio.gather(*map(ended, slow))
        assert answers[:2] == [b"", b""]  # there was no request to answer
        assert answers[2].startswith(b"HTTP/1.1 408 ")
        # an answer may take longer than that
        monkeypatch.setattr(_connection, "HEAD_SECONDS", 0.2)
        long = json.dumps({"prompt": "a", "max_tokens": 900, "ignore_eos": True, "n": 8}).encode()
        began = time.monotonic()
        status, found = await ask(port, "/v1/completions", long)
        assert (status, len(found["choices"])) == (200, 8)
        assert time.monotonic() - began > 0.2

    served(bundled, work)


def test_a_connection_that_is_kept_has_its_patience_anew(bundled, monkeypatch):
    monkeypatch.setattr(_connection, "HEAD_SECONDS", 1.0)
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"

    async def work(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(4):
            writer.write(request)
            assert b'"ok"' in await reader.readuntil(b"}")
            await asyncio.sleep(0.5)
        assert await asyncio.wait_for(reader.read(), 5) == b""  # and then it is closed
        writer.close()

    served(bundled, work)


def test_a_thousand_idle_connections(start, bundled, model):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2 * IDLE:
        pytest.skip(f"this system lets a process open {hard} files")
    expected = "".join(t.text for t in model.generate("import os\n", max_tokens=20))
    # the server raises its own limit
    with start(bundled) as server, contextlib.ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * IDLE), hard))
        try:
            for _ in range(IDLE):
                connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
                stack.enter_context(connection)
            answer = server.complete("import os\n", max_tokens=20)
            assert answer["choices"][0]["text"] == expected
            assert server.get("/health").status_code == 200
        finally:
            stack.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("jump", [86400 * 365, -86400])
def test_a_clock_that_jumps_changes_no_answer(bundled, model, monkeypatch, jump):
    """The wall clock is told in answers and decides nothing."""
    expected = "".join(t.text for t in model.generate("import os\n", max_tokens=20))
    now = time.time()
    told = (now + jump * i for i in itertools.count())
    monkeypatch.setattr(time, "time", lambda: next(told))

    async def work(port: int) -> None:
        asked = [_exchanged(port, "/v1/completions", BODY) for _ in range(6)]
        answers = [(status, json.loads(raw)) for status, raw in await asyncio.gather(*asked)]
        assert {text(answer) for answer in answers} == {expected}
        assert len({found["created"] for _, found in answers}) == 6  # it did jump
        status, _ = await _exchanged(port, "/v1/completions", BODY)
        assert status == 429  # and no minute has passed

    served(bundled, work, rate_per_minute=6)
