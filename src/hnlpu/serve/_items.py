"""POST /v1/responses as it comes -> the chat that it asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi.exceptions import RequestValidationError
from pydantic import BeforeValidator, Field, ValidationError, WithJsonSchema

from hnlpu.serve._fields import Content, Flag, Number, Whole, kind_of, not_here
from hnlpu.serve._schema import EFFORTS, IGNORED, MESSAGES_LIMIT, ChatRequest
from hnlpu.serve._wire import Wire

_PASSED_ON = ("model", "temperature", "top_p", "stream", "seed", "top_k", "parallel_tool_calls",
              "stop", "logit_bias", "speculation")  # fmt: skip
WITH_LOGPROBS = "message.output_text.logprobs"
WORDS = {
    "messages": "input", "max_tokens": "max_output_tokens", "logprobs": "top_logprobs",
    "response_format": "text.format",
}  # fmt: skip
"""What a chat's fields are called here."""
_PLACES: dict[str, tuple[str, ...]] = {
    "max_completion_tokens": ("max_output_tokens",), "response_format": ("text", "format"),
    "reasoning_effort": ("reasoning", "effort"), "messages": ("input",),
}  # fmt: skip


class _Part(Wire):
    takes_any_field = True
    text: str


class _Message(Wire):
    takes_any_field = True
    role: str = Field(min_length=1, max_length=64)
    content: Content


class _Call(Wire):
    takes_any_field = True
    call_id: str
    name: str = Field(min_length=1)
    arguments: str


class _Output(Wire):
    takes_any_field = True
    call_id: str
    output: Content


class _Thought(Wire):
    takes_any_field = True
    content: list[_Part] | None = None
    summary: list[_Part] | None = None


_ITEMS: dict[str, type[Wire]] = {
    "message": _Message, "function_call": _Call, "function_call_output": _Output,
    "reasoning": _Thought,
}  # fmt: skip


def _input(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not value or len(value) > MESSAGES_LIMIT:
        raise ValueError(
            f"must be a text or a list of 1 to {MESSAGES_LIMIT} items, not {kind_of(value)}"
        )
    for i, item in enumerate(value):
        kind = (item.get("type") or "message") if isinstance(item, dict) else None
        if not isinstance(kind, str) or kind not in _ITEMS:
            raise ValueError(f"item {i} must be of type {', '.join(_ITEMS)}")
    return value


def check_items(items: Sequence[Any]) -> None:
    """Raises RequestValidationError, which names the item and the field."""
    for i, item in enumerate(items):
        try:
            _ITEMS[item.get("type") or "message"].model_validate(item)
        except ValidationError as error:
            problems = [p | {"loc": ("input", i, *p["loc"])} for p in error.errors()]
            raise RequestValidationError(problems) from None


_INPUT = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]}


class AnswerFormat(Wire):
    """The form that the answer must have."""

    type: Literal["text", "json_object", "json_schema"]
    name: str = Field("answer", max_length=64)
    description: str | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: Flag | None = None


class TextFormat(Wire):
    """`text`: the form that the answer must have."""

    format: AnswerFormat | None = None
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
    max_output_tokens: Whole | None = Field(None, ge=1, le=2**31 - 1)
    temperature: Number | None = Field(None, ge=0, le=100)
    top_p: Number | None = Field(None, ge=0, le=1)
    top_k: Whole | None = Field(None, ge=-1, le=2**31 - 1)
    seed: Whole | None = Field(None, ge=-(2**63), le=2**63 - 1)
    stop: Any = None
    logit_bias: dict[str, Any] | None = None
    stream: Flag | None = None
    text: TextFormat | None = None
    reasoning: Reasoning | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    parallel_tool_calls: Flag = True
    top_logprobs: Whole | None = Field(None, ge=0, le=20)
    previous_response_id: str | None = Field(
        None, max_length=64, description="A stored response that this one goes on from."
    )
    conversation: Annotated[Any, not_here("give previous_response_id or the whole input")] = None
    background: Annotated[Any, not_here("leave it out", False)] = None
    prompt: Annotated[Any, not_here("give instructions and input")] = None
    include: list[Any] | None = Field(None, description=f"{WITH_LOGPROBS} is heeded.")
    metadata: dict[str, Any] | None = Field(None, description="Told back.")
    store: Flag = Field(True, description="Keep the response, while there is room.")
    truncation: str | None = Field(None, description=IGNORED)
    service_tier: str | None = Field(None, description=IGNORED)
    user: str | None = Field(None, description=IGNORED)
    speculation: Flag | None = Field(None, description="As in chats.")

    @property
    def items(self) -> list[dict[str, Any]]:
        """The input as items."""
        if isinstance(self.input, str):
            return [{"type": "message", "role": "user", "content": self.input}]
        return list(self.input)


