"""`LanguageModel.generate` and `.score` with an adapter beside the wires, or on a device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from hnlpu.errors import InvalidInput
from hnlpu.run.emulate import LanguageModel, Score, Token, score_windows
from hnlpu.run.engine._adapter import read_adapter
from hnlpu.run.engine._device import CPU
from hnlpu.run.engine._engine import Engine, Limits
from hnlpu.run.engine._open import network_of
from hnlpu.run.engine._request import Request, Sampling, TokenScore

NAME = "adapter"


class Adapted:
    """A hardwired model with one adapter, or on a device: cpu, cuda, cuda:N or interpreter.

    Raises DamagedAdapter, the errors of `Engine`, and InvalidInput for a model
    in float32.
    """

    def __init__(self, model: LanguageModel, adapter: str | Path | None, device: str = CPU):
        self.model = model
        self._adapter = None if adapter is None else NAME
        found = {} if adapter is None else {NAME: read_adapter(adapter, network_of(model))}
        self._engine = Engine(model, Limits(sequences=8), found, device)

    def generate(
        self,
        prompt: str | Sequence[int],
        *,
        max_tokens: int = 128,
        temperature: float = 0.0,
        seed: int = 0,
        ignore_end: bool = False,
        top_p: float = 1.0,
        top_k: int = 0,
        min_p: float = 0.0,
    ) -> Iterator[Token]:
        """New tokens as they come, as `LanguageModel.generate` has them.

        Raises InvalidInput, also where they exceed the context; TokenizerMissing, NotFinite.
        """
        request = Request(
            tuple(self.model.encode(prompt).tolist()),
            max_tokens=max_tokens,
            sampling=Sampling(temperature, top_p, top_k, seed, min_p=min_p),
            ignore_end=ignore_end,
            adapter=self._adapter,
        )
        self._engine.submit(request)
        return self._tokens()

    def _tokens(self) -> Iterator[Token]:
        while self._engine.busy:
            for update in self._engine.step():
                if update.error is not None:
                    raise update.error
                if update.token is not None and update.reason != "stop":
                    yield Token(update.token, update.text)

    def score(
        self, text: str | Sequence[int], *, context: int | None = None, top: int = 0
    ) -> Score:
        """Log-probabilities as `LanguageModel.score` has them, in windows of up to `context`.

        Raises InvalidInput, TokenizerMissing, NotFinite.
        """
        ids = self.model.encode(text).tolist()
        if len(ids) < 2:
            raise InvalidInput(f"scoring needs at least 2 tokens, got {len(ids)}")
        limit = self._engine.context if context is None else context
        if not 2 <= limit <= self._engine.context:
            raise InvalidInput(f"context {limit}: must be from 2 to {self._engine.context} tokens")
        windows = list(score_windows(len(ids), limit))
        results = self._engine.run(
            Request(
                tuple(ids[start:end]), max_tokens=0, score_prompt=True, top_logprobs=top,
                adapter=self._adapter,
            )
            for start, _, end in windows
        )  # fmt: skip
        scores: list[TokenScore] = []
        for (_, first, end), result in zip(windows, results, strict=True):
            if result.error is not None:
                raise result.error
            scores += result.prompt_scores[first - end :]
        size = None
        if isinstance(text, str):
            unscored = self.model.tokenizer.decode(ids[:1])
            size = max(1, len(text.encode()) - len(unscored.encode()))
        best = [list(score.top) for score in scores] if top else None
        return Score(ids, [score.logprob for score in scores], best, size)
