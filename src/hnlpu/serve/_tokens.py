"""The tokenizer over the wire, as vLLM serves it and lm-eval's `remote` backend asks for it."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field, model_validator
from starlette.responses import JSONResponse, Response

from hnlpu.run.emulate import token_name, tokenizer_settings
from hnlpu.serve._context import Context
from hnlpu.serve._conversation import turn_of
from hnlpu.serve._fields import Flag, Token
from hnlpu.serve._schema import MESSAGES_LIMIT, TOOLS_LIMIT, ChatRequest, Message
from hnlpu.serve._tools import Tool
from hnlpu.serve._wire import Wire, unknown_fields, warning_header


class TokenizeRequest(Wire):
    """POST /tokenize: a text, or a conversation by the chat template."""

    prompt: str | None = None
    messages: Annotated[list[Message], Field(min_length=1, max_length=MESSAGES_LIMIT)] | None = None
    model: str | None = None
    add_special_tokens: Flag = Field(
        True, description="Put around a prompt what the model's tokenizer puts around a text."
    )
    return_token_strs: Flag = False
    add_generation_prompt: Flag = True
    continue_final_message: Flag = False
    chat_template: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    tools: Annotated[list[Tool], Field(max_length=TOOLS_LIMIT)] | None = None

    @model_validator(mode="after")
    def _one(self) -> TokenizeRequest:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt, a text, or messages, a list")
        return self


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
        """Token ids of a text or a conversation."""
        context.adapter(body.model)
        if body.prompt is not None:
            whole = body.add_special_tokens
            tokens = await asyncio.to_thread(tokenizer.encode, body.prompt, whole=whole)
        else:
            names = set(ChatRequest.model_fields) & body.model_fields_set
            given = {name: getattr(body, name) for name in names}
            tokens = list((await turn_of(context, ChatRequest.model_construct(**given))).prompt)
        answer: dict[str, Any] = {
            "count": len(tokens),
            "max_model_len": context.service.engine.context,
            "tokens": tokens,
            "token_strs": None,
        }
        if body.return_token_strs:
            answer["token_strs"] = [tokenizer.piece(token) for token in tokens]
        return JSONResponse(answer, headers=warning_header(unknown_fields(body)))

    @router.post("/detokenize", **context.documented)
    async def detokenize(body: DetokenizeRequest) -> Response:
        """Text of token ids, special tokens by name."""
        context.adapter(body.model)
        if body.tokens:
            context.model.transformer.check_tokens(body.tokens)
        step = tokenizer.decoder(show_special=True)
        text = "".join(map(step, body.tokens))
        return JSONResponse({"prompt": text}, headers=warning_header(unknown_fields(body)))

    @router.get("/tokenizer_info", **context.documented)
    async def tokenizer_info() -> Response:
        """The special tokens and the chat template."""
        names = {ident: name for name, ident in context.dialect.special.items()}
        settings = tokenizer_settings(context.model.directory)
        info: dict[str, Any] = {
            "tokenizer_class": "hnlpu",
            "eos_token": next((names[end] for end in context.ends if end in names), None),
            "bos_token": token_name(settings.get("bos_token")) or None,
            "chat_template": context.template.source,
        }
        return JSONResponse(info)

    return router
