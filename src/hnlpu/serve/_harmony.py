"""Answers in OpenAI's harmony format: what is thought apart from what is said.

    <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>...<|return|>

Format: github.com/openai/harmony.  What stands in channel `final` is the
answer, what stands in any other is reasoning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

CHANNEL, MESSAGE, START, END = "<|channel|>", "<|message|>", "<|start|>", "<|end|>"
MARKS = (CHANNEL, MESSAGE, START, END)


class Parts(NamedTuple):
    """Text of an answer, by what it is."""

    content: str
    reasoning: str


class PlainAnswer:
    """The parser of models without channels: everything is said."""

    def push(self, token: int | None, text: str) -> Parts:
        """What a token's text adds."""
        return Parts(text, "")


class HarmonyAnswer:
    """Follows one answer token by token."""

    def __init__(self, special: Mapping[str, int]):
        self._marks = {special[mark]: mark for mark in MARKS}
        self._header = True
        self._channel = ""

    def push(self, token: int | None, text: str) -> Parts:
        """What a token's text adds; marks and headers add nothing."""
        mark = None if token is None else self._marks.get(token)
        if mark is None:
            if self._header:
                self._channel += text
                return Parts("", "")
            return Parts(text, "") if self._channel.strip() == "final" else Parts("", text)
        if mark in (CHANNEL, START):
            self._channel = ""
        self._header = mark != MESSAGE
        return Parts("", "")


def speaks_harmony(special: Mapping[str, int]) -> bool:
    """Whether a tokenizer has harmony's marks."""
    return all(mark in special for mark in MARKS)
