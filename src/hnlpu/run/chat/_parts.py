"""What an answer is made of: said, thought, and called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

Kind = Literal["content", "reasoning", "call"]
Place = Literal["content", "reasoning", "call", "header"]


@dataclass(frozen=True)
class CallPart:
    """A piece of a tool call; the first piece of a call has its name.

    `index` counts the calls of an answer.
    """

    index: int
    name: str | None
    arguments: str


@dataclass(frozen=True)
class AnswerParts:
    """Pieces of an answer, by what they are."""

    content: str = ""
    reasoning: str = ""
    calls: tuple[CallPart, ...] = ()


class AnswerParser(Protocol):
    """Follows one answer token by token.

    `place` is what the last token belongs to, as far as it can be told yet; None for a mark.
    """

    @property
    def place(self) -> Place | None:
        """See above."""
        ...

    def push(self, token: int | None, text: str) -> AnswerParts:
        """What a token adds; `text` is what the engine tells of it, without stop strings."""
        ...

    def finish(self) -> AnswerParts:
        """What was held back, now that nothing follows."""
        ...


class PlainAnswer:
    """The parser of models without any format: everything is said."""

    place: Place = "content"

    def push(self, token: int | None, text: str) -> AnswerParts:
        """What a token's text adds."""
        return AnswerParts(text)

    def finish(self) -> AnswerParts:
        """Nothing."""
        return AnswerParts()
