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
PATIENCE = 0.1
"""Seconds that the page waits for the chip to be simulated before it is told to ask again."""
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

    def simulated() -> asyncio.Task[dict[str, Any]]:
        if not simulating:
            work = asyncio.to_thread(chip_facts, context.model.directory)
            simulating.append(asyncio.create_task(work))
        return simulating[0]

    @router.get("/hnlpu/model", **context.documented)
    async def facts(wait: bool = False) -> Response:
        """The hardwired model in numbers, and what the simulated chip would do.

        The simulation runs beside; until it ends `chip` is {"simulating": true}, unless the request
        waits for it.
        """
        chip = simulated()
        await asyncio.wait({chip}, timeout=None if wait else PATIENCE)
        found = chip.result() if chip.done() else {"simulating": True}
        return JSONResponse(_facts(context) | {"chip": found})

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
