"""JSON schemas, regular expressions, choices and grammars as constraints of the engine, by llguidance."""

from __future__ import annotations

import json
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher, LLTokenizer
from llguidance.gbnf_to_lark import any_to_lark
from llguidance.numpy import fill_next_token_bitmask

from hnlpu.errors import InvalidInput
from hnlpu.run.chat import Reader
from hnlpu.run.emulate import LanguageModel
from hnlpu.serve._grammar import ANSWER, quoted
from hnlpu.serve._schema import StructuredOutputs
from hnlpu.serve._tags import grammar_of, tags_of

SCHEMA_LIMIT = 2**16  # characters
WHITESPACE = " ?"
"""Between two parts of JSON: none or a space, as writers put it on one line.  A model that may indent may spend all its
tokens on that."""
ANY_OBJECT: dict[str, Any] = {"type": "object"}


class Constraints:
    """Makes constraints for one model; its vocabulary is prepared when first needed.

    `ends` are the tokens that may end a constrained answer.
    """

    def __init__(self, model: LanguageModel, ends: tuple[int, ...]):
        self._model = model
        self._ends = ends
        self._lock = threading.Lock()
        self._tokenizer: LLTokenizer | None = None

    def answer(self, wanted: StructuredOutputs, frame: str | None = None) -> Matched:
        """The texts that `wanted` describes, within a frame around `@answer`.

        Raises InvalidInput, TokenizerMissing.
        """
        what, grammar = self._grammar(wanted)
        if frame is None:
            return self._made(grammar, what)
        return self._made(framed(frame, {ANSWER: grammar}), what)

    def schema(self, schema: dict[str, Any]) -> Matched:
        """The texts that are JSON under `schema`.  Raises InvalidInput, TokenizerMissing."""
        return self._made(schema_grammar(schema), "JSON schema")

    def calls(self, frame: str, schemas: dict[str, dict[str, Any]]) -> Matched:
        """Tool calls within a frame around their arguments, by the names in it."""
        grammars = {name: schema_grammar(schema) for name, schema in schemas.items()}
        return self._made(framed(frame, grammars), "tools")

    def _made(self, grammar: str, what: str) -> Matched:
        matcher = LLMatcher(self._vocabulary(), grammar, log_level=0)
        if matcher.is_error():
            raise InvalidInput(f"{what}: {matcher.get_error()[:300]}")
        return Matched(matcher, self._model.vocab_size)

    def _grammar(self, wanted: StructuredOutputs) -> tuple[str, str]:
        """What is wanted, in a word, and its grammar."""
        if wanted.structural_tag is None:
            return _grammar(wanted)
        added = self._model.tokenizer.added_tokens()
        return "structural_tag", _lark(grammar_of(tags_of(wanted.structural_tag), added))

    def _vocabulary(self) -> LLTokenizer:
        with self._lock:
            if self._tokenizer is None:
                self._model.tokenizer.encode("")  # raises TokenizerMissing
                if not self._ends:
                    raise InvalidInput(
                        "the model has no end-of-text token, which a constrained answer ends with"
                    )
                path = self._model.directory / "tokenizer.json"
                self._tokenizer = LLTokenizer(
                    path.read_text("utf-8"),
                    n_vocab=self._model.vocab_size,
                    eos_token=list(self._ends),
                )
        return self._tokenizer


def _grammar(wanted: StructuredOutputs) -> tuple[str, str]:
    """What is wanted, in a word, and its grammar."""
    if wanted.regex is not None:
        return "regex", str(LLMatcher.grammar_from_regex(wanted.regex))
    if wanted.choice is not None:
        choices = " | ".join(quoted(choice) for choice in wanted.choice)
        return "choice", _lark(f"start: {choices}")
    if wanted.grammar is not None:
        try:
            return "grammar", _lark(any_to_lark(wanted.grammar))
        except Exception as error:  # llguidance raises this very class where there is no root
            raise InvalidInput(f"grammar: cannot be read ({str(error)[:200]})") from None
    return "JSON schema", schema_grammar(ANY_OBJECT if wanted.json_ is None else wanted.json_)


