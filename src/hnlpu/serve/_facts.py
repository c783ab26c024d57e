"""What there is and how it is: /v1/models, /health, /metrics."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from hnlpu.serve._context import Context


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

    @router.get("/health", responses={503: {"description": "Shutting down"}})
    async def health() -> Response:
        """Whether requests are taken."""
        snapshot = service.runner.snapshot() if service.runner else None
        if snapshot is None or snapshot.closing:
            return JSONResponse({"status": "closing"}, 503, {"Retry-After": "2"})
        return JSONResponse(
            {"status": "ok", "running": snapshot.running, "waiting": snapshot.waiting}
        )

    @router.get("/metrics", **context.documented)
    async def metrics() -> Response:
        """Counters in Prometheus's text format."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    return router
