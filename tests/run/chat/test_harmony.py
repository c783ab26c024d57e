"""Harmony's channels: read as openai-harmony reads them, in any split, beside any stop string."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hnlpu.run.chat import ALL_MARKS, HarmonyAnswer, opening_of, said
from hnlpu.run.engine._stop_text import StopText

SPECIAL = {mark: 1000 + i for i, mark in enumerate(ALL_MARKS)}
REFERENCE = json.loads((Path(__file__).parent / "harmony_reference.json").read_text("utf-8"))


class Vocabulary:
    """Tokens made up as they are met, each of any bytes."""

    def __init__(self):
        self.ids = {mark.encode(): ident for mark, ident in SPECIAL.items()}

    def encode(self, pieces):
        return [self.ids.setdefault(piece, len(self.ids)) for piece in pieces]

    def decoder(self):
        names = {ident: piece for piece, ident in self.ids.items()}
        utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        return lambda token: "" if token in SPECIAL.values() else utf8.decode(names[token])


def read(pieces, opening=(), stops=()):
    """Content, thought and calls of an answer as the server gets at them."""
    words = Vocabulary()
    tokens, before = words.encode(pieces), words.encode(opening)
    answer = HarmonyAnswer(SPECIAL, words.decoder, before)
    step, stop = said(SPECIAL, words.decoder, before), StopText(stops)
    content, reasoning, calls = "", "", []

    def add(parts):
        nonlocal content, reasoning
        content, reasoning = content + parts.content, reasoning + parts.reasoning
        for part in parts.calls:
            if part.name is not None:
                assert part.index == len(calls)
                calls.append([part.name, ""])
            calls[part.index][1] += part.arguments

    for token in tokens:
        if token in (SPECIAL["<|return|>"], SPECIAL["<|call|>"]):
            add(answer.push(token, stop.rest() + step(token)))  # the engine ends here
            break
        text, met = stop.push(step(token))
        add(answer.push(token, text))
        if met is not None:
            return content, reasoning, calls
    else:
        add(answer.push(None, stop.rest()))
    add(answer.finish())
    return content, reasoning, calls


PLAIN = {"json", "code", "<|constrain|>json"}


def expected(messages):
    """What the messages that openai-harmony finds mean for a client.

    The package files the type of content as the recipient where there is none.
    """
    messages = [[c, None if r in PLAIN else r, text] for c, r, text in messages]
    tools = [(m, m[1] is not None) for m in messages]
    content = "".join(m[2] for m, tool in tools if not tool and m[0] in (None, "final"))
    reasoning = "".join(m[2] for m, tool in tools if not tool and m[0] not in (None, "final"))
    calls = [[m[1].removeprefix("functions."), m[2]] for m, tool in tools if tool]
    return content, reasoning, calls


@pytest.mark.parametrize("case", REFERENCE, ids=range(len(REFERENCE)))
def test_answers_are_read_as_openai_harmony_reads_them(case):
    pieces = [bytes.fromhex(piece) for piece in case["pieces"]]
    assert read(pieces) == expected(case["messages"])
    # and in the smallest pieces
    split: list[bytes] = []
    for piece in pieces:
        mark = piece.decode("utf-8", "replace") in SPECIAL
        split += [piece] if mark else [piece[i : i + 1] for i in range(len(piece))]
    assert read(split) == expected(case["messages"])


HEADERS = st.sampled_from(
    [
        ("<|channel|>final<|message|>", "content"),
        ("<|channel|>final <|constrain|>json<|message|>", "content"),
        ("<|channel|>final json<|message|>", "content"),
        ("<|message|>", "content"),
        ("<|channel|>analysis<|message|>", "reasoning"),
        ("<|channel|>commentary<|message|>", "reasoning"),
        ("<|channel|>commentary to=functions.f <|constrain|>json<|message|>", "call"),
        (" to=functions.f<|channel|>commentary json<|message|>", "call"),
    ]
)


def pieces_of(text, cuts):
    """The text in pieces, marks whole, the rest cut at any bytes."""
    found = []
    while text:
        mark = next((m for m in ALL_MARKS if text.startswith(m)), None)
        if mark:
            found.append(mark.encode())
            text = text[len(mark) :]
            continue
        end = min((at for m in ALL_MARKS if (at := text.find(m)) > 0), default=len(text))
        raw, text = text[:end].encode(), text[end:]
        while raw:
            size = cuts(len(raw))
            found.append(raw[:size])
            raw = raw[size:]
    return found


@given(
    turns=st.lists(st.tuples(HEADERS, st.text(st.characters(exclude_characters="<|"))), min_size=1),
    stop=st.text(min_size=1, max_size=3),
    data=st.data(),
)
def test_any_split_beside_any_stop_string(turns, stop, data):
    text = "<|end|><|start|>assistant".join(header + body for (header, _), body in turns)

    def cuts(size):
        return data.draw(st.integers(1, min(size, 4)))

    content, reasoning, calls = read(pieces_of(text, cuts), stops=(stop,))
    whole = "".join(body for (_, kind), body in turns if kind == "content")
    at = whole.find(stop)
    assert content == (whole if at < 0 else whole[:at])
    if at < 0:
        assert reasoning == "".join(body for (_, kind), body in turns if kind == "reasoning")
        assert calls == [["f", body] for (_, kind), body in turns if kind == "call"]


@pytest.mark.parametrize("text", ["Hello world.", "final answer: 42", "final", "assistant", "a<b"])
@pytest.mark.parametrize("end", [[], [b"<|return|>"], [b"<|end|>"]])
def test_an_answer_without_any_header_is_said(text, end):
    pieces = [char.encode() for char in text]
    shown = text.removeprefix("assistant")
    assert read([*pieces, *end]) == (shown, "", [])
    assert read([*pieces, *end], [b"assistant"]) == (text, "", [])


def test_an_answer_goes_on_where_the_prompt_ends():
    prompt = [b"<|start|>", b"user", b"<|message|>", b"hi", b"<|end|>", b"<|start|>", b"assistant"]
    prompt += [b"<|channel|>", b"analysis", b"<|message|>"]
    words = Vocabulary()
    opening = opening_of(words.encode(prompt), SPECIAL)
    assert opening == words.encode(prompt[-4:])
    assert read([b"so", b"<|end|>"], prompt[-4:]) == ("", "so", [])
    assert opening_of(words.encode([*prompt, b"<|end|>"]), SPECIAL) == []
