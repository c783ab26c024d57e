"""POST /v1/responses as it comes -> the chat that it asks for."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi.exceptions import RequestValidationError
from pydantic import BeforeValidator, Field, ValidationError, WithJsonSchema

from hnlpu.serve._fields import kind_of, not_here
from hnlpu.serve._schema import EFFORTS, IGNORED, MESSAGES_LIMIT, ChatRequest
from hnlpu.serve._wire import Wire

_PASSED_ON = ("model", "temperature", "top_p", "top_logprobs", "stream", "seed", "top_k",
              "parallel_tool_calls", "stop", "logit_bias")  # fmt: skip


def _input(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not value or len(value) > MESSAGES_LIMIT:
        raise ValueError(
            f"must be a text or a list of 1 to {MESSAGES_LIMIT} items, not {kind_of(value)}"
        )
    for i, item in enumerate(value):
        kind = item.get("type", "message") if isinstance(item, dict) else None
        if kind not in ("message", "function_call", "function_call_output", "reasoning"):
            raise ValueError(
                f"item {i} must be of type message, function_call, function_call_output or reasoning"
            )
        if kind == "reasoning" and not all(map(_is_part, _thoughts(item))):
            raise ValueError(
                f"item {i}: content and summary must be lists of parts that have a text"
            )
    return value


def _thoughts(item: dict[str, Any]) -> list[Any]:
    """The parts of a reasoning item: its content or else its summary."""
    parts = item.get("content") or item.get("summary") or []
    return parts if isinstance(parts, list) else [parts]


def _is_part(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), str)


_INPUT = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]}


class TextFormat(Wire):
    """`text`: the form that the answer must have."""

    format: dict[str, Any] | None = None
    verbosity: str | None = Field(None, description=IGNORED)


class Reasoning(Wire):
    """How hard to think."""

    effort: EFFORTS | None = None
    summary: str | None = Field(None, description=IGNORED)


class ResponsesRequest(Wire):
    """POST /v1/responses."""

    model: str | None = None
    input: Annotated[Any, BeforeValidator(_input), WithJsonSchema(_INPUT)]
    instructions: str | None = None
    max_output_tokens: int | None = Field(None, ge=1, le=2**31 - 1)
    temperature: float | None = Field(None, ge=0, le=100)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=-1, le=2**31 - 1)
    seed: int | None = Field(None, ge=-(2**63), le=2**63 - 1)
    stop: Any = None
    logit_bias: dict[str, Any] | None = None
    stream: bool | None = None
    text: TextFormat | None = None
    reasoning: Reasoning | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool = True
    top_logprobs: int | None = Field(None, ge=0, le=20)
    previous_response_id: Annotated[Any, not_here("send the whole conversation as input")] = None
    conversation: Annotated[Any, not_here("send the whole conversation as input")] = None
    background: Annotated[Any, not_here("leave it out", False)] = None
    prompt: Annotated[Any, not_here("give instructions and input")] = None
    include: list[Any] | None = Field(None, description=IGNORED)
    metadata: dict[str, Any] | None = Field(None, description="Told back.")
    store: bool | None = Field(None, description="Nothing is stored.")
    truncation: str | None = Field(None, description=IGNORED)
    service_tier: str | None = Field(None, description=IGNORED)
    user: str | None = Field(None, description=IGNORED)


def as_chat(body: ResponsesRequest) -> ChatRequest:
    """The chat that a request asks for.  Raises RequestValidationError, which names the field."""
    messages = [{"role": "developer", "content": body.instructions}] if body.instructions else []
    chat: dict[str, Any] = {name: getattr(body, name) for name in _PASSED_ON}
    chat["messages"] = messages + _messages(body.input)
    chat["max_completion_tokens"] = body.max_output_tokens
    chat["tools"] = [_tool(tool) for tool in body.tools or ()] or None
    chat["tool_choice"] = body.tool_choice
    chat["logprobs"] = bool(body.top_logprobs) or None
    chat["reasoning_effort"] = body.reasoning.effort if body.reasoning else None
    form = body.text.format if body.text else None
    if form is not None:
        kind = form.get("type")
        named = {key: value for key, value in form.items() if key != "type"}
        chat["response_format"] = {"type": kind} | ({"json_schema": named} if named else {})
    try:
        return ChatRequest.model_validate(chat)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None


def _tool(tool: Any) -> Any:
    """A function as chats have it; others are refused there."""
    if not isinstance(tool, dict) or tool.get("type") != "function" or "function" in tool:
        return tool
    return {"type": "function", "function": {k: v for k, v in tool.items() if k != "type"}}


def _messages(given: Any) -> list[dict[str, Any]]:
    """Items as messages: thoughts and calls join the assistant's message that they belong to."""
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    found: list[dict[str, Any]] = []
    thought = ""
    for item in given:
        match item.get("type", "message"):
            case "reasoning":
                thought = "\n".join(part["text"] for part in _thoughts(item))
                continue
            case "function_call":
                function = {"name": item.get("name"), "arguments": item.get("arguments")}
                call = {"id": item.get("call_id"), "type": "function", "function": function}
                last = found[-1] if found else {}
                if last.get("role") == "assistant" and not thought:
                    last.setdefault("tool_calls", []).append(call)
                    continue
                message: dict[str, Any] = {"role": "assistant", "tool_calls": [call]}
            case "function_call_output":
                ident, output = item.get("call_id"), item.get("output")
                message = {"role": "tool", "tool_call_id": ident, "content": output}
            case _:
                plain = ("type", "id", "status", "phase")
                message = {key: value for key, value in item.items() if key not in plain}
        if thought and message.get("role") == "assistant":
            message["reasoning"], thought = thought, ""
        found.append(message)
    return found
