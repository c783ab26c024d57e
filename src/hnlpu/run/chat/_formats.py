"""How models that know no harmony write thoughts and tool calls into their text.

| format | a call |
|---|---|
| hermes (Qwen too) | `<tool_call>{"name": ..., "arguments": {...}}</tool_call>` |
| llama | `<|python_tag|>{"name": ..., "parameters": {...}}`, or without the tag |
| mistral | `[TOOL_CALLS][{"name": ..., "arguments": {...}}]` |
| mistral_args | `[TOOL_CALLS]name[ARGS]{...}` |
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from hnlpu.run.chat._parts import CallPart

Kind = Literal["hermes", "llama", "mistral", "mistral_args"]
THINK, THOUGHT = "<think>", "</think>"


@dataclass(frozen=True)
class Format:
    """A format of tool calls: what a call begins and ends with.

    `close` is empty where calls last to the answer's end.
    """

    kind: Kind
    open: str
    close: str = ""

    @property
    def tokens(self) -> tuple[str, ...]:
        """Names of tokens that must be seen, special ones too."""
        return tuple(name for name in (self.open, self.close, "[ARGS]") if name)

    def starts_bare(self, text: str) -> bool:
        """Whether an answer that begins with `text` is a call without its mark."""
        return self.kind == "llama" and text.lstrip().startswith("{")

    def read(self, text: str, first: int) -> tuple[CallPart, ...] | None:
        """The calls in the text between the marks, numbered from `first`; None if it has none."""
        if self.kind == "mistral_args" or (
            self.kind == "mistral" and text.lstrip()[:1] not in "[{"
        ):
            found = _named(text)
        else:
            found = _objects(text)
        if not found:
            return None
        return tuple(CallPart(first + i, *call) for i, call in enumerate(found))


HERMES = Format("hermes", "<tool_call>", "</tool_call>")
LLAMA = Format("llama", "<|python_tag|>")
MISTRAL = Format("mistral", "[TOOL_CALLS]")
MISTRAL_ARGS = Format("mistral_args", "[TOOL_CALLS]")


def format_of(template: str, tokens: Collection[str]) -> Format | None:
    """The format that a chat template and a tokenizer's added tokens speak, None for none known."""
    if HERMES.open in template:
        return HERMES
    if MISTRAL.open in tokens or MISTRAL.open in template:
        return MISTRAL_ARGS if "[ARGS]" in tokens else MISTRAL
    if LLAMA.open in tokens or LLAMA.open in template:
        return LLAMA
    return None


def _objects(text: str) -> list[tuple[str, str]]:
    """Names and arguments of calls given as JSON objects, one after the other or in a list."""
    decoder, at, found = json.JSONDecoder(strict=False), 0, []
    while at < len(text):
        if text[at].isspace() or text[at] in ";,":
            at += 1
            continue
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return []
        for one in value if isinstance(value, list) else [value]:
            call = _call(one)
            if call is None:
                return []
            found.append(call)
    return found


def _call(value: Any) -> tuple[str, str] | None:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return None
    arguments = value.get("arguments", value.get("parameters", {}))
    if isinstance(arguments, str):
        return value["name"], arguments
    return value["name"], json.dumps(arguments, ensure_ascii=False)


def _named(text: str) -> list[tuple[str, str]]:
    """Calls as `name[ARGS]{...}` or `name{...}`, the mark between them."""
    found = []
    for part in text.split(MISTRAL.open):
        name, _, rest = part.replace("[ARGS]", "").partition("{")
        arguments = ("{" + rest).rstrip()
        try:
            json.loads(arguments)
        except (ValueError, RecursionError):
            return []
        found.append((name.strip(), arguments))
    return found if all(name for name, _ in found) else []
