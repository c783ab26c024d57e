"""A chip in simulation against the emulator in chip numerics: the same tokens or answers, or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.fixed_point import FRACTION, Random, inverse_temperature, to_fixed
from hnlpu.errors import InvalidInput
from hnlpu.run.emulate import LanguageModel, hardwired, hardwired_signals
from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.rtl.chip import (
    ChipRequest,
    ChipRun,
    ChipShape,
    Wires,
    expect_tags,
    simulate_chip,
)


@dataclass(frozen=True)
class ChipAnswer:
    """One prompt's tokens: those of the emulator, and those of the chip in every run."""

    prompt: tuple[int, ...]
    expected: tuple[int, ...]
    found: tuple[tuple[int, ...], ...]

    @property
    def equal(self) -> bool:
        """Whether every run gave the emulator's tokens."""
        return all(tokens == self.expected for tokens in self.found)


@dataclass(frozen=True)
class ChipCheck:
    """Answers of all prompts, and the runs by percent of stalls."""

    answers: tuple[ChipAnswer, ...]
    runs: tuple[tuple[int, ChipRun], ...]

    @property
    def fault(self) -> str:
        """The first difference; empty where there is none."""
        for n, answer in enumerate(self.answers):
            for (stall, _), tokens in zip(self.runs, answer.found, strict=True):
                if tokens == answer.expected:
                    continue
                pairs = zip(tokens, answer.expected, strict=False)
                same = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
                at = min(len(tokens), len(answer.expected)) if same is None else same
                return (
                    f"prompt {n}, with {stall} % stalls: token {at} differs from the emulator's "
                    f"({list(tokens[at : at + 1])} instead of {list(answer.expected[at : at + 1])})"
                )
        return ""


def expect_prompts(
    model: LanguageModel,
    shape: ChipShape,
    prompts: Sequence[str | Sequence[int]],
    *,
    max_tokens: int = 64,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[tuple[int, ...]]:
    """Token ids of prompts that a chip of `shape` can be asked; raises InvalidInput, TokenizerMissing."""
    if max_tokens < 1:
        raise InvalidInput(f"max tokens {max_tokens}: a chip makes at least one")
    inverse_temperature(temperature)
    expect_tags(len(prompts))
    Random(seed + max(len(prompts), 1) - 1)  # the last one's, and the largest
    encoded = [tuple(int(t) for t in model.encode(prompt)) for prompt in prompts]
    for n, ids in enumerate(encoded):
        if not 0 < len(ids) <= shape.context:
            raise InvalidInput(
                f"prompt {n} has {len(ids)} tokens: a chip of `context` {shape.context} takes 1 to "
                f"{shape.context}"
            )
    return encoded


def check_chip(
    build: Build,
    folder: str | Path,
    shape: ChipShape,
    prompts: Sequence[str | Sequence[int]],
    *,
    max_tokens: int = 64,
    temperature: float = 0.0,
    seed: int = 0,
    stalls: Sequence[int] = (0,),
    trace: Path | None = None,
    wires: Wires | None = None,
) -> ChipCheck:
    """Run prompts through the compiled chip of `folder`, all at once, and through the emulator.

    Prompt n has seed `seed` + n; the last run writes waveforms to `trace`.  `wires` are those between several
    chips.  Raises InvalidInput for what the chip cannot be asked, ToolFailed where it does not end, LinkFailed
    where a link between chips fails.
    """
    if shape.chips > 1 and wires is None:
        wires = Wires()
    model = hardwired(build, numerics="chip")
    encoded = expect_prompts(
        model, shape, prompts, max_tokens=max_tokens, temperature=temperature, seed=seed
    )
    requests = [
        ChipRequest(
            ids,
            max_tokens if max_tokens < shape.context else 0,
            inverse_temperature(temperature),
            seed + n,
        )
        for n, ids in enumerate(encoded)
    ]
    runs = tuple(
        (stall, simulate_chip(folder, requests, stall=stall, trace=trace, wires=wires))
        for stall in stalls
    )
    expected = [
        _expected(model, shape, ids, max_tokens, temperature, seed + n)
        for n, ids in enumerate(encoded)
    ]
    answers = tuple(
        ChipAnswer(ids, want, tuple(run.tokens[n] for _, run in runs))
        for n, (ids, want) in enumerate(zip(encoded, expected, strict=True))
    )
    return ChipCheck(answers, runs)


def _expected(
    model: LanguageModel,
    shape: ChipShape,
    prompt: Sequence[int],
    most: int,
    temperature: float,
    seed: int,
) -> tuple[int, ...]:
    """What the chip must answer: with its end of text, and no more than it has positions for."""
    room = shape.context - len(prompt) + 1
    ends = model.transformer.architecture.eos_token_ids
    tokens: list[int] = []
    for token in model.generate(
        prompt, max_tokens=min(most, room), temperature=temperature, seed=seed, ignore_end=True
    ):
        tokens.append(token.id)
        if token.id in ends:
            break
    return tuple(tokens)


@dataclass(frozen=True)
class SignalCheck:
    """Answers of all sequences as whole numbers (classes, or values in units of 2^-16), and the runs.

    `expected` are the emulator's [sequences][numbers]; `found` those of each run.
    """

    expected: tuple[tuple[int, ...], ...]
    found: tuple[tuple[tuple[int, ...], ...], ...]
    runs: tuple[tuple[int, ChipRun], ...]

    @property
    def fault(self) -> str:
        """The first difference; empty where there is none."""
        for (stall, _), answers in zip(self.runs, self.found, strict=True):
            for n, (one, want) in enumerate(zip(answers, self.expected, strict=True)):
                if one != want:
                    return (
                        f"sequence {n}, with {stall} % stalls: the chip answers {list(one[:8])}, the "
                        f"emulator {list(want[:8])}"
                    )
        return ""


def check_signal_chip(
    build: Build,
    folder: str | Path,
    shape: ChipShape,
    sequences: Sequence[npt.NDArray[np.floating]],
    *,
    stalls: Sequence[int] = (0,),
    trace: Path | None = None,
) -> SignalCheck:
    """Run signals [positions, n] through the compiled chip of `folder`, all at once, and the emulator.

    Raises InvalidInput for sequences that are longer than the chip's room, ToolFailed where it does not end.
    """
    model = hardwired_signals(build, numerics="chip")
    (name,) = model.inputs
    expect_sequences(shape, sequences)
    requests, expected = [], []
    for signals in sequences:
        given = np.asarray(signals, np.float32)
        words = (np.asarray(to_fixed(given), np.int64) & 0xFFFFFFFF).tolist()
        requests.append(ChipRequest(tuple(tuple(row) for row in words)))
        outputs, _ = model.run({name: given}, model.start())
        answer = model.answer(outputs)
        whole = answer if shape.task == "classify" else np.rint(answer * 2.0**FRACTION)
        expected.append(tuple(int(x) for x in np.asarray(whole).ravel()))
    runs = tuple(
        (stall, simulate_chip(folder, requests, stall=stall, trace=trace)) for stall in stalls
    )
    found = tuple(tuple(_signed(answer, shape) for answer in run.tokens) for _, run in runs)
    return SignalCheck(tuple(expected), found, runs)


def expect_sequences(shape: ChipShape, sequences: Sequence[npt.NDArray[np.floating]]) -> None:
    """Raise InvalidInput for sequences [positions, n] that a chip of signals has no room for."""
    expect_tags(len(sequences))
    for n, signals in enumerate(sequences):
        if not 0 < len(signals) <= shape.context:
            raise InvalidInput(
                f"sequence {n} has {len(signals)} positions: a chip of `context` {shape.context} takes 1 "
                f"to {shape.context}"
            )


def _signed(words: Sequence[int], shape: ChipShape) -> tuple[int, ...]:
    """Words of a chip as whole numbers: classes as they are, values in two's complement."""
    if shape.task == "classify":
        return tuple(words)
    return tuple(word - (1 << 32) if word >> 31 else word for word in words)
