"""What there is and how it is: /v1/models, /health, /ready, /metrics."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from hnlpu._version import __version__
from hnlpu.serve._context import Context
from hnlpu.serve._errors import RETRY_SECONDS


def routes(context: Context) -> APIRouter:
    """The endpoints."""
    router = APIRouter()
    service = context.service

    def entry(name: str) -> dict[str, Any]:
        return {
            "id": name,
            "object": "model",
            "created": service.created,
            "owned_by": "hnlpu",
            "max_model_len": service.engine.context,
        }

    @router.get("/v1/models", **context.documented)
    async def models() -> Response:
        """The models that requests may name."""
        return JSONResponse({"object": "list", "data": [entry(n) for n in context.names]})

    @router.get("/v1/models/{model:path}", **context.documented)
    async def model(model: str) -> Response:
        """One of them."""
        context.adapter(model)
        return JSONResponse(entry(model))

    def state() -> tuple[bool, dict[str, Any]]:
        """Whether the engine lives, and how it is."""
        runner = service.runner
        if runner is None or not runner.alive:
            return False, {"status": "stopped"}
        now = runner.snapshot()
        status = "closing" if now.closing else "full" if now.waiting >= runner.queue else "ok"
        return True, {"status": status, "running": now.running, "waiting": now.waiting}

    @router.get("/health", responses={503: {"description": "The engine has stopped"}})
    async def health() -> Response:
        """Whether the server lives; one that is closing or full does."""
        alive, told = state()
        return JSONResponse(told, 200 if alive else 503)

    router.add_api_route("/ping", health, methods=["GET", "POST"], include_in_schema=False)

    @router.get("/version")
    async def version() -> Response:
        """The version of hnlpu."""
        return JSONResponse({"version": __version__})

    @router.get("/ready", responses={503: {"description": "Closing, full, or stopped"}})
    async def ready() -> Response:
        """Whether a request would be taken now."""
        _, told = state()
        if told["status"] == "ok":
            return JSONResponse(told)
        return JSONResponse(told, 503, {"Retry-After": str(RETRY_SECONDS)})

    @router.get("/metrics", **context.documented)
    async def metrics() -> Response:
        """Counters in Prometheus's text format."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    return router
