"""Conversations into prompts, and answers into what is said, thought and called."""

from hnlpu.run.chat._formats import Format, format_of
from hnlpu.run.chat._harmony import (
    ALL_MARKS,
    MARKS,
    HarmonyAnswer,
    Reader,
    opening_of,
    said,
    speaks_harmony,
)
from hnlpu.run.chat._parts import AnswerParser, AnswerParts, CallPart, Place, PlainAnswer
from hnlpu.run.chat._talk import Talk
from hnlpu.run.chat._template import ChatTemplate, text_of
from hnlpu.run.chat._text import TextAnswer

__all__ = [
    "ALL_MARKS",
    "MARKS",
    "AnswerParser",
    "AnswerParts",
    "CallPart",
    "ChatTemplate",
    "Format",
    "HarmonyAnswer",
    "Place",
    "PlainAnswer",
    "Reader",
    "Talk",
    "TextAnswer",
    "format_of",
    "opening_of",
    "said",
    "speaks_harmony",
    "text_of",
]
