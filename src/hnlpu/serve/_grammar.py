"""Where in an answer a constraint holds: grammars around it, in Lark's form as llguidance reads it.

The body of a constraint is called `@answer`, the arguments of tool i `@args_i`; a `Frame` says
what may or must stand around them: channels, thoughts, marks of tool calls.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from hnlpu.run.chat import Format, Reader
from hnlpu.serve._tools import Calls

ANSWER = "answer"
TEXT = "TEXT: /(?s:.*)/"
SPACE = "WS: /[ \\n]*/"
PLAIN = r"PLAIN: /[\s\x1c-\x1f]*([^{\s\x1c-\x1f](?s:.*))?/"
"""Text that `Format.starts_bare` does not take for a call: white space is str.isspace's."""


def quoted(text: str) -> str:
    """A text as a literal of Lark."""
    return json.dumps(text, ensure_ascii=False)


def args_name(index: int) -> str:
    """What the grammar of a tool's arguments is called."""
    return f"args_{index}"


_SIGNS = r"\.+*?()|[]{}^$/"  # that mean something in a regular expression or end it


@dataclass(frozen=True)
class Marks:
    """Tokens by name; those beside the vocabulary are named by their ids, as no text spells them."""

    added: Mapping[str, int]

    def __getitem__(self, name: str) -> str:
        ident = self.added.get(name)
        return quoted(name) if ident is None else f"<[{ident}]>"


def without(text: str, name: str = "TEXT") -> str:
    """A terminal of any text in which `text` does not appear."""
    escaped = "".join(f"\\{char}" if char in _SIGNS else char for char in text)
    return f"{name}: /(?s:.*)/ & ~/(?s:.*){escaped}(?s:.*)/"


def harmony(marks: Marks, reader: Reader, last: str, rules: str) -> str:
    """Thoughts as many as wanted, then `last`, which begins a message; `reader` knows where we are."""
    thought = f'{marks["<|channel|>"]} "analysis" {marks["<|message|>"]} {closed(marks)}'
    start = f"start: thought* {last}"
    if not reader.in_header:
        start = f"start: {closed(marks)} thought* {last}"
    return "\n".join([start, f"thought: {thought}", rules, TEXT])


def closed(marks: Marks) -> str:
    """The rest of a message and the role of the next."""
    return f'TEXT {marks["<|end|>"]} {marks["<|start|>"]} "assistant"'


def harmony_answer(marks: Marks, reader: Reader) -> str:
    """`@answer` in the final channel, or at once where the prompt has opened it."""
    if not reader.in_header and reader.header.kind == "content":
        return f"start: @{ANSWER}"
    rules = (
        f'last: {marks["<|channel|>"]} "final" (" "? {marks["<|constrain|>"]} "json")? '
        f"{marks['<|message|>']} @{ANSWER}"
    )
    return harmony(marks, reader, "last", rules)


def harmony_calls(marks: Marks, reader: Reader, calls: Calls) -> str:
    """A call of one of the tools, in the commentary channel."""
    rules = "\n".join(
        f"call_{i}: {marks['<|channel|>']} {quoted(f'commentary to=functions.{f.name} ')} "
        f'{marks["<|constrain|>"]} "json" {marks["<|message|>"]} @{args_name(i)}'
        for i, f in enumerate(calls.functions)
    )
    return harmony(marks, reader, f"({_any('call', calls)})", rules)


def text_answer(marks: Marks, thinks: bool, thinking: bool) -> str:
    """`@answer`, behind thoughts where the model thinks."""
    return "\n".join(
        [f"start: {_thought(thinks, thinking)}@{ANSWER}", *_thoughts(marks, thinks, thinking)]
    )


def text_calls(marks: Marks, form: Format, calls: Calls, thinks: bool, thinking: bool) -> str:
    """Calls in the text's own format: at least one where one must be, else text may stand alone."""
    start, rules = _CALLS[form.kind](marks, form, calls)
    head = _thought(thinks, thinking)
    return "\n".join([f"start: {head}{start}", *rules, *_thoughts(marks, thinks, thinking)])


def _thought(thinks: bool, thinking: bool) -> str:
    return "thought WS " if thinking else "(thought WS)? " if thinks else ""


def _thoughts(marks: Marks, thinks: bool, thinking: bool) -> list[str]:
    if not thinks:
        return [SPACE]
    body = without("</think>", "THOUGHT")
    opened = "" if thinking else marks["<think>"]
    return [f"thought: {opened} THOUGHT {marks['</think>']}", body, SPACE]


def _any(rule: str, calls: Calls) -> str:
    return " | ".join(f"{rule}_{i}" for i in range(len(calls.functions)))


def _object(calls: Calls, key: str) -> list[str]:
    """Rules `one_i`: a call as an object of a name and, under `key`, its arguments."""
    return [
        f'one_{i}: {quoted(f"""{{"name": "{f.name}", "{key}": """)} @{args_name(i)} "}}"'
        for i, f in enumerate(calls.functions)
    ]


def _hermes(marks: Marks, form: Format, calls: Calls) -> tuple[str, list[str]]:
    call = f'call: {marks[form.open]} "\\n" ({_any("one", calls)}) "\\n" {marks[form.close]}'
    more = '("\\n" call)*' if calls.several else ""
    start = f"call {more}" if calls.must else f"TEXT (call {more})?"
    return start, [call, *_object(calls, "arguments"), without(form.open)]


def _llama(marks: Marks, form: Format, calls: Calls) -> tuple[str, list[str]]:
    one = f"({_any('one', calls)})"
    more = f'("; " {one})*' if calls.several else ""
    call = f"call: ({marks[form.open]})? {one} {more}"
    start = "call" if calls.must else "(call | PLAIN)"
    return start, [call, *_object(calls, "parameters"), PLAIN]


def _mistral(marks: Marks, form: Format, calls: Calls) -> tuple[str, list[str]]:
    one = f"({_any('one', calls)})"
    more = f'(", " {one})*' if calls.several else ""
    call = f'call: {marks[form.open]} "[" {one} {more} "]"'
    start = "call" if calls.must else "TEXT call?"
    return start, [call, *_object(calls, "arguments"), without(form.open)]


def _mistral_args(marks: Marks, form: Format, calls: Calls) -> tuple[str, list[str]]:
    rules = [
        f"one_{i}: {marks[form.open]} {quoted(f.name)} {marks['[ARGS]']} @{args_name(i)}"
        for i, f in enumerate(calls.functions)
    ]
    call = f"call: ({_any('one', calls)})" + "+" * calls.several
    start = "call" if calls.must else "TEXT call?"
    return start, [call, *rules, without(form.open)]


_CALLS = {"hermes": _hermes, "llama": _llama, "mistral": _mistral, "mistral_args": _mistral_args}
