"""The tokenizer over the wire, as vLLM serves it and lm-eval's `remote` backend asks for it."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import JSONResponse, Response

from hnlpu.serve._context import Context
from hnlpu.serve._schema import Token, Wire


class TokenizeRequest(Wire):
    """POST /tokenize."""

    prompt: str
    model: str | None = None
    add_special_tokens: bool = Field(False, description="Ignored: none are ever added.")


class DetokenizeRequest(Wire):
    """POST /detokenize."""

    tokens: Annotated[list[Token], Field(max_length=2**17)]
    model: str | None = None


def routes(context: Context) -> APIRouter:
    """The endpoints."""
    router = APIRouter()
    tokenizer = context.model.tokenizer

    @router.post("/tokenize", **context.documented)
    async def tokenize(body: TokenizeRequest) -> Response:
        """Token ids of a text."""
        tokens = await asyncio.to_thread(tokenizer.encode, body.prompt)
        length = context.service.engine.context
        return JSONResponse({"tokens": tokens, "count": len(tokens), "max_model_len": length})

    @router.post("/detokenize", **context.documented)
    async def detokenize(body: DetokenizeRequest) -> Response:
        """Text of token ids."""
        if body.tokens:
            context.model.transformer.check_tokens(body.tokens)
        return JSONResponse({"prompt": tokenizer.decode(body.tokens)})

    @router.get("/tokenizer_info", **context.documented)
    async def tokenizer_info() -> Response:
        """The special tokens and the chat template."""
        names = {ident: name for name, ident in context.special_tokens.items()}
        ends = context.model.transformer.architecture.eos_token_ids
        info: dict[str, Any] = {
            "tokenizer_class": "hnlpu",
            "eos_token": next((names[end] for end in ends if end in names), None),
            "bos_token": None,
            "chat_template": context.template.source,
        }
        return JSONResponse(info)

    return router
