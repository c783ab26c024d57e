"""The requests of OpenAI's API that are served here, field by field, with their limits.

Fields that would change the answer and cannot be honoured are refused by
name; those that only concern OpenAI's own bookkeeping are let pass.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

CHOICES_LIMIT = 128
PROMPTS_LIMIT = 128
STOPS_LIMIT = 16
MESSAGES_LIMIT = 2048
SEED_LIMIT = 2**63 - 1

Token = Annotated[int, Field(ge=0, le=2**31 - 1, strict=True)]
Tokens = Annotated[list[Token], Field(min_length=1)]
Prompt = (
    str
    | Annotated[list[str], Field(min_length=1, max_length=PROMPTS_LIMIT)]
    | Tokens
    | Annotated[list[Tokens], Field(min_length=1, max_length=PROMPTS_LIMIT)]
)
Stop = Annotated[str, Field(min_length=1, max_length=256)]


class Wire(BaseModel):
    """Strict where it matters: no unknown fields, no NaN, no infinity."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class StreamOptions(Wire):
    """What a stream carries besides the text."""

    include_usage: bool = False
    include_obfuscation: bool | None = Field(None, description="Ignored.")


class JsonSchema(Wire):
    """A named JSON schema."""

    name: str = Field("answer", max_length=64)
    description: str | None = None
    schema_: dict[str, Any] = Field(default_factory=dict, alias="schema")
    strict: bool | None = None


class ResponseFormat(Wire):
    """The form that the answer must have."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _schema_where_named(self) -> ResponseFormat:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema belongs to type json_schema, which needs it")
        return self


class StructuredOutputs(Wire):
    """A JSON schema or a regular expression that the whole answer must match."""

    json_: dict[str, Any] | None = Field(None, alias="json")
    regex: str | None = Field(None, min_length=1, max_length=4096)

    @model_validator(mode="after")
    def _one(self) -> StructuredOutputs:
        if (self.json_ is None) == (self.regex is None):
            raise ValueError("give either json or regex")
        return self


class Controls(Wire):
    """What completions and chats have in common."""

    model: str = Field(description="Id of the model or of an adapter, see /v1/models.")
    temperature: float | None = Field(None, ge=0, le=100)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0, le=2**31 - 1, description="0: no limit.")
    n: int | None = Field(None, ge=1, le=CHOICES_LIMIT)
    seed: int | None = Field(
        None, ge=0, le=SEED_LIMIT, description="Choice i is drawn with seed + i."
    )
    stop: Stop | Annotated[list[Stop], Field(max_length=STOPS_LIMIT)] | None = None
    stop_token_ids: Annotated[list[Token], Field(max_length=STOPS_LIMIT)] | None = None
    ignore_eos: bool = Field(False, description="Go on after an end-of-text token.")
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    trace_experts: bool = Field(
        False, description="Also tell which experts fired for each token: [layers, active]."
    )
    user: str | None = Field(None, description="Ignored.")

    @model_validator(mode="after")
    def _consistent(self) -> Controls:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options belong to stream: true")
        if self.structured_outputs and self.response_format:
            raise ValueError("give either response_format or structured_outputs")
        return self


class CompletionRequest(Controls):
    """POST /v1/completions."""

    prompt: Prompt
    max_tokens: int | None = Field(None, ge=0, le=2**31 - 1)
    echo: bool = False
    logprobs: int | None = Field(None, ge=0, le=20)
    best_of: int | None = Field(None, ge=1, le=CHOICES_LIMIT)
    suffix: None = Field(None, description="Not supported.")

    @model_validator(mode="after")
    def _supported(self) -> CompletionRequest:
        if self.best_of is not None and self.best_of != (self.n or 1):
            raise ValueError("best_of other than n is not supported")
        prompts = self.prompt
        several = isinstance(prompts, list) and not isinstance(prompts[0], int)
        if (self.n or 1) * (len(prompts) if several else 1) > CHOICES_LIMIT:
            raise ValueError(f"more than {CHOICES_LIMIT} choices in one request")
        return self


class TextPart(Wire):
    """A piece of a message's text."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """A message of a conversation."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[TextPart], Field(max_length=256)] | None = None
    name: str | None = None

    @property
    def text(self) -> str:
        """The text of all parts."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class ChatRequest(Controls):
    """POST /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=MESSAGES_LIMIT)]
    max_tokens: int | None = Field(None, ge=0, le=2**31 - 1)
    max_completion_tokens: int | None = Field(None, ge=0, le=2**31 - 1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    reasoning_effort: Literal["low", "medium", "high"] | None = None
    store: bool | None = Field(None, description="Ignored.")
    metadata: dict[str, str] | None = Field(None, description="Ignored.")

    @model_validator(mode="after")
    def _top_with_logprobs(self) -> ChatRequest:
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs belong to logprobs: true")
        return self


class EmbeddingRequest(Wire):
    """POST /v1/embeddings."""

    model: str
    input: Prompt
    encoding_format: Literal["float", "base64"] = "float"
    pooling: Literal["mean", "last"] = Field(
        "mean", description="Mean of the last layer's normalised states, or the last token's."
    )
    normalize: bool = Field(True, description="Scale each vector to length 1.")
    dimensions: None = Field(None, description="Not supported.")
    user: str | None = Field(None, description="Ignored.")
