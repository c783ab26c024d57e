"""Sequences scored side by side: what evaluation harnesses ask of a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from hnlpu.errors import InvalidInput
from hnlpu.run.engine._engine import Engine
from hnlpu.run.engine._request import Request


class Likelihood(NamedTuple):
    """Natural log-probability of a continuation, and whether it is what greedy decoding gives."""

    logprob: float
    greedy: bool


def likelihoods(
    engine: Engine, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]
) -> list[Likelihood]:
    """The likelihood of each continuation given its context, both token ids.

    A context that is too long loses its beginning.  Raises InvalidInput for an
    empty context or continuation, or a continuation that leaves no room.
    """
    requests = []
    for context, continuation in pairs:
        if not context or not continuation:
            raise InvalidInput("a context and its continuation need at least one token each")
        if len(continuation) >= engine.context:
            raise InvalidInput(
                f"a continuation of {len(continuation)} tokens exceeds the context of "
                f"{engine.context}"
            )
        tokens = (*context, *continuation)[-engine.context :]
        requests.append(Request(tokens, max_tokens=0, score_prompt=True, top_logprobs=1))
    results = []
    for (_, continuation), result in zip(pairs, engine.run(requests), strict=True):
        if result.error is not None:
            raise result.error
        scores = result.prompt_scores[-len(continuation) :]
        greedy = all(score.top[0][0] == score.token for score in scores)
        results.append(Likelihood(math.fsum(score.logprob for score in scores), greedy))
    return results
