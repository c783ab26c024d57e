"""/score and /rerank: how alike texts are, by the cosine of their embeddings.

As vLLM scores with a model of embeddings; a network without hidden states is refused by name.
"""

from __future__ import annotations

import uuid
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter
from pydantic import BeforeValidator, Field, WithJsonSchema
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from hnlpu.errors import InvalidInput
from hnlpu.run.engine import Request
from hnlpu.serve._answers import check_finished
from hnlpu.serve._context import Context
from hnlpu.serve._fields import PROMPTS_LIMIT, Flag, Whole, kind_of
from hnlpu.serve._prompts import encode_prompts
from hnlpu.serve._schema import IGNORED
from hnlpu.serve._stream import while_client_waits
from hnlpu.serve._wire import Wire, unknown_fields, warning_header

Float64 = npt.NDArray[np.float64]


def _text(i: int, value: Any) -> str:
    text = value.get("text") if isinstance(value, dict) else value
    if not isinstance(text, str) or not text:
        what = "an empty text" if text == "" else kind_of(value)
        raise ValueError(f"entry {i} must be a text, or an object with a text, not {what}")
    return text


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not value:
        raise ValueError(f"must be a text or a list of texts, not {kind_of(value)}")
    if len(value) > PROMPTS_LIMIT:
        raise ValueError(f"must have at most {PROMPTS_LIMIT} texts, has {len(value)}")
    return [_text(i, entry) for i, entry in enumerate(value)]


_LIST = {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": PROMPTS_LIMIT}
Texts = Annotated[
    Any, BeforeValidator(_texts), WithJsonSchema({"anyOf": [{"type": "string"}, _LIST]})
]


class ScoreRequest(Wire):
    """POST /score: each text of one list with its fellow of the other; one text goes with all."""

    model: str | None = None
    text_1: Texts
    text_2: Texts
    truncate_prompt_tokens: Whole | None = Field(None, description=IGNORED)


class RerankRequest(Wire):
    """POST /rerank: documents in the order of how alike they are to a query."""

    model: str | None = None
    query: str = Field(min_length=1)
    documents: Texts
    top_n: Whole = Field(0, ge=0, description="How many are told; 0: all.")
    return_documents: Flag = True


def routes(context: Context) -> APIRouter:
    """The endpoints, by all the paths that clients use."""
    router = APIRouter()

    async def vectors(
        http: HttpRequest, model: str | None, texts: list[str]
    ) -> tuple[Float64, int]:
        """Embeddings [texts, width] of length 1, and how many tokens that were."""
        adapter = context.adapter(model)
        prompts = await encode_prompts(context.model, texts)
        requests = [Request(p.tokens, pooling="mean", adapter=adapter) for p in prompts]
        with context.service.job(requests) as job:
            seconds = context.settings.timeout_seconds
            results = await while_client_waits(http, job.results(), seconds)
        check_finished(results)
        found = np.array([result.embedding for result in results], np.float64)
        lengths = np.sqrt(np.square(found).sum(axis=1, keepdims=True))
        return found / np.where(lengths == 0, 1, lengths), sum(len(p.tokens) for p in prompts)

    @router.post("/score", **context.documented)
    @router.post("/v1/score", **context.documented)
    async def score(body: ScoreRequest, http: HttpRequest) -> Response:
        """How alike pairs of texts are: from -1 to 1."""
        first, second = body.text_1, body.text_2
        if len(first) != len(second) and len(first) > 1:
            raise InvalidInput(
                f"text_2: must have as many texts as text_1, {len(first)}, or text_1 be one text"
            )
        found, tokens = await vectors(http, body.model, [*first, *second])
        left, right = found[: len(first)], found[len(first) :]
        scores = (left * right).sum(axis=1).tolist()
        data = [{"index": i, "object": "score", "score": s} for i, s in enumerate(scores)]
        told = _envelope("score", context, body.model, tokens) | {"object": "list", "data": data}
        return JSONResponse(told, headers=warning_header(unknown_fields(body)))

    @router.post("/rerank", **context.documented)
    @router.post("/v1/rerank", **context.documented)
    @router.post("/v2/rerank", **context.documented)
    async def rerank(body: RerankRequest, http: HttpRequest) -> Response:
        """Documents, the likest to the query first."""
        found, tokens = await vectors(http, body.model, [body.query, *body.documents])
        scores = (found[1:] * found[0]).sum(axis=1)
        order = np.argsort(-scores, kind="stable")[: body.top_n or None].tolist()
        results: list[dict[str, Any]] = [
            {"index": i, "relevance_score": float(scores[i])} for i in order
        ]
        if body.return_documents:
            for entry in results:
                entry["document"] = {"text": body.documents[entry["index"]]}
        told = _envelope("rerank", context, body.model, tokens) | {"results": results}
        return JSONResponse(told, headers=warning_header(unknown_fields(body)))

    return router


def _envelope(kind: str, context: Context, model: str | None, tokens: int) -> dict[str, Any]:
    return {
        "id": f"{kind}-{uuid.uuid4().hex}",
        "model": model or context.service.name,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
