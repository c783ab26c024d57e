"""One choice of an answer as it comes: its text by kind, and its calls."""

from __future__ import annotations

import uuid
from typing import Any

from hnlpu.run.chat import AnswerParts, CallPart, Place
from hnlpu.run.engine import Update
from hnlpu.serve._context import Context
from hnlpu.serve._dialect import Turn

CALL_ID = 9  # characters; Mistral's templates take no other length


class Choice:
    """One choice as it comes: its text by kind, and its calls."""

    def __init__(self, context: Context, turn: Turn):
        self._parser = context.dialect.parser(turn)
        self._named = turn.calls is not None and turn.calls.named
        self.content = ""
        self.reasoning = ""
        self.calls: list[dict[str, Any]] = []

    @property
    def place(self) -> Place | None:
        """What the last token belongs to; None for a mark."""
        return self._parser.place

    def push(self, update: Update) -> AnswerParts:
        """What an update adds."""
        parts = [self._parser.push(update.token, update.text)]
        if update.reason is not None:
            parts.append(self._parser.finish())
        whole = AnswerParts(
            "".join(part.content for part in parts),
            "".join(part.reasoning for part in parts),
            tuple(call for part in parts for call in part.calls),
        )
        self.content += whole.content
        self.reasoning += whole.reasoning
        for call in whole.calls:
            if call.name is not None:
                self.calls.append(_call(call.name))
            self.calls[call.index]["function"]["arguments"] += call.arguments
        return whole

    def delta(self, parts: AnswerParts) -> dict[str, Any]:
        """The parts as a chunk of a stream tells them; to be called in their order."""
        found: dict[str, Any] = {}
        if parts.content or not (parts.reasoning or parts.calls):
            found["content"] = parts.content
        if parts.reasoning:
            found |= _reasoning(parts.reasoning)
        if parts.calls:
            found["tool_calls"] = [self._call_delta(call) for call in parts.calls]
        return found

    def _call_delta(self, part: CallPart) -> dict[str, Any]:
        if part.name is None:
            return {"index": part.index, "function": {"arguments": part.arguments}}
        call = self.calls[part.index]
        function = {"name": part.name, "arguments": part.arguments}
        return {"index": part.index, "id": call["id"], "type": "function", "function": function}

    def message(self, with_reasoning: bool) -> dict[str, Any]:
        """The whole message."""
        content = None if self.calls and not self.content else self.content
        found: dict[str, Any] = {
            "role": "assistant", "content": content, "refusal": None, "annotations": [],
        }  # fmt: skip
        if self.reasoning and with_reasoning:
            found |= _reasoning(self.reasoning)
        if self.calls:
            found["tool_calls"] = self.calls
        return found

    def reason(self, reason: str | None) -> str | None:
        """Why the answer ended; a call that the client demanded by name is an ordinary end."""
        return "tool_calls" if reason == "stop" and self.calls and not self._named else reason


def _reasoning(text: str) -> dict[str, str]:
    """Thoughts by both names that clients look for."""
    return {"reasoning": text, "reasoning_content": text}


def _call(name: str) -> dict[str, Any]:
    ident = uuid.uuid4().hex[:CALL_ID]
    return {"id": ident, "type": "function", "function": {"name": name, "arguments": ""}}
