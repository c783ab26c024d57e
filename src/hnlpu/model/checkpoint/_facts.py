"""`ModelFacts`: what is to be known of a model of any family beside its network."""

from __future__ import annotations

from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from hnlpu.model.families import SIZE_LIMIT, Task

NO_LIMIT = 2**31


class ModelFacts(BaseModel):
    """Family, config.json as it was read, and what a reader of text asks for.

    A network of signals has a `task` and no vocabulary: 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: str
    config: dict[str, Any]
    vocab_size: int = Field(ge=0, le=SIZE_LIMIT)
    max_position_embeddings: int = Field(NO_LIMIT, ge=1, le=NO_LIMIT)
    eos_token_ids: tuple[int, ...] = ()
    task: Task | None = None

    @model_serializer(mode="wrap")
    def _as_before(self, encode: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Facts of a model of text have the bytes that they had before there was a `task`."""
        values: dict[str, Any] = encode(self)
        return {k: v for k, v in values.items() if k != "task" or v is not None}
