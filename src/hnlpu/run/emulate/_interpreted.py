"""A network of any family as a language model: the interpreter between tokens and logits.

tokens ─► interpreter ─► hidden states ─► last projection ─► logits

The last projection of most networks makes logits of a hidden state and has no other use.  It is left
to `logits`, so that a long prompt makes those that are asked for and no others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hnlpu.errors import InvalidInput, NotFinite
from hnlpu.model.checkpoint import Architecture, ModelFacts
from hnlpu.model.network import Network as Form
from hnlpu.model.network import check, ops
from hnlpu.run.emulate._float_steps import Constants
from hnlpu.run.emulate._fused import FUSED
from hnlpu.run.emulate._interpreter import Interpreter, Watch
from hnlpu.run.emulate._network import Sampler, TokenModel, Tokens
from hnlpu.run.emulate._network_constants import HardwiredConstants
from hnlpu.run.emulate._sampling import log_softmax, sample
from hnlpu.run.emulate._states import States
from hnlpu.run.emulate._taped import SequenceMemory, TapedNetwork
from hnlpu.run.kernels.tape import NotOnTape, TapeRows

Float32 = npt.NDArray[np.float32]


class StatesCache(ABC):
    """The states of one sequence: a value, so that to keep one is to be able to go back to it."""

    @property
    @abstractmethod
    def length(self) -> int:
        """Positions that were taken in."""

    @abstractmethod
    def reserve(self, positions: int) -> None:
        """Make room for `positions` in all."""

    @abstractmethod
    def save(self) -> States:
        """What `restore` goes back to."""

    @abstractmethod
    def restore(self, states: States) -> None:
        """Go on from what was saved, of this sequence or of another."""

    def mark(self) -> States:
        """What `rewind` goes back to, with a copy of no more than a further position writes over."""
        return self.save()

    def rewind(self, mark: States) -> None:
        """Go back to a mark that this sequence has passed."""
        self.restore(mark)

    @abstractmethod
    def take_in(self, tokens: Tokens) -> Float32:
        """What the network gives at `tokens`, behind what was taken in before."""


class _Interpreted(StatesCache):
    """States as the interpreter has them."""

    def __init__(self, interpreter: Interpreter):
        self._interpreter, self._states = interpreter, interpreter.start()

    @property
    def length(self) -> int:
        return self._states.position

    def reserve(self, positions: int) -> None:
        """States grow by themselves."""

    def save(self) -> States:
        return self._states

    def restore(self, states: States) -> None:
        self._states = states

    def take_in(self, tokens: Tokens) -> Float32:
        (hidden,), self._states = self._interpreter.run(list(tokens), self._states)
        return np.asarray(hidden, np.float32)


class _OnTape(StatesCache):
    """States where a tape works on them."""

    def __init__(self, taped: TapedNetwork):
        self._taped = taped
        self._memory = SequenceMemory(taped)
        self._tokens = [x.name for x in taped.network.inputs if x.carries == "token"]

    @property
    def length(self) -> int:
        return self._memory.length

    def reserve(self, positions: int) -> None:
        self._memory.reserve(positions)

    def save(self) -> States:
        return self._memory.save()

    def restore(self, states: States) -> None:
        self._memory.restore(states)

    def mark(self) -> States:
        return self._memory.mark()

    def rewind(self, mark: States) -> None:
        self._memory.rewind(mark)

    def take_in(self, tokens: Tokens) -> Float32:
        start, count = self._memory.length, len(tokens)
        self._memory.reserve(start + count)
        (hidden,) = self._taped.run(
            dict.fromkeys(self._tokens, tokens),
            TapeRows(np.zeros(count, np.int64), np.arange(start, start + count)),
            self._memory.memory(),
        )
        self._memory.length += count
        return np.asarray(hidden, np.float32)


@dataclass(frozen=True)
class NetworkParts:
    """A network up to the value whose projection by `matrix` gives its logits; all of it if None."""

    body: Form
    matrix: str | None


def split_off_logits(network: Form) -> NetworkParts:
    """Cut the last projection off, where nothing else has a use for it."""
    tail = network.steps[-3:]
    if len(network.steps) > 3:
        first, second, third = tail
        project = second.op
        if (
            isinstance(first.op, ops.Quantize)
            and isinstance(project, ops.Project)
            and project.members == "one"
            and isinstance(third.op, ops.FromSums)
            and second.args == first.outs
            and third.args == second.outs
            and network.outputs == third.outs
            and not any(
                isinstance(s.op, ops.Project) and s.op.matrix == project.matrix
                for s in network.steps[:-1]
                if s is not second
            )
        ):
            end = len(network.steps) - 3
            body = replace(
                network,
                steps=network.steps[:end],
                outputs=(str(first.args[0]),),
                matrices=tuple(m for m in network.matrices if m.name != project.matrix),
                spans=tuple(span for span in network.spans if span.stop <= end),
            )
            return NetworkParts(body, project.matrix)
    return NetworkParts(network, None)


def expect_language_model(network: Form, facts: Architecture | ModelFacts, where: Path) -> None:
    """Raise InvalidInput for a network that does not make logits of tokens."""
    if isinstance(facts, ModelFacts) and facts.task is not None:
        raise InvalidInput(
            f"{where}: a network of signals takes no tokens; give it numbers with 'hnlpu run' or "
            "'hnlpu score', `input` and `labels`"
        )
    types = check(network)
    others = [x.name for x in network.inputs if x.carries not in ("token", "position")]
    logits = types.get(network.outputs[0]) if len(network.outputs) == 1 else None
    if (
        others
        or logits is None
        or logits.kind != "real"
        or logits.shape != (facts.vocab_size,)
        or not any(x.carries == "token" for x in network.inputs)
    ):
        raise InvalidInput(
            f"{where}: the network makes no logits [{facts.vocab_size}] of tokens, as a language "
            "model does; what is hardwired of it can be verified, placed and drawn"
        )


def _taped(body: Form, constants: Constants) -> tuple[TapedNetwork | None, str]:
    """The tape of a network over metal, or None and the reason in one line."""
    if not isinstance(constants, HardwiredConstants):
        return None, "its constants are not the metal of a build"
    try:
        return TapedNetwork(body, constants), ""
    except NotOnTape as error:
        return None, str(error)


class InterpretedModel(TokenModel[StatesCache, np.float32]):
    """The language model of a network over its constants; holds no state of any sequence.

    `body` is the network up to the hidden states that `logits` takes, by `logits_matrix` if they do.  Over metal a tape in C stands
    in for the interpreter where it can; `not_taped` says why it cannot.
    Raises InvalidInput for a network that does not make logits of tokens.
    """

    def __init__(
        self, network: Form, facts: Architecture | ModelFacts, constants: Constants, where: Path
    ):
        expect_language_model(network, facts, where)
        self.architecture = facts
        self.constants = constants
        parts = split_off_logits(network)
        self.network = network
        self.logits_matrix = parts.matrix
        self.body = parts.body
        self._interpreter = Interpreter(parts.body, constants, FUSED)
        self.taped, self.not_taped = _taped(parts.body, constants)

    @property
    def has_hidden(self) -> bool:
        """Whether there are hidden states before the logits, for what asks for those."""
        return self.logits_matrix is not None

    def new_cache(self) -> StatesCache:
        """The states of an empty sequence."""
        return _Interpreted(self._interpreter) if self.taped is None else _OnTape(self.taped)

    def interpret(
        self, tokens: Tokens, states: States, watch: Watch | None = None
    ) -> tuple[Float32, States]:
        """Hidden states [n, hidden] after n more tokens, and the states behind them: no tape.

        `watch` sees every step.  Raises NotFinite.
        """
        with _overflow_is_no_news():
            (hidden,), after = self._interpreter.run(list(tokens), states, watch)
        return np.asarray(hidden, np.float32), after

    def logits(self, hidden: Float32) -> Float32:
        """Logits [n, vocabulary] of hidden states [n, hidden]; raises NotFinite."""
        logits = hidden
        if self.logits_matrix is not None:
            logits = self.constants.project(self.logits_matrix, self.constants.prepare(hidden))
        if not np.isfinite(logits).all():
            raise NotFinite(
                "a logit is NaN or infinite; the checkpoint's values leave float32's range"
            )
        return logits

    def log_probabilities(self, logits: Float32) -> npt.NDArray[np.float64]:
        """Natural log-probabilities [n, vocabulary] of logits [n, vocabulary]."""
        return log_softmax(logits)

    def sampler(self, temperature: float, seed: int) -> Sampler:
        """Draws u from Philox(seed) for each token and takes it by the cumulative softmax."""
        random = np.random.Generator(np.random.Philox(seed))
        return partial(sample, temperature=temperature, random=random)

    def _chunk(self, tokens: Tokens, cache: StatesCache) -> Float32:
        with _overflow_is_no_news():
            return cache.take_in(tokens)


def _overflow_is_no_news() -> AbstractContextManager[None]:
    """NumPy keeps quiet about infinity and NaN: `NotFinite` tells of them, in one line."""
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")