def _lark(grammar: str) -> str:
    return json.dumps({"grammars": [{"lark_grammar": grammar}]})


def schema_grammar(schema: dict[str, Any]) -> str:
    """The grammar of a JSON schema.  Raises InvalidInput."""
    try:
        text = json.dumps(schema)
    except (ValueError, RecursionError):
        raise InvalidInput("the JSON schema is nested too deeply") from None
    if len(text) > SCHEMA_LIMIT:
        raise InvalidInput(f"the JSON schema has more than {SCHEMA_LIMIT} characters")
    try:
        return str(
            LLMatcher.grammar_from_json_schema(text, overrides={"whitespace_pattern": WHITESPACE})
        )
    except ValueError as error:
        raise InvalidInput(f"JSON schema: {error}") from None


def framed(frame: str, inner: dict[str, str]) -> str:
    """A grammar in which `frame` calls others by name."""
    grammars: list[dict[str, Any]] = [{"name": "frame", "lark_grammar": frame}]
    for name, grammar in inner.items():
        (only,) = json.loads(grammar)["grammars"]
        grammars.append(only | {"name": name})
    return json.dumps({"grammars": grammars})


class Matched:
    """A `Constraint`: where in the language an answer is."""

    def __init__(self, matcher: LLMatcher, vocab_size: int):
        self._matcher = matcher
        self._mask = np.zeros((1, -(-vocab_size // 32)), np.int32)
        self._size = vocab_size

    def copy(self) -> Matched:
        """The same place for another answer."""
        return Matched(self._matcher.deep_copy(), self._size)

    def allowed(self) -> npt.NDArray[np.bool_]:
        """Which tokens may come next: [vocabulary].  Raises InvalidInput where none can."""
        fill_next_token_bitmask(self._matcher, self._mask)
        bits = np.unpackbits(self._mask[0].view(np.uint8), bitorder="little")
        allowed: npt.NDArray[np.bool_] = bits[: self._size].astype(np.bool_)
        if self._matcher.is_error() or not allowed.any():
            raise InvalidInput(
                "the answer cannot go on within its schema or regex: "
                f"{self._matcher.get_error()[:300] or 'no token of the vocabulary fits'}"
            )
        return allowed

    def accept(self, token: int) -> None:
        """Take in the token that was chosen."""
        self._matcher.consume_token(token)

    def finished(self) -> bool:
        """Whether nothing may follow."""
        stopped: bool = self._matcher.is_stopped()
        return stopped


class CalledFreely:
    """A `Constraint`: anything may be said; what calls one of some tools keeps to its schema."""

    def __init__(self, reader: Reader, tools: dict[str, Matched], vocab_size: int):
        self._reader = reader
        self._tools = tools
        self._size = vocab_size
        self._inner: Matched | None = None
        self._message = 0

    def copy(self) -> CalledFreely:
        """The same place for another answer, before its first token."""
        tools = {name: tool.copy() for name, tool in self._tools.items()}
        return CalledFreely(self._reader.copy(), tools, self._size)

    def allowed(self) -> npt.NDArray[np.bool_]:
        """Which tokens may come next: [vocabulary].  Raises InvalidInput where none can."""
        if self._inner is None or self._inner.finished():
            return np.ones(self._size, np.bool_)
        return self._inner.allowed()

    def accept(self, token: int) -> None:
        """Take in the token that was chosen."""
        if self._inner is not None:
            self._inner.accept(token)
        self._reader.push(token)
        reader = self._reader
        if reader.in_header:
            self._inner = None
        elif self._message != reader.messages:
            self._message = reader.messages
            tool = self._tools.get(reader.header.tool or "")
            self._inner = tool.copy() if tool is not None else None

    def finished(self) -> bool:
        """Whether nothing may follow: the model may always go on, and ends by itself."""
        return False
