"""Thoughts and tool calls that stand in the text: found in any split, and nothing else lost."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hnlpu.run.chat import TextAnswer, format_of
from hnlpu.run.chat._formats import HERMES, LLAMA, MISTRAL, MISTRAL_ARGS

CALLS = st.lists(
    st.tuples(st.sampled_from(["f", "get_weather"]), st.dictionaries(st.text(), st.text() | st.integers(), max_size=2)),
    min_size=1, max_size=3,
)  # fmt: skip
TEXT = st.text(st.characters(exclude_characters="<[{", exclude_categories=["Cs"]))


def read(text, cut, **options):
    """Content, thought and calls of a text that comes in pieces of `cut` characters."""
    answer = TextAnswer(
        options.get("calls"), options.get("thinks", False), options.get("thinking", False)
    )
    content, reasoning, calls = "", "", []
    pieces = [answer.push(1, text[i : i + cut]) for i in range(0, len(text), cut)]
    for parts in [*pieces, answer.finish()]:
        content, reasoning = content + parts.content, reasoning + parts.reasoning
        calls += [(part.index, part.name, part.arguments) for part in parts.calls]
    assert [index for index, *_ in calls] == list(range(len(calls)))
    return content, reasoning, [(name, json.loads(arguments)) for _, name, arguments in calls]


def written(kind, calls):
    if kind == HERMES:
        bodies = [json.dumps({"name": n, "arguments": a}) for n, a in calls]
        return "\n".join(f"<tool_call>\n{body}\n</tool_call>" for body in bodies)
    if kind == LLAMA:
        return "; ".join(json.dumps({"name": n, "parameters": a}) for n, a in calls)
    if kind == MISTRAL:
        return "[TOOL_CALLS]" + json.dumps([{"name": n, "arguments": a} for n, a in calls])
    return "".join(f"[TOOL_CALLS]{n}[ARGS]{json.dumps(a)}" for n, a in calls)


@pytest.mark.parametrize("kind", [HERMES, LLAMA, MISTRAL, MISTRAL_ARGS], ids=lambda f: f.kind)
@given(calls=CALLS, text=TEXT, cut=st.integers(1, 30))
def test_calls_are_found(kind, calls, text, cut):
    before = "" if kind == LLAMA else text
    assert read(before + written(kind, calls), cut, calls=kind) == (before, "", calls)
    tagged = "<|python_tag|>" + written(kind, calls)
    if kind == LLAMA:
        assert read(text + tagged, cut, calls=kind) == (text, "", calls)


@given(thought=TEXT, text=TEXT, cut=st.integers(1, 30), opened=st.booleans())
def test_thoughts_are_found(thought, text, cut, opened):
    whole = ("" if opened else "<think>\n") + thought + "\n</think>\n\n" + text
    content, reasoning, calls = read(whole, cut, thinks=True, thinking=opened)
    assert (content, reasoning, calls) == (text.lstrip(), thought.strip(), [])


@pytest.mark.parametrize("kind", [HERMES, LLAMA, MISTRAL, MISTRAL_ARGS, None])
@given(
    text=st.text(st.sampled_from('<tool_call>/{}[]TOOLCS"na :x\n|python_tag'), max_size=40),
    cut=st.integers(1, 9),
)
def test_what_is_no_call_is_said(kind, text, cut):
    content, _, calls = read(text, cut, calls=kind)
    if not calls:
        assert content.replace("<tool_call>", "").split() == text.replace(
            "<tool_call>", ""
        ).split() or (kind is not None and kind.open in text)


def test_a_call_that_is_none_stays_text():
    text = 'a <tool_call>{"nam": 1}</tool_call> b'
    assert read(text, 3, calls=HERMES)[0] == 'a <tool_call>{"nam": 1}</tool_call>b'
    assert read('{"x": 1}', 2, calls=LLAMA) == ('{"x": 1}', "", [])
    assert read("{", 1, calls=LLAMA) == ("{", "", [])


def test_formats_are_found_by_template_and_tokens():
    assert format_of("... <tool_call> ...", []) == HERMES
    assert format_of("", ["[TOOL_CALLS]"]) == MISTRAL
    assert format_of("", ["[TOOL_CALLS]", "[ARGS]"]) == MISTRAL_ARGS
    assert format_of("", ["<|python_tag|>"]) == LLAMA
    assert format_of("{{ tools }}", ["<s>"]) is None
