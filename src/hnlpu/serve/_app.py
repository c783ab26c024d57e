"""The application: endpoints, errors and guard put together."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator

from fastapi import FastAPI, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from hnlpu._version import __version__
from hnlpu.errors import HnlpuError
from hnlpu.serve import (
    _adapters,
    _chats,
    _completions,
    _embeddings,
    _facts,
    _messages,
    _page,
    _responses,
    _similarity,
    _tokens,
)
from hnlpu.serve._context import Context
from hnlpu.serve._errors import ApiError, as_api_error, body_at, error_body
from hnlpu.serve._guard import Guard
from hnlpu.serve._journal import RECORD, RequestLog
from hnlpu.serve._problems import first_problem
from hnlpu.serve._service import Service
from hnlpu.serve._stream import ClientLeft

_log = logging.getLogger(__name__)


def create_app(service: Service) -> FastAPI:
    """The ASGI application that serves `service`.

    Raises InvalidInput for a damaged template, and for a log that cannot be written.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await service.close()

    context = Context(service)
    app = FastAPI(
        title="hnlpu", version=__version__, lifespan=lifespan,
        description="A hardwired language model behind OpenAI's API.",
        docs_url=None, redoc_url=None,  # they load from elsewhere
        dependencies=[Security(HTTPBearer(auto_error=False))],
    )  # fmt: skip
    for part in (
        _completions,
        _chats,
        _responses,
        _messages,
        _embeddings,
        _similarity,
        _adapters,
        _facts,
        _tokens,
        _page,
    ):
        app.include_router(part.routes(context))
    _name_models(app, context)
    context.renamed = lambda: _name_models(app, context)
    _handle_errors(app)
    journal = RequestLog(service.settings.request_log)
    app.add_middleware(Guard, settings=service.settings, metrics=service.metrics, journal=journal)
    return app


def _name_models(app: FastAPI, context: Context) -> None:
    """Let the OpenAPI document say which models there are."""
    document = app.openapi()
    for schema in document["components"]["schemas"].values():
        model = schema.get("properties", {}).get("model")
        if model is not None:
            model["enum"] = [*context.names, None]
    (parameter,) = document["paths"]["/v1/models/{model}"]["get"]["parameters"]
    parameter["schema"]["enum"] = context.names


def _told(http: HttpRequest, error: ApiError) -> Response:
    body = body_at(http.url.path, error.status, error.body)
    return JSONResponse(body, error.status, error.headers)


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(ApiError)
    async def api(http: HttpRequest, error: ApiError) -> Response:
        return _told(http, error)

    @app.exception_handler(HnlpuError)
    async def model(http: HttpRequest, error: HnlpuError) -> Response:
        return _told(http, as_api_error(error, http.url.path))

    @app.exception_handler(RequestValidationError)
    async def invalid(http: HttpRequest, error: RequestValidationError) -> Response:
        kind = http.headers.get("content-type", "")
        if http.method == "POST" and not _is_json(kind):
            told = f"not {kind[:80]}" if kind else "which is missing"
            return _told(
                http,
                ApiError(415, f"send JSON with the header Content-Type: application/json, {told}"),
            )
        where, text = first_problem(error.errors())
        message = f"{where}: {text}" if where else text
        first = text.partition(" ")[0]
        named = isinstance(error.body, dict) and first in error.body  # what does not go together
        param = where or (first if named else None)
        return _told(http, ApiError(400, message, param=param))

    @app.exception_handler(HTTPException)
    async def http(http: HttpRequest, error: HTTPException) -> Response:
        body = error_body(error.status_code, str(error.detail))
        body = body_at(http.url.path, error.status_code, body)
        return JSONResponse(body, error.status_code, dict(error.headers or {}))

    @app.exception_handler(ClientLeft)
    async def left(_: HttpRequest, __: ClientLeft) -> Response:
        return Response(status_code=499)

    @app.exception_handler(Exception)
    async def fault(http: HttpRequest, error: Exception) -> Response:
        record = RECORD.get()
        name = "" if record is None else f" {record.request_id}"
        _log.error("request%s failed", name, exc_info=error)
        body = error_body(500, "internal error; the server's log has more")
        return JSONResponse(body_at(http.url.path, 500, body), 500)


def _is_json(content_type: str) -> bool:
    """Whether a body so sent is read as JSON."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )
