"""`LanguageModel`: text or token ids in, generated text or scores out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from hnlpu._paths import absolute
from hnlpu.arithmetic.exchange import Exchange
from hnlpu.errors import InvalidInput
from hnlpu.model.checkpoint import is_checkpoint, read_model
from hnlpu.model.families import Family
from hnlpu.run.emulate._chip_model import ChipModel
from hnlpu.run.emulate._generation import end_tokens
from hnlpu.run.emulate._interpreted import InterpretedModel
from hnlpu.run.emulate._network import Sampler, TokenModel
from hnlpu.run.emulate._network_constants import HardwiredConstants, ModelConstants
from hnlpu.run.emulate._sampling import best_tokens, draw, kept_weights, sample
from hnlpu.run.emulate._threads import in_parallel, one_blas_thread
from hnlpu.run.emulate._tokenizer import Tokenizer
from hnlpu.run.emulate.machine import MachineModel
from hnlpu.silicon.exchange import ChipGrid
from hnlpu.silicon.hardwire import MANIFEST, Build, open_build

Numerics = Literal["float", "chip", "machine"]
"""The vector unit in float32, in the chip's fixed point (docs/vector-unit.md), or in that of all the
chips that a build is placed on, with what crosses their links (docs/exchange.md)."""

MachineOf = Callable[[Build], tuple[Exchange | None, ChipGrid | None]]
"""What makes the exchange and the grid of a build's machine; None: in formats of designs, and as placed."""


@dataclass(frozen=True)
class Score:
    """Log-probabilities (natural) of tokens 2..n given what stands before them.

    `top` holds, where asked for, the best (token, log-probability) pairs at
    each of those positions; `size_bytes`, for text, the bytes that the scored
    tokens spell: all but the first token's.
    """

    tokens: list[int]
    logprobs: list[float]
    top: list[list[tuple[int, float]]] | None = None
    size_bytes: int | None = None

    @property
    def nll(self) -> float:
        """Mean negative log-likelihood per scored token, in nats."""
        return -math.fsum(self.logprobs) / len(self.logprobs)

    @property
    def perplexity(self) -> float:
        """exp(nll)."""
        return math.exp(self.nll) if self.nll < 700 else math.inf

    @property
    def bits_per_byte(self) -> float | None:
        """Bits that the scored tokens cost per byte that they spell; None for token ids."""
        if self.size_bytes is None:
            return None
        return -math.fsum(self.logprobs) / math.log(2) / self.size_bytes


class Token(NamedTuple):
    """A new token and the text that it completes.

    `text` is empty while a character is still open, for special tokens, and
    where the model has no tokenizer.
    """

    id: int
    text: str


class LanguageModel:
    """A model that can be heard: hardwired (from a build) or float (from a checkpoint).

    Wherever it takes text it also takes token ids; only text needs a tokenizer.  `directory` holds
    its config and tokenizer; `sources` are a checkpoint's files by the names that a build records.
    """

    def __init__(
        self,
        transformer: TokenModel[Any, Any],
        tokenizer: Tokenizer,
        directory: Path,
        *,
        ends: tuple[int, ...] | None = None,
        sources: Mapping[str, Path] | None = None,
    ):
        self.transformer = transformer
        self.tokenizer = tokenizer
        self.directory = directory
        self.sources = sources or {}
        self._ends = ends

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """Tokens that end an answer: those of config.json, generation_config.json and the tokenizer.

        The chip knows those of config.json alone.  Raises InvalidInput for a damaged file.
        """
        if self._ends is None:
            own = self.transformer.architecture.eos_token_ids
            found = end_tokens(self.directory, self.tokenizer)
            self._ends = (*own, *(e for e in found if e not in own and e < self.vocab_size))
        return self._ends

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""
        return self.transformer.architecture.vocab_size

    def encode(self, prompt: str | Sequence[int]) -> npt.NDArray[np.int64]:
        """Token ids of a whole text, with <bos> where the tokenizer puts it, or the ids given, checked.

        Raises TokenizerMissing or InvalidInput.
        """
        ids = self.tokenizer.encode(prompt, whole=True) if isinstance(prompt, str) else prompt
        return self.transformer.check_tokens(ids)

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
        """New tokens after `prompt`, as they come; greedy at temperature 0.

        Ends after `max_tokens`, or (unless `ignore_end`) at an end-of-text
        token, which is not yielded.  Sampling draws u from Philox(seed) per
        token and takes the first id whose cumulative float64 softmax exceeds
        u; in chip numerics all of that is the chip's (docs/vector-unit.md).
        Before, `min_p`, `top_k` and `top_p` drop unlikely tokens, as `kept_weights` does; the
        chip has none of them.
        Raises InvalidInput, TokenizerMissing, NotFinite.
        """
        if max_tokens < 0:
            raise InvalidInput(f"max tokens {max_tokens}: must not be negative")
        if not (math.isfinite(temperature) and temperature >= 0):
            raise InvalidInput(f"temperature {temperature}: must be a number of at least 0")
        if seed < 0:
            raise InvalidInput(f"seed {seed}: must not be negative")
        ids = self.encode(prompt)
        if not len(ids):
            raise InvalidInput("the prompt is empty; give at least one token")
        sampler = self.transformer.sampler(temperature, seed)
        if top_k not in (0, -1) or top_p != 1 or min_p:
            sampler = self._keeping(temperature, seed, top_k, top_p, min_p)
        new = self._generate(ids, max_tokens, sampler, ignore_end)
        if self.tokenizer.usable:
            return (Token(token, text) for token, text in self.tokenizer.stream(new, ids.tolist()))
        return (Token(token, "") for token in new)

    def _keeping(
        self, temperature: float, seed: int, top_k: int, top_p: float, min_p: float
    ) -> Sampler:
        """A sampler that drops unlikely tokens.  Raises InvalidInput."""
        if isinstance(self.transformer, ChipModel):  # machines too
            raise InvalidInput(
                "the chip samples by temperature alone; leave out top p, top k, min p"
            )
        if top_k < -1 or not 0 <= top_p <= 1 or not 0 <= min_p <= 1:
            raise InvalidInput(
                f"top k {top_k}, top p {top_p}, min p {min_p}: top k must be 0 or -1 (all) or more, "
                "the others must be from 0 to 1"
            )
        random = np.random.Generator(np.random.Philox(seed))
        top_k = max(top_k, 0)

        def sampler(logits: Any) -> int:
            if temperature == 0:
                return sample(logits, 0, random)
            return draw(kept_weights(logits, temperature, top_k, top_p, min_p), random)

        return sampler

    def _generate(
        self,
        ids: npt.NDArray[np.int64],
        max_tokens: int,
        sampler: Sampler,
        ignore_end: bool,
    ) -> Iterator[int]:
        ends = () if ignore_end else self.end_tokens
        cache = self.transformer.new_cache()
        for _ in range(max_tokens):
            with one_blas_thread():
                hidden = self.transformer.forward(ids, cache, last=True)
                logits = self.transformer.logits(hidden)[0]
            token = sampler(logits)
            if token in ends:
                return
            yield token
            ids = np.array([token], np.int64)

    def score(
        self, text: str | Sequence[int], *, context: int | None = None, top: int = 0
    ) -> Score:
        """Log-probability of every token of `text` but the first, given those before it.

        Up to `context` tokens (default: the model's position limit) are scored
        in one go; longer texts in windows of that length that overlap by
        half, so that each token sees at least half a context.  What the tokenizer
        puts before a text (<bos>) stands before the first window alone, as in transformers'
        "Perplexity of fixed-length models" and lm-eval's rolling windows.  `top` adds the
        best tokens at each position.  Raises InvalidInput, TokenizerMissing,
        NotFinite.
        """
        ids = self.encode(text)
        if len(ids) < 2:
            raise InvalidInput(f"scoring needs at least 2 tokens, got {len(ids)}")
        if top < 0 or top > self.vocab_size:
            raise InvalidInput(f"top {top}: must be from 0 to {self.vocab_size}")
        limit = (
            self.transformer.architecture.max_position_embeddings if context is None else context
        )
        if limit < 2:
            raise InvalidInput(f"context {limit}: must be at least 2 tokens")

        def score_window(window: _Window) -> tuple[list[float], list[list[tuple[int, float]]]]:
            return self._score_window(ids, window, top)

        parts = list(in_parallel(score_window, score_windows(len(ids), limit)))
        logprobs = [value for values, _ in parts for value in values]
        best = [pairs for _, lists in parts for pairs in lists]
        size = None
        if isinstance(text, str):
            unscored = self.tokenizer.decode(ids[:1].tolist())
            size = max(1, len(text.encode()) - len(unscored.encode()))
        return Score(ids.tolist(), logprobs, best if top else None, size)

    def _score_window(
        self, ids: npt.NDArray[np.int64], window: _Window, top: int
    ) -> tuple[list[float], list[list[tuple[int, float]]]]:
        start, first, end = window
        logprobs: list[float] = []
        best: list[list[tuple[int, float]]] = []
        hidden = self.transformer.forward(ids[start : end - 1], self.transformer.new_cache())
        for offset, logits in self.transformer.logits_in_pieces(hidden[first - start - 1 :]):
            log_p = self.transformer.log_probabilities(logits)
            targets = ids[first + offset : first + offset + len(log_p)]
            logprobs.extend(log_p[np.arange(len(log_p)), targets].tolist())
            if top:
                best.extend(best_tokens(log_p, top))
        return logprobs, best


