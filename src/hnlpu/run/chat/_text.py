"""Answers whose thoughts and tool calls stand in the text, between marks."""

from __future__ import annotations

from typing import Literal

from hnlpu.run.chat._formats import THINK, THOUGHT, Format
from hnlpu.run.chat._parts import AnswerParts, CallPart, Place

Where = Literal["start", "thought", "text", "call"]
_PLACES: dict[Where, Place] = {
    "start": "content", "thought": "reasoning", "text": "content", "call": "call",
}  # fmt: skip


class TextAnswer:
    """Follows one answer piece by piece.

    `thinks`: thoughts stand between `<think>` and `</think>`; `thinking`: the prompt ends inside
    of them.  `calls` is the format of tool calls, None where they are not looked for.
    """

    def __init__(self, calls: Format | None, thinks: bool, thinking: bool):
        self._calls = calls
        self._thinks = thinks
        self._where: Where = "thought" if thinking else "start"
        self._held = ""
        self._count = 0
        self._trim = thinking  # white space that stands behind a mark

    @property
    def place(self) -> Place:
        """What the last token belongs to, unless a mark is under way."""
        return _PLACES[self._where]

    def push(self, token: int | None, text: str) -> AnswerParts:
        """What a token's text adds."""
        self._held += text
        return self._take(last=False)

    def finish(self) -> AnswerParts:
        """What was held back, now that nothing follows."""
        return self._take(last=True)

    def _take(self, last: bool) -> AnswerParts:
        content, reasoning = "", ""
        calls: list[CallPart] = []
        while True:
            before = self._where
            match before:
                case "start":
                    self._start(last)
                case "thought":
                    reasoning += self._until(THOUGHT, "start", last)
                    self._thinks = False  # once
                case "text":
                    mark = self._calls.open if self._calls else ""
                    content += self._until(mark, "call", last)
                case "call":
                    said, called = self._call(last)
                    content += said
                    calls += called
            if before == self._where:
                return AnswerParts(content, reasoning, tuple(calls))

    def _start(self, last: bool) -> None:
        """Decide what the answer begins with, once enough of it has come."""
        text = self._held.lstrip()
        if self._thinks and text.startswith(THINK):
            self._held, self._where, self._trim = text[len(THINK) :], "thought", True
        elif self._calls and self._calls.starts_bare(text):
            self._where = "call"
        elif last or (text and not (self._thinks and THINK.startswith(text))):
            self._where = "text"

    def _until(self, mark: str, then: Where, last: bool) -> str:
        """Text up to `mark`, held back where it may be the mark's beginning."""
        if self._trim:
            self._held = self._held.lstrip()
            self._trim = not self._held
        at = self._held.find(mark) if mark else -1
        if at >= 0:
            text, self._held = self._held[:at], self._held[at + len(mark) :]
            self._where, self._trim = then, mark == THOUGHT
            return text.rstrip() if mark == THOUGHT else text
        keep = 0 if last else _overlap(self._held, mark)
        if mark == THOUGHT and not last:
            keep = len(self._held) - len(self._held[: len(self._held) - keep].rstrip())
        text, self._held = (
            self._held[: len(self._held) - keep],
            self._held[len(self._held) - keep :],
        )
        return text

    def _call(self, last: bool) -> tuple[str, tuple[CallPart, ...]]:
        """A whole call, and text in its place where it is none."""
        assert self._calls is not None
        mark = self._calls.close
        at = self._held.find(mark) if mark else -1
        if at < 0 and not last:
            return "", ()
        body = self._held[:at] if at >= 0 else self._held
        self._held = self._held[at + len(mark) :] if at >= 0 else ""
        self._where, self._trim = "text", True
        if not body.strip():
            return "", ()
        found = self._calls.read(body, self._count)
        if found is None:
            opened = "" if self._calls.starts_bare(body) else self._calls.open
            return opened + body + (mark if at >= 0 else ""), ()
        self._count += len(found)
        return "", found


def _overlap(text: str, mark: str) -> int:
    """Length of the longest end of `text` that `mark` begins with, but is not all of."""
    sizes = range(min(len(text), max(len(mark) - 1, 0)), 0, -1)
    return next((size for size in sizes if text.endswith(mark[:size])), 0)
