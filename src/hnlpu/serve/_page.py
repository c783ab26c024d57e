"""The page at `/`: talk to the model, see how fast it is and which experts fire."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from hnlpu.run.engine import experts_of
from hnlpu.serve._chip import chip_facts
from hnlpu.serve._context import Context

FOLDER = Path(__file__).parent / "page"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}


def routes(context: Context) -> APIRouter:
    """The page, its two files, and what it shows of the model."""
    router = APIRouter()
    contents = {path: (FOLDER / name).read_bytes() for path, (name, _) in FILES.items()}

    def serve(path: str) -> None:
        @router.get(path, include_in_schema=False)
        async def file() -> Response:
            return Response(contents[path], media_type=FILES[path][1], headers=HEADERS)

    for path in FILES:
        serve(path)

    simulating: list[asyncio.Task[dict[str, Any]]] = []  # one, however many ask meanwhile

    async def simulated() -> dict[str, Any]:
        if not simulating:
            work = asyncio.to_thread(chip_facts, context.model.directory)
            simulating.append(asyncio.create_task(work))
        return await asyncio.shield(simulating[0])

    @router.get("/hnlpu/model", **context.documented)
    async def facts() -> Response:
        """The hardwired model in numbers, and what the simulated chip would do."""
        return JSONResponse(_facts(context) | {"chip": await simulated()})

    return router


def _facts(context: Context) -> dict[str, Any]:
    service = context.service
    network = service.build.network
    blocks = {step.block for step in network.steps} - {None}
    experts = experts_of(network)
    matrices = service.build.manifest.matrices.values()
    return {
        "name": service.name,
        "models": context.names,
        "weights": sum(m.weights for m in matrices),
        "family": network.family,
        "layers": len(blocks),
        "experts": experts.count,
        "active_experts": experts.active,
        "expert_layers": list(experts.blocks),
        "context": service.engine.context,
        "max_tokens": service.settings.max_tokens,
        "has_tokenizer": context.model.tokenizer.usable,
        "has_chat_template": not context.template.is_plain,
    }
