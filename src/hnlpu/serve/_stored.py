"""Responses that are kept, so that a later request can go on from one: the longest unused give way."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StoredResponse:
    """A response, and the items that it was the answer to, those of earlier turns included."""

    response: dict[str, Any]
    input: tuple[dict[str, Any], ...]
    bytes: int


class StoredResponses:
    """Up to `limit` bytes of responses, as JSON; in memory alone, so gone when the server ends."""

    def __init__(self, limit: int):
        self._limit = limit
        self._entries: OrderedDict[str, StoredResponse] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, response: dict[str, Any], given: Sequence[dict[str, Any]]) -> None:
        """Keep a response; one that is longer than all the room is not kept."""
        text = json.dumps([response, given])
        if len(text) > self._limit:
            return
        kept, items = json.loads(text)  # a copy, which no later change reaches
        entry = StoredResponse(kept, tuple(items), len(text))
        self._entries[kept["id"]] = entry
        self.bytes += entry.bytes
        while self.bytes > self._limit:
            _, oldest = self._entries.popitem(last=False)
            self.bytes -= oldest.bytes

    def get(self, ident: str) -> StoredResponse | None:
        """A response that is still kept, which counts as used now."""
        entry = self._entries.get(ident)
        if entry is not None:
            self._entries.move_to_end(ident)
        return entry

    def delete(self, ident: str) -> None:
        """Forget a response."""
        self.bytes -= self._entries.pop(ident).bytes
