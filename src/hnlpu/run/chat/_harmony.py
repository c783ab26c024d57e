"""Answers in OpenAI's harmony format: what is said, what is thought, and which tools are called.

    <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>...<|return|>

Format: github.com/openai/harmony.  A message has a header, of a role, a recipient (`to=...`), a
channel and a type of content (`<|constrain|>json`), each of which may be missing, and a body.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from hnlpu.run.chat._parts import AnswerParts, CallPart, Kind, Place
from hnlpu.run.emulate import Step

CHANNEL, MESSAGE, START, END = "<|channel|>", "<|message|>", "<|start|>", "<|end|>"
CONSTRAIN, RETURN, CALL = "<|constrain|>", "<|return|>", "<|call|>"
MARKS = (CHANNEL, MESSAGE, START, END)
ALL_MARKS = (*MARKS, CONSTRAIN, RETURN, CALL)
FUNCTIONS = "functions."
NOBODY = ("assistant", "user", "all")  # recipients that are no tools
_WORDS = ("assistant", "analysis", "commentary", "final", "json", "code", "to=")


class Header(NamedTuple):
    """What a header says."""

    channel: str | None
    recipient: str | None

    @property
    def tool(self) -> str | None:
        """The tool that the message calls."""
        if self.recipient is None or self.recipient in NOBODY:
            return None
        return self.recipient.removeprefix(FUNCTIONS)

    @property
    def kind(self) -> Kind:
        """What the body is: without a channel, or in `final`, it is said."""
        if self.tool is not None:
            return "call"
        return "content" if self.channel in (None, "", "final") else "reasoning"


def read_header(text: str) -> Header:
    """A header's text, marks by name, from behind `<|start|>` or the role on."""
    recipient = re.search(r"to=([^\s<]+)", text)
    channel = re.search(r"<\|channel\|>\s*([^\s<]*)", text)
    name = recipient[1] if recipient else None
    return Header(channel[1] if channel else None, name)


class Reader:
    """Tokens -> what each adds, of which kind, and the header that it stands under."""

    def __init__(
        self,
        special: Mapping[str, int],
        decoder: Callable[[], Step],
        opening: Sequence[int] = (),
    ):
        self._marks = {special[mark]: mark for mark in ALL_MARKS if mark in special}
        self._decoder = decoder
        self._decode = decoder()
        self._text: str | None = ""  # of the header; None within a body
        self.header = Header(None, None)
        self.messages = 0
        self._opening = tuple(opening)
        self._special = special
        for token in opening:
            self.push(token)

    def copy(self) -> Reader:
        """A reader before the first token of its answer."""
        return Reader(self._special, self._decoder, self._opening)

    @property
    def in_header(self) -> bool:
        """Whether a header is under way."""
        return self._text is not None

    def push(self, token: int) -> tuple[Kind, str]:
        """What a token adds."""
        mark = self._marks.get(token)
        if mark is not None:
            self._decode = self._decoder()  # a character that is open stays so
            return self._mark(mark)
        text = self._decode(token)
        if self._text is None:
            return self.header.kind, text
        self._text += text
        if "<|" in self._text or _may_be_header(self._text):
            return "content", ""
        return self._say(self._text.removeprefix("assistant"))

    def rest(self) -> str:
        """A header's beginning that no mark has followed: so it was text."""
        text, self._text = self._text or "", None
        return "" if "<|" in text else text.removeprefix("assistant")

    def _mark(self, mark: str) -> tuple[Kind, str]:
        rest = ""
        if mark in (START, END, RETURN, CALL):
            rest = self.rest()
            self._text = ""
        elif self._text is not None and mark == MESSAGE:
            self._begin(read_header(self._text))
        elif self._text is not None:
            self._text += mark
        return "content", rest

    def _say(self, text: str) -> tuple[Kind, str]:
        self._begin(Header(None, None))
        return "content", text

    def _begin(self, header: Header) -> None:
        self.header = header
        self.messages += 1
        self._text = None


def _may_be_header(text: str) -> bool:
    """Whether text that no mark has followed yet may turn out to be a header."""
    words = text.removeprefix("assistant").split()
    if not words:
        return True
    *whole, last = words
    if text[-1].isspace():
        whole = words
    known = all(word in _WORDS or word.startswith("to=") for word in whole)
    begun = last.startswith("to=") or any(word.startswith(last) for word in _WORDS)
    return known and begun and len(words) <= len(_WORDS)


class HarmonyAnswer:
    """Follows one answer token by token.

    `special` are the tokenizer's special tokens; `opening` the tokens of the prompt that belong
    to the answer's first message, behind its role.
    """

    def __init__(
        self,
        special: Mapping[str, int],
        decoder: Callable[[], Step],
        opening: Sequence[int] = (),
    ):
        self._reader = Reader(special, decoder, opening)
        self._marks = {special[mark] for mark in ALL_MARKS if mark in special}
        self._in_mark = False
        self._calls = -1
        self._called = 0  # number of the message that the last call is

    @property
    def place(self) -> Place | None:
        """What the last token belongs to."""
        if self._in_mark:
            return None
        return "header" if self._reader.in_header else self._reader.header.kind

    def push(self, token: int | None, text: str) -> AnswerParts:
        """What a token adds; marks and headers add nothing."""
        self._in_mark = token in self._marks
        if token is None:
            return AnswerParts(text)
        kind, piece = self._reader.push(token)
        if kind == "reasoning":
            return AnswerParts(text, piece)
        return AnswerParts(text, "", self._call(piece))

    def finish(self) -> AnswerParts:
        """A header's beginning that no mark has followed."""
        return AnswerParts(self._reader.rest() if self._reader.in_header else "")

    def _call(self, piece: str) -> tuple[CallPart, ...]:
        reader = self._reader
        if reader.in_header or reader.header.tool is None:
            return ()
        name = None
        if self._called != reader.messages:
            self._called, self._calls, name = reader.messages, self._calls + 1, reader.header.tool
        elif not piece:
            return ()
        return (CallPart(self._calls, name, piece),)


def said(
    special: Mapping[str, int], decoder: Callable[[], Step], opening: Sequence[int] = ()
) -> Step:
    """What the user sees of each token: the text that stop strings are looked for in."""
    reader = Reader(special, decoder, opening)

    def step(token: int) -> str:
        kind, text = reader.push(token)
        return text if kind == "content" else ""

    return step


def opening_of(prompt: Sequence[int], special: Mapping[str, int]) -> list[int]:
    """The tokens of a prompt that its last message has behind `<|start|>`, if it is still open."""
    tokens = list(prompt)
    ends = {special[mark] for mark in (END, RETURN, CALL) if mark in special}
    start = next((i for i in reversed(range(len(tokens))) if tokens[i] == special[START]), None)
    if start is None or ends & set(tokens[start:]):
        return []
    return tokens[start + 1 :]


def speaks_harmony(special: Mapping[str, int]) -> bool:
    """Whether a tokenizer has harmony's marks."""
    return all(mark in special for mark in MARKS)
