"""JSON schemas and regular expressions as constraints of the engine, by llguidance."""

from __future__ import annotations

import json
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher, LLTokenizer
from llguidance.numpy import fill_next_token_bitmask

from hnlpu.errors import InvalidInput
from hnlpu.run.emulate import LanguageModel

SCHEMA_LIMIT = 2**16  # characters


class Constraints:
    """Makes constraints for one model; its vocabulary is prepared when first needed."""

    def __init__(self, model: LanguageModel):
        self._model = model
        self._lock = threading.Lock()
        self._tokenizer: LLTokenizer | None = None

    def schema(self, schema: dict[str, Any]) -> Matched:
        """The texts that are JSON under `schema`.  Raises InvalidInput, TokenizerMissing."""
        try:
            text = json.dumps(schema)
        except (ValueError, RecursionError):
            raise InvalidInput("the JSON schema is nested too deeply") from None
        if len(text) > SCHEMA_LIMIT:
            raise InvalidInput(f"the JSON schema has more than {SCHEMA_LIMIT} characters")
        try:
            # whitespace only where JSON's own writers put it: else a model may go on in it for ever
            grammar = LLMatcher.grammar_from_json_schema(
                text, overrides={"whitespace_flexible": False}
            )
        except ValueError as error:
            raise InvalidInput(f"JSON schema: {error}") from None
        return self._made(grammar, "JSON schema")

    def regex(self, pattern: str) -> Matched:
        """The texts that match `pattern` as a whole.  Raises InvalidInput, TokenizerMissing."""
        return self._made(LLMatcher.grammar_from_regex(pattern), "regex")

    def _made(self, grammar: str, what: str) -> Matched:
        matcher = LLMatcher(self._vocabulary(), grammar, log_level=0)
        if matcher.is_error():
            raise InvalidInput(f"{what}: {matcher.get_error()[:300]}")
        return Matched(matcher, self._model.vocab_size)

    def _vocabulary(self) -> LLTokenizer:
        with self._lock:
            if self._tokenizer is None:
                self._model.tokenizer.encode("")  # raises TokenizerMissing
                ends = self._model.transformer.architecture.eos_token_ids
                if not ends:
                    raise InvalidInput(
                        "the model has no end-of-text token, which a constrained answer ends with"
                    )
                path = self._model.directory / "tokenizer.json"
                self._tokenizer = LLTokenizer(
                    path.read_text("utf-8"), n_vocab=self._model.vocab_size, eos_token=list(ends)
                )
        return self._tokenizer


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