def as_chat(body: ResponsesRequest, before: Sequence[dict[str, Any]] = ()) -> ChatRequest:
    """The chat that a request asks for, which goes on from the items `before`.

    Raises RequestValidationError, which names the field as it is called here.
    """
    items = body.items
    check_items(items)
    messages = [{"role": "developer", "content": body.instructions}] if body.instructions else []
    chat: dict[str, Any] = {name: getattr(body, name) for name in _PASSED_ON}
    chat["messages"] = messages + _messages([*before, *items])
    chat["max_completion_tokens"] = body.max_output_tokens
    chat["tools"] = [_tool(tool) for tool in body.tools or ()] or None
    chat["tool_choice"] = body.tool_choice
    wanted = bool(body.top_logprobs) or WITH_LOGPROBS in (body.include or ())
    chat["logprobs"] = wanted or None
    chat["top_logprobs"] = body.top_logprobs
    chat["reasoning_effort"] = body.reasoning.effort if body.reasoning else None
    form = body.text.format if body.text else None
    if form is not None:
        chat["response_format"] = _response_format(form)
    if body.top_logprobs == 0 and not wanted:
        chat["top_logprobs"] = None
    try:
        return ChatRequest.model_validate(chat)
    except ValidationError as error:
        flat = [
            tool is not given
            for tool, given in zip(chat["tools"] or (), body.tools or (), strict=True)
        ]
        problems = [p | {"loc": _place(p["loc"], flat)} for p in error.errors()]
        raise RequestValidationError(problems) from None


def _response_format(form: AnswerFormat) -> dict[str, Any]:
    if form.type != "json_schema":
        return {"type": form.type}
    if form.schema_ is None:
        problem = {"type": "missing", "loc": ("text", "format", "schema"), "input": None}
        raise RequestValidationError([problem])
    named = {"name": form.name, "schema": form.schema_, "strict": form.strict}
    return {"type": form.type, "json_schema": named}


def _place(loc: Sequence[Any], flat: list[bool]) -> tuple[Any, ...]:
    """Where a problem of the chat is in the request."""
    first, *rest = loc or ("",)
    if first == "tools" and len(rest) > 1 and rest[1] == "function" and flat[rest[0]]:
        return (first, rest[0], *rest[2:])
    if first == "messages":
        rest = rest[1:]
    return (*_PLACES.get(str(first), (first,)), *rest) if loc else ()


def _tool(tool: Any) -> Any:
    """A function as chats have it; others are refused there."""
    if not isinstance(tool, dict) or tool.get("type") != "function" or "function" in tool:
        return tool
    return {"type": "function", "function": {k: v for k, v in tool.items() if k != "type"}}


def _messages(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Items as messages: thoughts and calls join the assistant's message that they belong to."""
    found: list[dict[str, Any]] = []
    thought = ""
    for item in items:
        match item.get("type") or "message":
            case "reasoning":
                parts = item.get("content") or item.get("summary") or []
                thought = "\n".join(part["text"] for part in parts)
                continue
            case "function_call":
                function = {"name": item["name"], "arguments": item["arguments"]}
                call = {"id": item["call_id"], "type": "function", "function": function}
                last = found[-1] if found else {}
                if last.get("role") == "assistant" and not thought:
                    last.setdefault("tool_calls", []).append(call)
                    continue
                message: dict[str, Any] = {"role": "assistant", "tool_calls": [call]}
            case "function_call_output":
                message = {
                    "role": "tool", "tool_call_id": item["call_id"], "content": item["output"]
                }  # fmt: skip
            case _:
                plain = ("type", "id", "status", "phase")
                message = {key: value for key, value in item.items() if key not in plain}
        if thought and message.get("role") == "assistant":
            message["reasoning"], thought = thought, ""
        found.append(message)
    return found
