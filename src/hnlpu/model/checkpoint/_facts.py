"""`ModelFacts`: what is to be known of a model of any family beside its network."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from hnlpu.model.families import SIZE_LIMIT

NO_LIMIT = 2**31


class ModelFacts(BaseModel):
    """Family, config.json as it was read, and what a reader of text asks for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: str
    config: dict[str, Any]
    vocab_size: int = Field(ge=1, le=SIZE_LIMIT)
    max_position_embeddings: int = Field(NO_LIMIT, ge=1, le=NO_LIMIT)
    eos_token_ids: tuple[int, ...] = ()
