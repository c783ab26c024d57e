"""Adapters loaded and unloaded while the server runs, as vLLM's clients ask for it.

Which folders clients may name is the operator's choice: those within `adapter_folder`, and no others.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from hnlpu.errors import InvalidInput
from hnlpu.serve._context import Context
from hnlpu.serve._errors import ApiError
from hnlpu.serve._fields import Flag
from hnlpu.serve._wire import Wire, unknown_fields, warning_header

NAMES_LIMIT = 64
"""Adapters that may be loaded at once."""


class LoadRequest(Wire):
    """POST /v1/load_lora_adapter."""

    lora_name: str = Field(min_length=1, max_length=128, description="The model id to give it.")
    lora_path: str = Field(
        min_length=1,
        max_length=1024,
        description="Its folder, within the folder of the server (`adapter_folder`).",
    )
    load_inplace: Flag = Field(False, description="Take the place of an adapter of that name.")


class UnloadRequest(Wire):
    """POST /v1/unload_lora_adapter."""

    lora_name: str = Field(min_length=1, max_length=128)


def routes(context: Context) -> APIRouter:
    """The endpoints."""
    router = APIRouter()
    service = context.service
    loading = asyncio.Lock()

    @router.post("/v1/load_lora_adapter", **context.documented)
    async def load(body: LoadRequest) -> Response:
        """Load an adapter; requests that name it as their model are answered with it."""
        name = body.lora_name
        folder = _folder(context, body.lora_path)
        async with loading:
            if name == service.name or (name in context.names and not body.load_inplace):
                raise ApiError(
                    400, f"lora_name: {name[:64]!r} is a model's id already; give another, or "
                    "load_inplace for an adapter",
                    param="lora_name",
                )  # fmt: skip
            if name not in context.names and len(context.names) > NAMES_LIMIT:
                raise ApiError(400, f"{NAMES_LIMIT} adapters are loaded already; unload one")
            try:
                await asyncio.to_thread(service.load_adapter, name, folder)
            except OSError as error:
                raise InvalidInput(f"lora_path: cannot be read ({error.strerror})") from None
            context.renamed()
        return _done(f"Success: LoRA adapter '{name}' added successfully.", body)

    @router.post("/v1/unload_lora_adapter", **context.documented)
    async def unload(body: UnloadRequest) -> Response:
        """Unload an adapter; requests of its that are under way end with it."""
        _allowed(context)
        if context.adapter(body.lora_name) is None:
            raise ApiError(400, "lora_name: is the model's own id", param="lora_name")
        service.engine.adapters.remove(body.lora_name)
        context.renamed()
        return _done(f"Success: LoRA adapter '{body.lora_name}' removed successfully.", body)

    return router


def _done(text: str, body: Wire) -> Response:
    headers = warning_header(unknown_fields(body))
    return Response(text.encode("utf-8", "replace"), media_type="text/plain", headers=headers)


def _allowed(context: Context) -> Path:
    """The folder that clients may load from; raises ApiError."""
    folder = context.settings.adapter_folder
    if folder is None:
        raise ApiError(
            403, "this server loads no adapters while it runs; its setting `adapter_folder` is not given",
            code="adapters_fixed",
        )  # fmt: skip
    return folder


def _folder(context: Context, path: str) -> Path:
    """An adapter's folder within the one that is allowed; raises ApiError."""
    root = _allowed(context).resolve()
    try:
        folder = (root / path).resolve()
        inside = folder.is_relative_to(root) and folder.is_dir()
    except (OSError, ValueError):  # a name too long, or one with a zero byte
        inside = False
    if not inside:
        raise ApiError(
            404, f"lora_path: no folder {path[:200]!r} within the server's adapter folder",
            param="lora_path",
        )  # fmt: skip
    return folder
