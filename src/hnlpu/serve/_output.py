"""An answer's parts -> the items of `/v1/responses`, and the events that tell of them.

reasoning item ─► message item ─► function_call items, each opened, told in pieces, and closed

Where log-probabilities are asked for, each stands with the text that its token belongs to.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from hnlpu.run.chat import AnswerParts, Place
from hnlpu.run.engine import TokenScore
from hnlpu.serve._choice import Choice

Event = dict[str, Any]
PREFIXES = {"reasoning": "rs", "message": "msg", "function_call": "fc"}


class Items:
    """The items of one answer, and the events that tell of them.

    `scores` makes an entry of a token's log-probability; each stands with the text that it belongs to.
    """

    def __init__(self, choice: Choice, scores: Callable[[TokenScore], dict[str, Any]]):
        self.items: list[dict[str, Any]] = []
        self._choice = choice
        self._scores = scores
        self._open = False
        self._place: Place | None = choice.place
        self._pending: list[dict[str, Any]] = []  # of tokens whose text has not come yet

    def push(self, parts: AnswerParts, score: TokenScore | None) -> Iterator[Event]:
        """What some parts add; `score` is of the token that told them, where it is asked for."""
        before, self._place = self._place, self._choice.place
        if self._text_may_come(before, parts) and score is not None:
            self._pending.append(self._scores(score))
        elif not parts.content:
            self._pending = []  # what looked like text was a mark or a header
        if parts.reasoning:
            yield from self._text("reasoning", parts.reasoning)
        if parts.content:
            yield from self._text("message", parts.content)
        for call in parts.calls:
            if call.name is not None:
                ident = self._choice.calls[call.index]["id"]
                item = {"call_id": ident, "name": call.name, "arguments": ""}
                yield from self._begin("function_call", item)
            self.items[-1]["arguments"] += call.arguments
            yield self._event("function_call_arguments.delta", delta=call.arguments)

    def _text_may_come(self, before: Place | None, parts: AnswerParts) -> bool:
        """Whether the last token is, or may turn out to be, text that is said."""
        match self._place:
            case None:
                return False
            case "header":
                return True
            case "content":  # the mark that ends thoughts or a call stands before text
                return bool(parts.content) or before not in ("reasoning", "call")
            case _:
                return bool(parts.content)

    def close(self) -> Iterator[Event]:
        """The end of the item that is open."""
        if not self._open:
            return
        self._open = False
        item = self.items[-1]
        item["status"] = "completed"
        if item["type"] == "function_call":
            told = {"arguments": item["arguments"], "name": item["name"]}
            yield self._event("function_call_arguments.done", **told)
        else:
            part = item["content"][0]
            kind = part["type"]
            more: dict[str, Any] = {}
            if kind == "output_text":
                more = {"logprobs": part.get("logprobs", [])}
            yield self._event(f"{kind}.done", text=part["text"], content_index=0, **more)
            if kind == "output_text":
                yield self._event("content_part.done", content_index=0, part=dict(part))
        yield self._item_event("output_item.done")

    def _text(self, kind: str, text: str) -> Iterator[Event]:
        if not self._open or self.items[-1]["type"] != kind:
            yield from self._begin(kind, {})
        part = self.items[-1]["content"][0]
        part["text"] += text
        more: dict[str, Any] = {}
        if kind == "message":
            told, self._pending = self._pending, []
            while len(told) > 1 and not told[0]["token"].strip() and not text[:1].isspace():
                del told[0]  # white space behind a mark, which is left out
            more = {"logprobs": told}
            if told:
                part.setdefault("logprobs", []).extend(told)
        yield self._event(f"{part['type']}.delta", delta=text, content_index=0, **more)

    def _begin(self, kind: str, more: dict[str, Any]) -> Iterator[Event]:
        yield from self.close()
        ident = f"{PREFIXES[kind]}_{uuid.uuid4().hex}"
        item = {"id": ident, "type": kind, "status": "in_progress"} | more
        if kind == "message":
            item |= {"role": "assistant", "content": []}
        elif kind == "reasoning":
            item |= {"summary": [], "content": []}
        self.items.append(item)
        self._open = True
        yield self._item_event("output_item.added")
        if kind == "reasoning":
            item["content"].append({"type": "reasoning_text", "text": ""})
        elif kind == "message":
            item["content"].append({"type": "output_text", "text": "", "annotations": []})
            part = dict(item["content"][0])
            yield self._event("content_part.added", content_index=0, part=part)

    def _event(self, kind: str, **more: Any) -> Event:
        where = {"item_id": self.items[-1]["id"], "output_index": len(self.items) - 1}
        return {"type": f"response.{kind}"} | where | more

    def _item_event(self, kind: str) -> Event:
        item = json.loads(json.dumps(self.items[-1]))  # as it is now
        return {"type": f"response.{kind}", "output_index": len(self.items) - 1, "item": item}
