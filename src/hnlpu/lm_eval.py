"""A build as a model of lm-eval (EleutherAI's evaluation harness), without a server.

    python -m hnlpu.lm_eval run --model hnlpu --model_args build=DIR --tasks ...

lm-eval finds models in a registry that its own modules fill; this module adds
`hnlpu` to it and then runs lm-eval's command line.  The entry point
`lm_eval.models` names the class for harnesses that look for it there.
"""

from __future__ import annotations

from typing import Any

import lm_eval.models  # noqa: F401  fills the registry, which a first entry would keep it from
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from hnlpu.run.emulate import open_language_model
from hnlpu.run.engine import Engine, Limits, Request, Sampling, likelihoods

LONGEST_ANSWER = 256  # tokens, where a task does not say


@register_model("hnlpu")
class HardwiredLM(TemplateLM):  # type: ignore[misc]  # lm-eval has no types
    """A hardwired model; `build` is its directory, `max_length` the longest context.

    `runs_on` is where: cpu, cuda, cuda:N or interpreter.  lm-eval's own `device` says cuda:0
    wherever nobody asks for another, and is not looked at.
    """

    backend = "causal"

    def __init__(
        self,
        build: str,
        max_length: int | str | None = None,
        batch_size: Any = None,
        max_batch_size: Any = None,
        device: Any = None,
        runs_on: str = "cpu",
    ):
        super().__init__()
        self.model = open_language_model(build)
        limits = Limits(context=None if max_length is None else int(max_length))
        self.engine = Engine(self.model, limits, device=runs_on)

    @property
    def eot_token_id(self) -> int:
        """The token that stands before a text without a context."""
        ends = self.model.transformer.architecture.eos_token_ids
        return ends[0] if ends else 0

    @property
    def max_length(self) -> int:
        """Longest context in tokens."""
        return self.engine.context

    @property
    def tokenizer_name(self) -> str:
        """Names the tokenizer in lm-eval's cache."""
        return str(self.model.directory)

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **_: Any
    ) -> list[int]:
        """Token ids of a text; no special tokens are added."""
        return self.model.tokenizer.encode(string)

    def _loglikelihood_tokens(self, requests: Any, **_: Any) -> list[tuple[float, bool]]:
        pairs = [(context, continuation) for _, context, continuation in requests]
        return [(found.logprob, found.greedy) for found in likelihoods(self.engine, pairs)]

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
        """Log-probabilities of whole texts, in windows that give each token a context."""
        pairs: list[tuple[list[int], list[int]]] = []
        owners: list[int] = []
        for i, request in enumerate(requests):
            windows = get_rolling_token_windows(
                token_list=self.tok_encode(request.args[0]), prefix_token=self.eot_token_id,
                max_seq_len=self.max_length - 1, context_len=1,
            )  # fmt: skip
            for context, continuation in map(make_disjoint_window, windows):
                pairs.append((context, continuation))
                owners.append(i)
        totals = [0.0] * len(requests)
        for i, found in zip(owners, likelihoods(self.engine, pairs), strict=True):
            totals[i] += found.logprob
        return totals

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        """Texts that continue contexts up to a stop string."""
        made = []
        for request in requests:
            context, options = request.args
            until = options.get("until") or []
            limit = int(options.get("max_gen_toks", LONGEST_ANSWER))
            limit = min(limit, self.max_length - 1)
            tokens = tuple(self.tok_encode(context) or [self.eot_token_id])
            made.append(
                Request(
                    tokens[limit - self.max_length :],
                    max_tokens=limit,
                    sampling=Sampling(temperature=float(options.get("temperature", 0.0))),
                    stop=(until,) if isinstance(until, str) else tuple(until),
                )
            )
        return [result.text for result in self.engine.run(made)]


def main() -> None:
    """lm-eval's command line, which knows `hnlpu` now."""
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()


if __name__ == "__main__":
    main()
