"""POST /v1/embeddings: one vector per text."""

from __future__ import annotations

import base64

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from hnlpu.errors import InvalidInput
from hnlpu.run.engine import Request
from hnlpu.serve._answers import check_finished, usage
from hnlpu.serve._context import Context
from hnlpu.serve._prompts import encode_prompts
from hnlpu.serve._schema import EmbeddingRequest
from hnlpu.serve._stream import while_client_waits
from hnlpu.serve._wire import unknown_fields, warning_header

Float32 = npt.NDArray[np.float32]


def routes(context: Context) -> APIRouter:
    """The endpoint."""
    router = APIRouter()

    @router.post("/v1/embeddings", **context.documented)
    async def embeddings(body: EmbeddingRequest, http: HttpRequest) -> Response:
        """Turn texts into vectors."""
        adapter = context.adapter(body.model)
        prompts = await encode_prompts(context.model, body.input)
        requests = [Request(p.tokens, pooling=body.pooling, adapter=adapter) for p in prompts]
        with context.service.job(requests) as job:
            seconds = context.settings.timeout_seconds
            results = await while_client_waits(http, job.results(), seconds)
        check_finished(results)
        data = []
        for index, result in enumerate(results):
            assert result.embedding is not None
            width = len(result.embedding)
            if body.dimensions is not None and body.dimensions > width:
                raise InvalidInput(f"dimensions: must be at most {width}, is {body.dimensions}")
            vector = result.embedding[: body.dimensions]
            if body.normalize:
                vector = _to_length_one(vector)
            wire = _base64(vector) if body.encoding_format == "base64" else vector.tolist()
            data.append({"object": "embedding", "index": index, "embedding": wire})
        count = usage(sum(len(p.tokens) for p in prompts), 0)
        del count["completion_tokens"]
        del count["prompt_tokens_details"]
        model = body.model or context.service.name
        found = {"object": "list", "data": data, "model": model, "usage": count}
        return JSONResponse(found, headers=warning_header(unknown_fields(body)))

    return router


def _to_length_one(vector: Float32) -> Float32:
    length = float(np.sqrt(np.square(vector.astype(np.float64)).sum()))
    return vector if length == 0 else (vector / length).astype(np.float32)


def _base64(vector: Float32) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
