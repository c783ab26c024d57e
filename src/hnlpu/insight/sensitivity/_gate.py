"""The perplexity that a build loses on a text, as a judge of `hnlpu.silicon.hardwire.build`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hnlpu.errors import InvalidInput, TokenizerMissing
from hnlpu.model.checkpoint import locate
from hnlpu.model.families import Family
from hnlpu.run.emulate import LanguageModel, float_model, hardwired
from hnlpu.silicon.hardwire import Build


@dataclass(frozen=True)
class Loss:
    """Perplexity of one text in float and hardwired; `tokens` were scored."""

    float_perplexity: float
    perplexity: float
    tokens: int

    @property
    def share(self) -> float:
        """How much higher the hardwired perplexity is, as a share of the float one."""
        return self.perplexity / self.float_perplexity - 1


class PerplexityGate:
    """Scores `text` with the float model now, and with a build when it is called.

    `limit` is the largest `Loss.share` that passes; None lets all pass.  `found` is the last build's.
    Raises InvalidInput, TokenizerMissing, NotFinite and what `read_model` does.
    """

    def __init__(
        self, checkpoint: str | Path, text: str, limit: float | None = None, *,
        revision: str | None = None, family: Family[Any] | None = None,
    ):  # fmt: skip
        if limit is not None and not (math.isfinite(limit) and limit >= 0):
            raise InvalidInput(f"max perplexity loss {limit:g}: give a share of at least 0")
        self.limit = limit
        self.text = text
        self.found: Loss | None = None
        self._float = _perplexity(readable(checkpoint, revision, family), text)[0]

    def __call__(self, build: Build) -> str | None:
        """Why `build` loses too much, or None."""
        perplexity, tokens = _perplexity(hardwired(build), self.text)
        self.found = Loss(self._float, perplexity, tokens)
        if self.limit is None or self.found.share <= self.limit:
            return None
        return (
            f"the perplexity of the text rises from {self._float:.5g} to {perplexity:.5g} "
            f"(by {100 * self.found.share:.3g} %), more than `max_perplexity_loss` {self.limit:g}"
        )


def readable(
    checkpoint: str | Path, revision: str | None = None, family: Family[Any] | None = None, *,
    ids: bool = False,
) -> LanguageModel:  # fmt: skip
    """The float model of a checkpoint that reads text, or token `ids`; raises TokenizerMissing."""
    model = float_model(locate(checkpoint, revision), family)
    if not ids and not model.tokenizer.usable:
        raise TokenizerMissing(
            f"{model.directory}: has no tokenizer, so no text can be scored; put its "
            "tokenizer.json beside it"
        )
    return model


def _perplexity(model: LanguageModel, text: str) -> tuple[float, int]:
    score = model.score(text)
    return score.perplexity, len(score.logprobs)
