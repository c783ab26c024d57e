"""A build as a model of lm-eval (EleutherAI's evaluation harness), without a server.

    python -m hnlpu.lm_eval run --model hnlpu --model_args build=DIR --tasks ...

lm-eval finds models in a registry that its own modules fill; this module adds
`hnlpu` to it and then runs lm-eval's command line.  The entry point
`lm_eval.models` names the class for harnesses that look for it there.
"""

from __future__ import annotations

import logging
from typing import Any

import lm_eval.models  # noqa: F401  fills the registry, which a first entry would keep it from
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from hnlpu.run.chat import ChatTemplate
from hnlpu.run.emulate import open_language_model, token_name, tokenizer_settings
from hnlpu.run.engine import Engine, Limits, Request, Sampling, likelihoods

LONGEST_ANSWER = 256  # tokens, where a task does not say
_log = logging.getLogger("lm_eval.hnlpu")  # lm-eval shows what its own loggers are told


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
        self._template = ChatTemplate(self.model.directory)
        self._told: set[str] = set()
        self._begin = token_name(tokenizer_settings(self.model.directory).get("bos_token"))

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        ends = self.model.end_tokens
        return ends[0] if ends else 0

    @property
    def prefix_token_id(self) -> int:
        """The token that stands before a text without a context: <bos>, or an end where there is none."""
        begin = self.model.tokenizer.token_id(self._begin) if self._begin else None
        return self.eot_token_id if begin is None else begin

    @property
    def max_length(self) -> int:
        """Longest context in tokens."""
        return self.engine.context

    @property
    def tokenizer_name(self) -> str:
        """Names the tokenizer in lm-eval's cache."""
        return str(self.model.directory)

    def chat_template(self, chat_template: bool | str = False) -> str:
        """The source of the chat template, for the record; `chat_template` may name one."""
        if not chat_template or self._template.is_plain:
            return ""
        name = chat_template if isinstance(chat_template, str) else None
        return self._template.sources.get(name or "") or self._template.source or ""

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The prompt of a conversation, by the model's template; plainly where it has none."""
        return self._template.render(
            chat_history,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **_: Any
    ) -> list[int]:
        """Token ids of a text, as lm-eval's own model of transformers has them.

        Where nobody says, it begins as the model's tokenizer begins a text, unless <bos> is there already,
        as from a chat template.
        """
        whole = add_special_tokens
        if whole is None:
            whole = not (self._begin and string.startswith(self._begin))
        return self.model.tokenizer.encode(string, whole=whole)

    def _loglikelihood_tokens(self, requests: Any, **_: Any) -> list[tuple[float, bool]]:
        pairs = [(context, continuation) for _, context, continuation in requests]
        return [(found.logprob, found.greedy) for found in likelihoods(self.engine, pairs)]

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
        """Log-probabilities of whole texts, in windows that give each token a context."""
        pairs: list[tuple[list[int], list[int]]] = []
        owners: list[int] = []
        for i, request in enumerate(requests):
            windows = get_rolling_token_windows(
                token_list=self.tok_encode(request.args[0], add_special_tokens=False),
                prefix_token=self.prefix_token_id, max_seq_len=self.max_length - 1, context_len=1,
            )  # fmt: skip
            for context, continuation in map(make_disjoint_window, windows):
                pairs.append((context, continuation))
                owners.append(i)
        totals = [0.0] * len(requests)
        for i, found in zip(owners, likelihoods(self.engine, pairs), strict=True):
            totals[i] += found.logprob
        return totals

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        """Texts that continue contexts up to a stop string.

        A context that fits is kept whole, and the answer gets the room that it leaves; of a longer
        one the beginning is cut.  Both are told once.
        """
        made = [self._request(*request.args) for request in requests]
        results = self.engine.run(made)
        for result in results:
            if result.error is not None:
                raise result.error
        return [result.text for result in results]

    def _request(self, context: str, options: dict[str, Any]) -> Request:
        until = options.get("until") or []
        stops = [until] if isinstance(until, str) else until
        tokens = self.tok_encode(context) or [self.prefix_token_id]
        tokens, limit = self._fitted(tokens, _limit(options))
        return Request(
            tuple(tokens),
            max_tokens=limit,
            sampling=_sampling(options),
            stop=tuple(stop for stop in stops if stop),  # lm-eval means none by an empty one
        )

    def _fitted(self, tokens: list[int], limit: int) -> tuple[list[int], int]:
        """A context and the number of new tokens that fit together."""
        room = self.max_length - len(tokens)
        if limit <= room:
            return tokens, limit
        if room >= 1:
            self._tell(
                f"max_gen_toks {limit} exceeds what the context of {self.max_length} tokens leaves "
                "beside some prompts: prompts are kept whole, their answers are shorter"
            )
            return tokens, room
        limit = min(limit, max(self.max_length // 4, 1))
        self._tell(
            f"some prompts fill the context of {self.max_length} tokens: they lose their beginning, "
            f"and their answers have at most {limit} tokens"
        )
        return tokens[limit - self.max_length :], limit

    def _tell(self, text: str) -> None:
        kind = text.split(" ", 1)[0]
        if kind not in self._told:
            self._told.add(kind)
            _log.warning(text)


def _limit(options: dict[str, Any]) -> int:
    """The most new tokens, by any of the names that tasks use."""
    names = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
    given = (options[name] for name in names if options.get(name) is not None)
    return next(map(int, given), LONGEST_ANSWER)


def _sampling(options: dict[str, Any]) -> Sampling:
    """Greedy unless a task asks to sample."""
    if options.get("do_sample") is False:
        return Sampling()
    top_p = options.get("top_p")
    return Sampling(
        temperature=float(options.get("temperature") or 0.0),
        top_p=1.0 if top_p is None else float(top_p),
        top_k=max(int(options.get("top_k") or 0), 0),
        min_p=float(options.get("min_p") or 0.0),
        seed=int(options.get("seed") or 0),
    )


def main() -> None:
    """lm-eval's command line, which knows `hnlpu` now."""
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()


if __name__ == "__main__":
    main()
