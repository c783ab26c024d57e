"""POST /v1/messages (Anthropic's Messages API) as it comes -> the chat that it asks for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi.exceptions import RequestValidationError
from pydantic import BeforeValidator, Field, ValidationError, WithJsonSchema

from hnlpu.serve._fields import Flag, Number, Stop, Whole, kind_of
from hnlpu.serve._schema import EFFORTS, IGNORED, MESSAGES_LIMIT, ChatRequest
from hnlpu.serve._tools import NAME, check_names
from hnlpu.serve._wire import Wire

Block = dict[str, Any]
WORDS = {"continue_final_message": "messages", "response_format": "output_config.format"}
"""What a chat's fields are called here."""


class _Text(Wire):
    takes_any_field = True
    text: str


class _Use(Wire):
    takes_any_field = True
    id: str
    name: str = Field(min_length=1)
    input: dict[str, Any]


def _texts(value: Any) -> list[Block]:
    """A content that is text alone, as blocks."""
    return [] if value is None else _blocks(value, ("text",))


class _Result(Wire):
    takes_any_field = True
    tool_use_id: str
    content: Annotated[list[_Text], BeforeValidator(_texts)] = Field(default_factory=list)
    is_error: Flag = False


class _Thinking(Wire):
    takes_any_field = True
    thinking: str


class _Hidden(Wire):
    takes_any_field = True


_BLOCKS: dict[str, type[Wire]] = {
    "text": _Text, "tool_use": _Use, "tool_result": _Result, "thinking": _Thinking,
    "redacted_thinking": _Hidden,
}  # fmt: skip


def _blocks(value: Any, kinds: Sequence[str] = tuple(_BLOCKS)) -> list[Block]:
    """A content as blocks, each of a known type."""
    if isinstance(value, str):
        return [{"type": "text", "text": value}]
    if not isinstance(value, list):
        raise ValueError(f"must be a text or a list of blocks, not {kind_of(value)}")
    for i, block in enumerate(value):
        kind = block.get("type") if isinstance(block, dict) else None
        if not isinstance(kind, str) or kind not in kinds:
            what = f"of type {kind[:32]!r}" if isinstance(kind, str) else kind_of(block)
            raise ValueError(
                f"block {i} is {what}: this model reads text alone, no image and no document; "
                f"give blocks of type {', '.join(kinds)}"
            )
    return value


_CONTENT = WithJsonSchema(
    {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]}
)


class MessageParam(Wire):
    """One message."""

    role: Literal["user", "assistant", "system"]
    content: Annotated[Any, BeforeValidator(_blocks), _CONTENT]


class ToolParam(Wire):
    """A tool of the client's."""

    type: Literal["custom"] = "custom"
    name: str = Field(pattern=NAME)
    description: str | None = None
    input_schema: dict[str, Any] = Field(default_factory=dict)
    strict: Flag | None = None


class ToolChoiceParam(Wire):
    """Which tools may or must be used."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: Flag = False


class ThinkingParam(Wire):
    """Whether to think; how long is the model's affair."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: Whole | None = Field(None, description=IGNORED)


class OutputFormat(Wire):
    """The form that the answer must have."""

    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputConfig(Wire):
    """How the answer is to be."""

    effort: EFFORTS | None = None
    format: OutputFormat | None = None


class MessagesRequest(Wire):
    """POST /v1/messages."""

    model: str | None = None
    max_tokens: Whole = Field(ge=1, le=2**31 - 1)
    messages: Annotated[list[MessageParam], Field(min_length=1, max_length=MESSAGES_LIMIT)]
    system: Annotated[Any, BeforeValidator(_texts), _CONTENT] = None
    stop_sequences: Stop | None = None
    stream: Flag | None = None
    temperature: Number | None = Field(None, ge=0, le=100)
    top_p: Number | None = Field(None, ge=0, le=1)
    top_k: Whole | None = Field(None, ge=-1, le=2**31 - 1)
    seed: Whole | None = Field(None, ge=-(2**63), le=2**63 - 1, description="Ours.")
    tools: list[ToolParam] | None = None
    tool_choice: ToolChoiceParam | None = None
    thinking: ThinkingParam | None = None
    output_config: OutputConfig | None = None
    logit_bias: dict[str, Any] | None = Field(None, description="Ours, as in chats.")
    speculation: Flag | None = Field(None, description="Ours, as in chats.")
    metadata: dict[str, Any] | None = Field(None, description=IGNORED)
    service_tier: str | None = Field(None, description=IGNORED)


