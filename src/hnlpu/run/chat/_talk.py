"""A conversation with a model on this computer: what is said to it into prompts, tokens into answers.

say(text) ─► prompt() ─► tokens of the model ─► answer(tokens) ─► pieces, and the history grows
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from hnlpu.errors import InvalidInput
from hnlpu.run.chat._formats import THINK, THOUGHT
from hnlpu.run.chat._harmony import (
    CALL,
    RETURN,
    HarmonyAnswer,
    opening_of,
    said,
    speaks_harmony,
)
from hnlpu.run.chat._parts import AnswerParser, AnswerParts, PlainAnswer
from hnlpu.run.chat._template import ChatTemplate
from hnlpu.run.chat._text import TextAnswer
from hnlpu.run.emulate import LanguageModel, Step


class Talk:
    """One conversation.

    Raises TokenizerMissing, and InvalidInput for a damaged template.
    """

    def __init__(self, model: LanguageModel):
        model.tokenizer.encode("")  # raises TokenizerMissing
        self._tokenizer = model.tokenizer
        self._template = ChatTemplate(model.directory)
        self._special = self._tokenizer.special_tokens()
        self._added = self._tokenizer.added_tokens()
        plain = self._template.is_plain
        self._harmony = not plain and speaks_harmony(self._special)
        self._thinks = not plain and {THINK, THOUGHT} <= self._added.keys()
        self.messages: list[dict[str, Any]] = []

    @property
    def knows_roles(self) -> bool:
        """Whether the model has a chat template; else all that is said is one text."""
        return not self._template.is_plain

    @property
    def ends(self) -> frozenset[int]:
        """Tokens that end an answer beside the model's own end tokens."""
        names = (RETURN, CALL) if self._harmony else ()
        return frozenset(self._special[name] for name in names if name in self._special)

    def say(self, text: str, role: str = "user") -> None:
        """Add a message.  Raises InvalidInput where it spells a special token."""
        for name in self._special:
            if name and name in text:
                raise InvalidInput(f"{name!r} is a special token; leave it out")
        self.messages.append({"role": role, "content": text})

    def prompt(self) -> tuple[int, ...]:
        """Token ids that the next answer follows.  Raises InvalidInput."""
        text = self._template.render(self.messages)
        # a template itself puts what a conversation begins with
        return tuple(self._tokenizer.encode(text, whole=self._template.is_plain))

    def answer(self, prompt: tuple[int, ...], tokens: Iterable[int]) -> Iterator[AnswerParts]:
        """The pieces of an answer as its tokens come; at the end it is part of the history."""
        parser, read = self._parser(prompt)
        content = reasoning = ""
        for parts in self._parts(parser, read, tokens):
            content += parts.content
            reasoning += parts.reasoning
            yield parts
        message = {"role": "assistant", "content": content}
        self.messages.append(message | ({"reasoning": reasoning} if reasoning else {}))

    def _parts(
        self, parser: AnswerParser, read: Step, tokens: Iterable[int]
    ) -> Iterator[AnswerParts]:
        for token in tokens:
            yield parser.push(token, read(token))
            if token in self.ends:
                break
        yield parser.finish()

    def _parser(self, prompt: tuple[int, ...]) -> tuple[AnswerParser, Step]:
        """What tells an answer's parts apart, and what says the text of its tokens."""
        decoder = self._tokenizer.decoder
        if self._harmony:
            opening = opening_of(prompt, self._special)
            parser = HarmonyAnswer(self._special, decoder, opening)
            return parser, said(self._special, decoder, opening)
        if not self._thinks:
            return PlainAnswer(), decoder(prompt)
        marks = {self._added[THINK], self._added[THOUGHT]}
        last = next((token for token in reversed(prompt) if token in marks), None)
        thinking = last == self._added[THINK]
        return TextAnswer(None, True, thinking), decoder(prompt, shown=marks)
