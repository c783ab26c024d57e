"""Requests of every kind whose answers are known (needles), and others among which they are asked (company)."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hnlpu.errors import HnlpuError
from hnlpu.run.engine import gives_hidden
from hnlpu.serve._context import Context

COMPLETIONS, CHATS, EMBEDDINGS = "/v1/completions", "/v1/chat/completions", "/v1/embeddings"
SHARED = 40
"""Tokens that half of all prompts begin with, so that their states are found in memory."""
NEW = 40
SCHEMA = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Rome"]}, "days": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["city", "days"],
    "additionalProperties": False,
}  # fmt: skip
PLACE = {
    "type": "object", "properties": {"to": {"enum": ["Oslo", "Rome"]}}, "required": ["to"],
    "additionalProperties": False,
}  # fmt: skip
TOOL = {"type": "function", "function": {"name": "go", "parameters": PLACE}}
"""Short, so that a model of 256 positions can be asked too."""
NEW_TOKENS_OF_TEXT = 60


@dataclass(frozen=True)
class Needle:
    """A request: what kind it is, where it goes, and what it says."""

    kind: str
    path: str
    body: dict[str, Any]

    @property
    def encoded(self) -> bytes:
        """The request's body."""
        return json.dumps(self.body).encode()


class Maker:
    """Makes requests for one served model; `not_covered` says what it cannot be asked, and why."""

    def __init__(self, context: Context, adapters: Sequence[str], seed: int):
        self._random = random.Random(seed)
        self._context = context
        self._adapters = list(adapters)
        self._vocabulary = context.model.vocab_size
        longest = context.service.engine.context
        self._shared_length = min(SHARED, longest // 4)
        self._new = max(2, min(NEW, longest // 4))
        self._shared = self._tokens(self._shared_length)
        self.not_covered: dict[str, str] = {}
        self._kinds = self._possible()

    def needles(self, of_each: int) -> list[Needle]:
        """`of_each` requests of every kind."""
        return [self._made(kind) for kind in self._kinds for _ in range(of_each)]

    def company(self) -> Needle:
        """Some request."""
        return replace(self._made(self._random.choice(self._kinds)), kind="company")

    def _possible(self) -> list[str]:
        kinds = ["greedy", "sampled", "penalties", "choices", "scored", "streamed", "looked up"]
        if gives_hidden(self._context.model):
            kinds.append("embedding")
        else:
            self.not_covered["embedding"] = "the network has no hidden states that make one"
        if self._adapters:
            kinds.append("adapter")
        else:
            self.not_covered["adapter"] = "the network has no matrix that adapters may change"
        if self._context.model.tokenizer.usable:
            kinds += ["schema", "regex", "chat"]
            try:
                self._context.dialect.check_tools()
                kinds.append("tools")
            except HnlpuError as error:
                self.not_covered["tools"] = str(error)
        else:
            self.not_covered["constraints, chats, tools"] = "the build has no tokenizer"
        return kinds

    def _tokens(self, count: int) -> list[int]:
        return [self._random.randrange(self._vocabulary) for _ in range(count)]

    def _prompt(self) -> list[int]:
        own = self._tokens(self._random.randint(1, max(1, self._shared_length // 2)))
        return [*self._shared, *own] if self._random.random() < 0.5 else own

    def _made(self, kind: str) -> Needle:
        dice = self._random
        body: dict[str, Any] = {
            "prompt": self._prompt(), "max_tokens": dice.randint(2, self._new), "logprobs": 1,
            "temperature": 1.0, "seed": dice.randrange(2**31), "ignore_eos": dice.random() < 0.5,
        }  # fmt: skip
        match kind:
            case "greedy":
                body["temperature"] = 0
            case "sampled":
                body |= {"top_k": dice.randint(2, 50), "top_p": 0.9, "min_p": 0.01}
            case "penalties":
                body |= {
                    "frequency_penalty": 0.5, "repetition_penalty": 1.2, "logprobs": 3,
                    "logit_bias": {str(token): 2 for token in self._tokens(3)},
                }  # fmt: skip
            case "choices":
                body["n"] = 3
            case "scored":
                body |= {"max_tokens": 0, "echo": True, "logprobs": 2}
            case "streamed":
                body["stream"] = True
            case "looked up":
                part = self._tokens(5)
                body |= {"prompt": part * 4, "speculation": True, "ignore_eos": True}
                body |= {
                    "logit_bias": {str(token): 6 for token in part},
                    "stream": dice.random() < 0.5,
                }
            case "adapter":
                body["model"] = dice.choice(self._adapters)
            case "schema":
                body |= {"structured_outputs": {"json": SCHEMA}, "max_tokens": NEW_TOKENS_OF_TEXT}
            case "regex":
                body |= {"structured_outputs": {"regex": "[a-z]{3} [0-9]{2}(, [a-z]+)*"}}
            case "chat" | "tools":
                return self._chat(kind, body)
            case "embedding":
                pooling = dice.choice(["mean", "last"])
                return Needle(kind, EMBEDDINGS, {"input": body["prompt"], "pooling": pooling})
        return Needle(kind, COMPLETIONS, body)

    def _chat(self, kind: str, body: dict[str, Any]) -> Needle:
        said = "".join(self._random.choice("abcdef ") for _ in range(self._random.randint(1, 20)))
        body |= {"messages": [{"role": "user", "content": f"a: {said}"}], "logprobs": True}
        del body["prompt"]
        if kind == "tools":
            body |= {"tools": [TOOL], "tool_choice": "required", "max_tokens": NEW_TOKENS_OF_TEXT}
            body["stream"] = self._random.random() < 0.5
        return Needle(kind, CHATS, body)