class CountRequest(MessagesRequest):
    """POST /v1/messages/count_tokens: the same, without `max_tokens`."""

    max_tokens: Whole = Field(1, ge=1, le=2**31 - 1)


def as_chat(body: MessagesRequest) -> ChatRequest:
    """The chat that a request asks for.  Raises RequestValidationError, which names the field."""
    _check_blocks(("system",), body.system or ())
    messages: list[dict[str, Any]] = []
    if body.system:
        messages.append({"role": "system", "content": _joined(body.system)})
    for i, message in enumerate(body.messages):
        _check_blocks(("messages", i, "content"), message.content)
        messages += _messages(message.role, message.content)
    chat: dict[str, Any] = {
        name: getattr(body, name)
        for name in ("model", "temperature", "top_p", "top_k", "seed", "stream", "max_tokens",
                     "logit_bias", "speculation")
    }  # fmt: skip
    chat |= {"messages": messages, "stop": body.stop_sequences, "tools": _tools(body)}
    chat["continue_final_message"] = _is_begun(body.messages[-1])
    choice = body.tool_choice
    if choice is not None:
        chat["tool_choice"] = _choice(choice, body.tools or [])
        chat["parallel_tool_calls"] = not choice.disable_parallel_tool_use
    config = body.output_config
    if config is not None and config.format is not None:
        schema = {"name": "answer", "schema": config.format.schema_}
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}
    chat["reasoning_effort"] = config.effort if config is not None else None
    if body.thinking is not None and body.thinking.type == "disabled":
        chat["reasoning_effort"] = "none"
    try:
        return ChatRequest.model_validate(chat)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None


def _is_begun(last: MessageParam) -> bool:
    """Whether the last message is the beginning of the answer, which goes on where it ends."""
    said = {block["type"] for block in last.content}
    return last.role == "assistant" and "text" in said and "tool_use" not in said


def _problem(loc: tuple[Any, ...], text: str) -> RequestValidationError:
    return RequestValidationError([{"type": "value_error", "loc": loc, "msg": text, "input": None}])


def _check_blocks(loc: tuple[Any, ...], blocks: Sequence[Block]) -> None:
    for i, block in enumerate(blocks):
        try:
            _BLOCKS[block["type"]].model_validate(block)
        except ValidationError as error:
            problems = [p | {"loc": (*loc, i, *p["loc"])} for p in error.errors()]
            raise RequestValidationError(problems) from None


def _tools(body: MessagesRequest) -> list[dict[str, Any]] | None:
    try:
        check_names([tool.name for tool in body.tools or ()])
    except ValueError as error:
        raise _problem((), str(error)) from None
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description or "",
                "parameters": tool.input_schema,
                "strict": bool(tool.strict),
            },
        }
        for tool in body.tools or ()
    ] or None


def _choice(choice: ToolChoiceParam, tools: list[ToolParam]) -> Any:
    if choice.type == "tool":
        if choice.name not in [tool.name for tool in tools]:
            raise _problem(("tool_choice", "name"), "must be the name of one of the tools")
        return {"type": "function", "function": {"name": choice.name}}
    if choice.type == "any" and not tools:
        raise _problem(("tool_choice",), "needs tools to choose from")
    return {"any": "required", "auto": "auto", "none": "none"}[choice.type]


def _joined(blocks: Sequence[Block]) -> str:
    return "\n".join(block.get("text", "") for block in blocks)


def _messages(role: str, blocks: list[Block]) -> list[dict[str, Any]]:
    """A message as those of a chat: results of tools are messages of their own."""
    found: list[dict[str, Any]] = [
        {"role": "tool", "tool_call_id": block["tool_use_id"], "content": _result(block)}
        for block in blocks
        if block["type"] == "tool_result"
    ]
    text = _joined([block for block in blocks if block["type"] == "text"])
    calls = [_call(block) for block in blocks if block["type"] == "tool_use"]
    thought = "\n".join(block["thinking"] for block in blocks if block["type"] == "thinking")
    if text or calls or thought or not found:
        message: dict[str, Any] = {"role": role, "content": text}
        message |= {"tool_calls": calls} if calls else {}
        message |= {"reasoning": thought} if thought else {}
        found.append(message)
    return found


def _result(block: Block) -> Any:
    content = block.get("content") or ""
    text = content if isinstance(content, str) else _joined(content)
    return f"error: {text}" if block.get("is_error") else text


def _call(block: Block) -> dict[str, Any]:
    arguments = json.dumps(block["input"], ensure_ascii=False)
    function = {"name": block["name"], "arguments": arguments}
    return {"id": block["id"], "type": "function", "function": function}
