"""A network of any family as a language model: the interpreter between tokens and logits.

tokens ─► interpreter ─► hidden states ─► last projection ─► logits

The last projection of most networks makes logits of a hidden state and has no other use.  It is left
to `logits`, so that a long prompt makes those that are asked for and no others.
"""

from __future__ import annotations

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
from hnlpu.run.emulate._interpreter import Interpreter
from hnlpu.run.emulate._network import Network, Sampler, Tokens
from hnlpu.run.emulate._sampling import log_softmax, sample
from hnlpu.run.emulate._states import States

Float32 = npt.NDArray[np.float32]


class StatesCache:
    """The states of one sequence: a value, so that to keep one is to be able to go back to it."""

    def __init__(self, states: States):
        self.states = states

    @property
    def length(self) -> int:
        """Positions that were taken in."""
        return self.states.position

    def reserve(self, positions: int) -> None:
        """States grow by themselves."""

    def save(self) -> States:
        """What `restore` goes back to."""
        return self.states

    def restore(self, states: States) -> None:
        """Go on from what was saved, of this sequence or of another."""
        self.states = states


@dataclass(frozen=True)
class Parts:
    """A network up to the value whose projection by `matrix` gives its logits; all of it if None."""

    body: Form
    matrix: str | None


def split_off_logits(network: Form) -> Parts:
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
            return Parts(body, project.matrix)
    return Parts(network, None)


def expect_language_model(network: Form, facts: Architecture | ModelFacts, where: Path) -> None:
    """Raise InvalidInput for a network that does not make logits of tokens."""
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


class InterpretedModel(Network[StatesCache, np.float32]):
    """The language model of a network over its constants; holds no state of any sequence.

    Raises InvalidInput for a network that does not make logits of tokens.
    """

    def __init__(
        self, network: Form, facts: Architecture | ModelFacts, constants: Constants, where: Path
    ):
        expect_language_model(network, facts, where)
        self.architecture = facts
        self.constants = constants
        parts = split_off_logits(network)
        self._matrix = parts.matrix
        self.interpreter = Interpreter(parts.body, constants)

    def new_cache(self) -> StatesCache:
        """The states of an empty sequence."""
        return StatesCache(self.interpreter.start())

    def logits(self, hidden: Float32) -> Float32:
        """Logits [n, vocabulary] of hidden states [n, hidden]; raises NotFinite."""
        logits = hidden
        if self._matrix is not None:
            logits = self.constants.project(self._matrix, self.constants.prepare(hidden))
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
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            (hidden,), cache.states = self.interpreter.run(list(tokens), cache.states)
        return np.asarray(hidden, np.float32)
