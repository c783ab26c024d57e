"""A conversation as it comes over the wire -> the prompt, by the model's template."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Any

from hnlpu.errors import InvalidInput
from hnlpu.serve._context import Context
from hnlpu.serve._dialect import Turn
from hnlpu.serve._schema import ChatRequest, Message
from hnlpu.serve._tools import calls_of

OWN_FIELDS = (
    "messages", "tools", "documents", "chat_template", "add_generation_prompt",
    "continue_final_message",
)  # fmt: skip
HARMONY_EFFORTS = {"none": "low", "minimal": "low", "xhigh": "high", "max": "high"}


async def turn_of(context: Context, body: ChatRequest) -> Turn:
    """The prompt of a conversation and what its answer may call.

    Raises InvalidInput, TokenizerMissing.
    """
    calls = calls_of(body.tools, body.tool_choice, body.parallel_tool_calls)
    if body.tools and body.tool_choice != "none":
        context.dialect.check_tools()
    try:
        messages = [_for_template(message) for message in body.messages]
        _refuse_special(context, (messages, body.tools, body.documents))
    except (RecursionError, ValueError):  # pydantic raises the latter where it goes too deep
        raise InvalidInput("messages: nested too deeply") from None
    values = body.chat_template_kwargs or {}
    for name in OWN_FIELDS:
        if name in values:
            raise InvalidInput(f"chat_template_kwargs: give {name} as a field of the request")
    begun = body.continue_final_message
    if begun and body.add_generation_prompt and "add_generation_prompt" in body.model_fields_set:
        raise InvalidInput(
            "continue_final_message: the answer goes on with the last message or begins one of its own; "
            "leave add_generation_prompt out"
        )
    text = context.template.render(
        messages,
        tools=body.tools or None,
        documents=body.documents,
        template=body.chat_template,
        add_generation_prompt=body.add_generation_prompt,
        continue_final_message=begun,
        values=_effort(context, body.reasoning_effort) | values,
    )
    # the template itself puts what a conversation begins with
    plain = context.template.is_plain
    ids = await asyncio.to_thread(context.model.tokenizer.encode, text, whole=plain)
    return Turn(tuple(context.model.encode(ids).tolist()), calls)


def warnings_of(context: Context, body: ChatRequest) -> list[str]:
    """What a request asks for that this model's template has no place for."""
    shown = context.dialect.shows_tools
    unseen = body.tools and not shown and not context.template.is_plain
    return ["the chat template does not show tools to the model"] if unseen else []


def _effort(context: Context, effort: str | None) -> dict[str, Any]:
    """How hard to think, by the names that templates know."""
    if effort is None:
        return {}
    if context.dialect.harmony:
        return {"reasoning_effort": HARMONY_EFFORTS.get(effort, effort)}
    thinks = effort != "none"
    return {"reasoning_effort": effort, "enable_thinking": thinks, "thinking": thinks}


def _for_template(message: Message) -> dict[str, Any]:
    """Every field of a message; the arguments of tool calls as objects, which templates expect."""
    found = message.model_dump(exclude_unset=True)
    if found.get("tool_calls"):
        found["tool_calls"] = [_call(call) for call in found["tool_calls"]]
    elif "tool_calls" in found:
        del found["tool_calls"]
    return found


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise InvalidInput("messages: each of tool_calls must have a function with a name")
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        # what is no JSON the model wrote so, and the template shows it so
        with contextlib.suppress(ValueError, RecursionError):
            arguments = json.loads(arguments) if arguments.strip() else {}
    return call | {"function": function | {"arguments": arguments}}


def _refuse_special(context: Context, given: Any) -> None:
    """A text that spells a special token could pretend to be another's message."""
    names = [name for name in context.dialect.special if name]
    for text in _texts(given):
        for name in names:
            if name in text:
                raise InvalidInput(f"messages: {name!r} is a special token; leave it out")


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for key, entry in value.items():
                yield key
                yield from _texts(entry)
        case list() | tuple():
            for entry in value:
                yield from _texts(entry)
