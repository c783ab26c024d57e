"""The requests of OpenAI's API that are served here, field by field, with their limits.

Unknown fields are let pass and told in a header; what would change the answer and cannot be
honoured is refused by name, and what only concerns OpenAI's own bookkeeping changes nothing.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from hnlpu.serve._fields import (
    STOPS_LIMIT,
    Content,
    Count,
    Flag,
    Number,
    Prompt,
    Stop,
    Token,
    Whole,
    not_here,
)
from hnlpu.serve._tools import Tool, ToolChoice, check_names
from hnlpu.serve._wire import Wire

CHOICES_LIMIT = 128
MESSAGES_LIMIT = 2048
TOOLS_LIMIT = 128
ALTERNATIVES_LIMIT = 1024
SEED_LIMIT = 2**63 - 1
EFFORTS = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
IGNORED = "Changes nothing."


class StreamOptions(Wire):
    """What a stream carries besides the text."""

    include_usage: Flag = False
    continuous_usage_stats: Flag = Field(False, description="`usage` so far, in every chunk.")
    include_obfuscation: Flag | None = Field(None, description=IGNORED)

    @property
    def asks(self) -> bool:
        """Whether they ask for anything."""
        return self.include_usage or self.continuous_usage_stats


class JsonSchema(Wire):
    """A named JSON schema."""

    name: str = Field("answer", max_length=64)
    description: str | None = None
    schema_: dict[str, Any] = Field(default_factory=dict, alias="schema")
    strict: Flag | None = None


class ResponseFormat(Wire):
    """The form that the answer must have."""

    type: Literal["text", "json_object", "json_schema", "structural_tag"]
    json_schema: JsonSchema | None = None
    structures: Any = Field(None, description="Of type structural_tag.")
    triggers: Any = Field(None, description="Of type structural_tag.")
    format: Any = Field(None, description="Of type structural_tag, in its newer form.")

    @model_validator(mode="after")
    def _schema_where_named(self) -> ResponseFormat:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema belongs to type json_schema, which needs it")
        return self


class StructuredOutputs(Wire):
    """What the whole answer must match: one of these."""

    json_: dict[str, Any] | None = Field(None, alias="json")
    regex: str | None = Field(None, min_length=1, max_length=4096)
    choice: Annotated[list[str], Field(min_length=1, max_length=ALTERNATIVES_LIMIT)] | None = None
    grammar: str | None = Field(
        None, min_length=1, max_length=65536, description="In Lark's form, or GBNF (`root ::=`)."
    )
    json_object: Flag | None = None
    structural_tag: Any = Field(
        None, description="Free text with tags that keep to their schemas: an object, or its JSON."
    )

    @model_validator(mode="after")
    def _one(self) -> StructuredOutputs:
        given = [self.json_, self.regex, self.choice, self.grammar, self.json_object or None]
        given.append(self.structural_tag)
        if sum(value is not None for value in given) != 1:
            raise ValueError(
                "give one of json, regex, choice, grammar, json_object and structural_tag"
            )
        return self


class Controls(Wire):
    """What completions and chats have in common."""

    model: str | None = Field(
        None, description="Id of the model (the default) or of an adapter, see /v1/models."
    )
    temperature: Number | None = Field(None, ge=0, le=100)
    top_p: Number | None = Field(None, ge=0, le=1, description="0: the best token alone.")
    top_k: Whole | None = Field(None, ge=-1, le=2**31 - 1, description="0 and -1: no limit.")
    min_p: Number | None = Field(None, ge=0, le=1)
    n: Whole | None = Field(None, ge=1, le=CHOICES_LIMIT)
    seed: Whole | None = Field(
        None, ge=-SEED_LIMIT - 1, le=SEED_LIMIT,
        description="Choice i is drawn with seed + i; -1 is any.",
    )  # fmt: skip
    stop: Stop | None = None
    stop_token_ids: Annotated[list[Token], Field(max_length=STOPS_LIMIT)] | None = None
    include_stop_str_in_output: Flag = False
    ignore_eos: Flag = Field(False, description="Go on after an end-of-text token.")
    min_tokens: Whole = Field(0, ge=0, le=2**31 - 1)
    skip_special_tokens: Flag = True
    spaces_between_special_tokens: Flag = Field(True, description=IGNORED)
    presence_penalty: Number | None = Field(None, ge=-2, le=2)
    frequency_penalty: Number | None = Field(None, ge=-2, le=2)
    repetition_penalty: Number | None = Field(None, gt=0, le=100)
    logit_bias: dict[str, Annotated[Number, Field(ge=-100, le=100)]] | None = None
    allowed_token_ids: Annotated[list[Token], Field(min_length=1)] | None = None
    stream: Flag | None = None
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: dict[str, Any] | None = Field(None, description="structured_outputs.json.")
    guided_regex: str | None = Field(None, min_length=1, max_length=4096)
    guided_choice: Annotated[list[str], Field(min_length=1, max_length=1024)] | None = None
    guided_grammar: str | None = Field(None, min_length=1, max_length=65536)
    use_beam_search: Annotated[Any, not_here("leave it out", False)] = None
    bad_words: Annotated[Any, not_here("give logit_bias", [])] = None
    truncate_prompt_tokens: Annotated[Any, not_here("send a shorter prompt")] = None
    logits_processors: Annotated[Any, not_here("leave it out", [])] = None
    prompt_embeds: Annotated[Any, not_here("give a text or token ids")] = None
    thinking_token_budget: Annotated[Any, not_here("give reasoning_effort or max_tokens")] = None
    length_penalty: Number | None = Field(None, description="Belongs to beam search.")
    prompt_logprobs: Count = Field(
        None, ge=0, le=20, description="Of the prompt's tokens, with so many best beside each."
    )
    trace_experts: Flag = Field(
        False, description="Also tell which experts fired for each token: [layers, active]."
    )
    speculation: Flag | None = Field(
        None, description="Propose tokens by looking them up in the text, and check them together."
    )
    user: str | None = Field(None, description=IGNORED)
    safety_identifier: str | None = Field(None, description=IGNORED)
    service_tier: str | None = Field(None, description=IGNORED)
    prompt_cache_key: str | None = Field(None, description=IGNORED)
    priority: Whole | None = Field(None, description=IGNORED)
    request_id: str | None = Field(None, max_length=256, description=IGNORED)

    @property
    def structure_field(self) -> str:
        """The field that says what the answer must match."""
        named = (
            "structured_outputs",
            *(name for name in type(self).model_fields if "guided" in name),
        )
        return next((n for n in named if getattr(self, n) is not None), "response_format")

    @property
    def structure(self) -> StructuredOutputs | None:
        """What the answer must match, by whatever field it is given."""
        if self.structured_outputs is not None:
            return self.structured_outputs
        named = {
            "json": self.guided_json, "regex": self.guided_regex,
            "choice": self.guided_choice, "grammar": self.guided_grammar,
        }  # fmt: skip
        if any(value is not None for value in named.values()):
            return StructuredOutputs.model_validate(named)
        form = self.response_format
        if form is None or form.type == "text":
            return None
        if form.type == "structural_tag":
            told = form.model_dump(include={"structures", "triggers", "format"}, exclude_none=True)
            return StructuredOutputs.model_validate({"structural_tag": told})
        schema = {"type": "object"} if form.json_schema is None else form.json_schema.schema_
        return StructuredOutputs.model_validate({"json": schema})

    @model_validator(mode="after")
    def _consistent(self) -> Controls:
        if self.stream_options is not None and not self.stream:
            if self.stream_options.asks:
                raise ValueError("stream_options belong to stream: true")
            self.stream_options = None
        if self.prompt_logprobs is not None and self.stream:
            raise ValueError("prompt_logprobs belong to answers that are not streamed")
        given: list[Any] = [
            self.guided_json,
            self.guided_regex,
            self.guided_choice,
            self.guided_grammar,
        ]
        form = self.response_format
        given += [self.structured_outputs, None if form is None or form.type == "text" else form]
        if sum(value is not None for value in given) > 1:
            raise ValueError("give one of response_format, structured_outputs and guided fields")
        return self


class CompletionRequest(Controls):
    """POST /v1/completions."""

    prompt: Prompt
    max_tokens: Whole | None = Field(None, ge=0, le=2**31 - 1)
    echo: Flag = False
    logprobs: Count = Field(None, ge=0, le=20)
    best_of: Whole | None = Field(None, ge=1, le=CHOICES_LIMIT)
    suffix: Annotated[Any, not_here("leave it out", "")] = None

    @model_validator(mode="after")
    def _supported(self) -> CompletionRequest:
        if self.best_of is not None and self.best_of != (self.n or 1):
            raise ValueError("best_of other than n is not supported")
        prompts = self.prompt
        several = isinstance(prompts, list) and not isinstance(prompts[0], int)
        if (self.n or 1) * (len(prompts) if several else 1) > CHOICES_LIMIT:
            raise ValueError(f"more than {CHOICES_LIMIT} choices in one request")
        return self


class Message(Wire):
    """A message of a conversation; the chat template gets every field that it has."""

    takes_any_field = True

    role: str = Field(
        min_length=1, max_length=64, description="system, developer, user, assistant or tool."
    )
    content: Content | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None


class ChatRequest(Controls):
    """POST /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=MESSAGES_LIMIT)]
    max_tokens: Whole | None = Field(None, ge=0, le=2**31 - 1)
    max_completion_tokens: Whole | None = Field(
        None, ge=0, le=2**31 - 1, description="Goes before max_tokens."
    )
    logprobs: Flag | None = None
    top_logprobs: Whole | None = Field(None, ge=0, le=20)
    tools: Annotated[list[Tool], Field(max_length=TOOLS_LIMIT)] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: Flag = True
    functions: Annotated[Any, not_here("give tools", [])] = None
    function_call: Annotated[Any, not_here("give tool_choice", "none", "auto")] = None
    reasoning_effort: EFFORTS | None = None
    include_reasoning: Flag = True
    chat_template: str | None = Field(None, description="Name of one of the build's templates.")
    chat_template_kwargs: dict[str, Any] | None = Field(
        None, description="Further values for the chat template."
    )
    documents: list[dict[str, Any]] | None = None
    add_generation_prompt: Flag = True
    continue_final_message: Flag = False
    echo: Annotated[Any, not_here("leave it out", False)] = None
    audio: Annotated[Any, not_here("this model writes text")] = None
    modalities: Annotated[Any, not_here("this model writes text", ["text"], [])] = None
    store: Flag | None = Field(None, description=IGNORED)
    metadata: dict[str, Any] | None = Field(None, description=IGNORED)

    @model_validator(mode="after")
    def _belongs_together(self) -> ChatRequest:
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs belong to logprobs: true")
        choice = self.tool_choice
        if choice not in (None, "none", "auto") and not self.tools:
            raise ValueError("tool_choice needs tools to choose from")
        named = choice if isinstance(choice, dict) else {}
        name = (named.get("function") or named).get("name")
        names = [tool["function"]["name"] for tool in self.tools or ()]
        check_names(names)
        if name is not None and name not in names:
            raise ValueError("tool_choice names a function that is none of the tools")
        return self


class EmbeddingRequest(Wire):
    """POST /v1/embeddings."""

    model: str | None = None
    input: Prompt
    encoding_format: Literal["float", "base64"] = "float"
    pooling: Literal["mean", "last"] = Field(
        "mean", description="Mean of the last layer's normalised states, or the last token's."
    )
    normalize: Flag = Field(True, description="Scale each vector to length 1.")
    dimensions: Whole | None = Field(
        None, ge=1, description="The first so many numbers, scaled to length 1 anew."
    )
    user: str | None = Field(None, description=IGNORED)
