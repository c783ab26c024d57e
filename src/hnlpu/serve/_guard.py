"""Who may come in and how much they may bring, before anything of it is read as JSON."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections import OrderedDict

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hnlpu.serve._errors import ApiError, body_at
from hnlpu.serve._journal import RECORD, Record, RequestLog, request_id
from hnlpu.serve._metrics import Metrics
from hnlpu.serve._settings import ServerSettings, is_loopback

UPLOAD_SECONDS = 30.0
DISCARD_BYTES = 64 * 2**20  # of a body that is too long are read, so that its sender hears why
CLIENTS = 4096  # whose rate is remembered
ID_HEADERS = (b"x-request-id", b"request-id")  # as OpenAI's clients and as Anthropic's know it
OPEN_PATHS = ("/", "/health", "/ready", "/ping", "/openapi.json", "/page.css", "/page.js")


class Guard:
    """ASGI middleware: host names, API keys, rates, sizes; it names and counts every answer."""

    def __init__(
        self, app: ASGIApp, settings: ServerSettings, metrics: Metrics, journal: RequestLog
    ):
        self._app = app
        self._settings = settings
        self._metrics = metrics
        self._journal = journal
        self._keys = [hashlib.sha256(key.encode()).digest() for key in settings.api_keys]
        self._rates: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._local = is_loopback(settings.host) and not settings.api_keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 0
        headers = Headers(scope=scope)
        record = _record(scope, headers)
        RECORD.set(record)

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                named = [(name, record.request_id.encode()) for name in ID_HEADERS]
                message = {**message, "headers": [*message.get("headers", ()), *named]}
            await send(message)

        try:
            self._admit(scope, headers)
            receive = await self._body(headers, receive)
        except ApiError as error:
            await _answer(scope["path"], error, counted)
        else:
            try:
                await self._app(scope, receive, counted)
            except Exception:
                status = status or 500  # a fault of ours, which is answered farther out
                raise
        finally:
            route = scope.get("route")
            path = getattr(route, "path", "other")
            seconds = time.monotonic() - began
            self._metrics.http(path, status or 499, seconds)
            self._journal.write(record, status or 499, seconds)

    def _admit(self, scope: Scope, headers: Headers) -> None:
        if self._local and not _is_local_name(headers.get("host", "")):
            # a page elsewhere whose name was made to point here must not use its visitor's server
            raise ApiError(403, "this server answers to local names only", code="host")
        path = scope["path"]
        client = scope["client"][0] if scope.get("client") else "unknown"
        if self._keys and path not in OPEN_PATHS:
            client = self._key(headers)
        if self._settings.rate_per_minute and scope["method"] == "POST":
            self._count(client, self._settings.rate_per_minute)

    def _key(self, headers: Headers) -> str:
        """Who the key belongs to; raises ApiError."""
        kind, _, key = headers.get("authorization", "").partition(" ")
        if not kind:
            kind, key = "bearer", headers.get("x-api-key", "")  # as Anthropic's clients send it
        digest = hashlib.sha256(key.strip().encode("utf-8", "replace")).digest()
        # every key is compared, so that time tells nothing
        known = [hmac.compare_digest(digest, other) for other in self._keys]
        if kind.lower() != "bearer" or not any(known):
            raise ApiError(
                401, "give a valid API key: Authorization: Bearer KEY", code="invalid_api_key"
            )
        return digest.hex()

    def _count(self, client: str, per_minute: float) -> None:
        """A bucket of a minute's requests for each client; raises ApiError when it is empty."""
        now = time.monotonic()
        tokens, then = self._rates.pop(client, (per_minute, now))
        tokens = min(per_minute, tokens + (now - then) * per_minute / 60)
        allowed = tokens >= min(1.0, per_minute)
        self._rates[client] = (tokens - 1 if allowed else tokens, now)
        if len(self._rates) > CLIENTS:
            self._rates.popitem(last=False)
        if not allowed:
            wait = int((min(1.0, per_minute) - tokens) * 60 / per_minute) + 1
            raise ApiError(
                429, f"more than {per_minute:g} requests a minute; wait {wait} s",
                code="rate_limit_exceeded", retry_after=wait,
            )  # fmt: skip

    async def _body(self, headers: Headers, receive: Receive) -> Receive:
        """Read the body; a `receive` that gives it whole and then what follows."""
        limit = self._settings.max_body_bytes
        told = headers.get("content-length", "")
        long = told.isdecimal() and int(told[:19]) > limit
        if long and headers.get("expect", "").lower() == "100-continue":
            raise _too_long(limit)
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(UPLOAD_SECONDS):
                more = True
                while more and size <= DISCARD_BYTES:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return _replay(message, receive)
                    size += len(message.get("body", b""))
                    if size <= limit:
                        parts.append(message.get("body", b""))
                    more = message.get("more_body", False)
        except TimeoutError:
            raise ApiError(408, f"the request took more than {UPLOAD_SECONDS:g} s") from None
        if size > limit:
            raise _too_long(limit)
        whole = {"type": "http.request", "body": b"".join(parts), "more_body": False}
        return _replay(whole, receive)


def _record(scope: Scope, headers: Headers) -> Record:
    client = scope["client"][0] if scope.get("client") else None
    return Record(request_id(headers), scope["method"], scope["path"], client)


def _too_long(limit: int) -> ApiError:
    return ApiError(413, f"the request has more than {limit} bytes", code="request_too_large")


def _replay(first: Message, receive: Receive) -> Receive:
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return first

    return replayed


def _is_local_name(host: str) -> bool:
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    return name.lower() in ("localhost", "127.0.0.1", "[::1]") or (
        name.startswith("127.") and is_loopback(name)
    )


async def _answer(path: str, error: ApiError, send: Send) -> None:
    body = json.dumps(body_at(path, error.status, error.body)).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body))}
    headers |= {name.lower(): value for name, value in error.headers.items()}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