_Window = tuple[int, int, int]


def score_windows(n: int, limit: int) -> Iterator[_Window]:
    """(start, first scored, end) of the windows that score tokens 1..n-1 once each."""
    first = 1
    end = min(n, limit)
    yield 0, first, end
    while end < n:
        first = end
        end = min(n, first + max(1, limit // 2))
        yield max(0, end - limit), first, end


def open_language_model(
    directory: str | Path,
    *,
    float_activations: bool = False,
    numerics: Numerics = "float",
    family: Family[Any] | None = None,
    machine: MachineOf | None = None,
) -> LanguageModel:
    """The hardwired model of a build directory, or the float model of a checkpoint's.

    `numerics` are those of everything but the matrices; a checkpoint has float alone, and `family`
    stands in for the one that its config finds; a build says its own.  `machine` makes the exchange and the
    grid of machine numerics (default: the formats of designs, fp16 for most; as placed).  Raises
    the errors of `open_build` or `read_model` and `hardwired`, and InvalidInput when
    `float_activations` or chip numerics are asked of a checkpoint.
    """
    folder = absolute(directory)
    if (folder / MANIFEST).exists() or not is_checkpoint(folder):
        if family is not None:
            raise InvalidInput(f"{folder}: a build says its own family; leave the family out")
        return hardwired(
            open_build(folder), float_activations=float_activations, numerics=numerics,
            machine=machine,
        )  # fmt: skip
    if float_activations:
        raise InvalidInput(f"{folder}: is a checkpoint, whose activations are float already")
    if numerics != "float":
        raise InvalidInput(
            f"{folder}: is a checkpoint, which has float numerics; give a build "
            "(hnlpu build makes one)"
        )
    return float_model(folder, family)


def hardwired(
    build: Build, *, float_activations: bool = False, numerics: Numerics = "float",
    machine: MachineOf | None = None,
) -> LanguageModel:  # fmt: skip
    """The language model that a build hardwires; `machine` is for machine numerics.

    Both run on tapes in C where these can be had (docs/performance.md).  Raises InvalidInput for
    numerics that do not exist or do not go with float activations, UnsupportedArchitecture for a step
    that chip numerics do not define, and NotFinite for a parameter that they cannot express.
    """
    if numerics not in get_args(Numerics):
        raise InvalidInput(f"numerics {numerics!r}: must be float, chip or machine")
    if numerics != "float" and float_activations:
        raise InvalidInput(
            f"{numerics} numerics have integer activations; leave out float activations"
        )
    transformer: TokenModel[Any, Any]
    if numerics == "machine":
        exchange, grid = machine(build) if machine else (None, None)
        transformer = MachineModel(build, exchange, grid)
    elif numerics == "chip":
        transformer = ChipModel(build)
    else:
        constants = HardwiredConstants(build, float_activations)
        transformer = InterpretedModel(build.network, build.facts, constants, build.directory)
    tokenizer = Tokenizer(build.directory)
    ends = None if numerics == "float" else transformer.architecture.eos_token_ids
    return LanguageModel(transformer, tokenizer, build.directory, ends=ends)


def chip_tokens(
    build: Build, prompt: Sequence[int], max_tokens: int, temperature: float = 0.0, seed: int = 0
) -> list[int]:
    """Token ids that a chip of `build` answers `prompt` with, in its own numerics.

    It stops after `max_tokens` or before an end-of-text token.  Raises what `hardwired` and
    `LanguageModel.generate` do.
    """
    model = hardwired(build, numerics="chip")
    new = model.generate(prompt, max_tokens=max_tokens, temperature=temperature, seed=seed)
    return [token.id for token in new]


def float_model(checkpoint: Path, family: Family[Any] | None = None) -> LanguageModel:
    """The unquantised model of a checkpoint folder in float32; raises what `read_model` does."""
    model = read_model(checkpoint, family)
    constants = ModelConstants(model)
    transformer = InterpretedModel(model.network, model.architecture, constants, checkpoint)
    settings, sources = model.settings, model.source_files()
    return LanguageModel(transformer, Tokenizer(settings), settings, sources=sources)
