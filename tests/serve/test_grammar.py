"""Frames around tool calls: what the grammar lets through, the parser reads, and nothing else."""

from __future__ import annotations

import json

import pytest
from llguidance import LLMatcher, LLTokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from hnlpu.run.chat import TextAnswer
from hnlpu.run.chat._formats import LLAMA
from hnlpu.serve._constraint import framed, schema_grammar
from hnlpu.serve._grammar import Marks, args_name, text_calls
from hnlpu.serve._tools import Calls, Function

SCHEMA = {
    "type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"],
    "additionalProperties": False,
}  # fmt: skip
CALL = '{"name": "f", "parameters": {"a":1}}'
WRONG = '{"name": "f", "parameters": {"b": 1}}'
MARKS = ["<|end|>", "<|python_tag|>", "<think>", "</think>"]


LISTED = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}}


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        *((json.dumps({"a": [1, 2]}, **how), True) for how in ({}, {"separators": (",", ":")})),
        *((json.dumps({"a": [1, 2]}, **how), False) for how in ({"indent": 2}, {"indent": "\t"})),
        ('{"a":  [1]}', False), ('{"a":\n\n[1]}', False), (' {"a": [1]}', False), ('{"a": [1]} ', False),
    ],
)  # fmt: skip
def test_white_space_in_json_is_what_its_writers_put_there(text, fits):
    """On one line; none behind the end, where an answer is to stop."""
    vocabulary = LLTokenizer("byte")
    matcher = LLMatcher(vocabulary, schema_grammar(LISTED), log_level=0)
    tokens = vocabulary.tokenize_str(text)
    assert (matcher.validate_tokens(tokens) == len(tokens)) == fits
    if fits:
        assert matcher.try_consume_tokens(tokens) == len(tokens)
        assert matcher.is_stopped()


@pytest.fixture(scope="module")
def tokenizer():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({char: i for i, char in enumerate(alphabet)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(MARKS)
    return made


def fits(tokenizer, text, *, must, thinks, thinking):
    """Whether an answer may be `text`, of a model that calls as Llama 3 does."""
    added = {name: tokenizer.token_to_id(name) for name in MARKS}
    vocabulary = LLTokenizer(tokenizer.to_str(), eos_token=[added["<|end|>"]])
    calls = Calls((Function(name="f", parameters=SCHEMA),), must=must)
    frame = text_calls(Marks(added), LLAMA, calls, thinks, thinking)
    grammar = framed(frame, {args_name(0): schema_grammar(SCHEMA)})
    matcher = LLMatcher(vocabulary, grammar, log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    tokens = tokenizer.encode(text, add_special_tokens=False).ids
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


@pytest.mark.parametrize("must", [False, True])
@pytest.mark.parametrize(
    ("thinks", "thinking", "before"),
    [(False, False, ""), (True, False, ""), (True, False, "<think>x</think>"), (True, True, "x</think>")],
)  # fmt: skip
@pytest.mark.parametrize(
    ("said", "is_call", "free"),
    [(CALL, True, True), ("<|python_tag|>" + CALL, True, True), ("hello", False, True),
     ("a {", False, True), (WRONG, True, False), (" " + WRONG, True, False), ("\x1c" + WRONG, True, False)],
)  # fmt: skip
def test_what_llama_may_say_is_what_is_read(
    tokenizer, must, thinks, thinking, before, said, is_call, free
):
    text = before + said
    found = fits(tokenizer, text, must=must, thinks=thinks, thinking=thinking)
    assert found == (free and (is_call or not must))
    answer = TextAnswer(LLAMA, thinks, thinking)
    parts = [*(answer.push(None, char) for char in text), answer.finish()]
    calls = [call for part in parts for call in part.calls]
    assert "".join(part.reasoning for part in parts) == ("x" if before else "")
    assert "".join(part.content for part in parts) == ("" if is_call else said)
    assert [json.loads(call.arguments) for call in calls] == (
        [{"a": 1} if free else {"b": 1}] if is_call else []
    )
