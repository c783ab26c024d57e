"""`Network`: a model as data.

    token, position ─► step ─► step ─► ... ─► logits        one position
                        ▲ read    │ write
                        └─ state ◄┘                          kept for the next

A network is a function of one position: inputs and states in, outputs and states out.  Steps are in
single assignment: each name is defined once, before it is used.  Spans say which steps make up a
composite (a norm, an attention), so that a consumer may do them at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from hnlpu.model.network._declare import Declared, Input, LeftOut, Matrix, Parameter, State
from hnlpu.model.network.ops import Step

Option = tuple[str, int | float | str | bool]


@dataclass(frozen=True)
class Span:
    """Steps `start` to `stop` (the one behind the last) that make up a `composite`.

    `name` tells spans apart and is where its values' names begin; `options` are what it was called
    with.  What it takes and gives follows from the steps: `span_ends`.
    """

    composite: str
    name: str
    start: int
    stop: int
    options: tuple[Option, ...] = ()

    def option(self, name: str) -> int | float | str | bool:
        """An option by its name; raises KeyError."""
        return dict(self.options)[name]


@dataclass(frozen=True)
class Network:
    """A model of a family; see the module.  `context`: positions that it was made for, if limited.

    `left_out` are tensors that its checkpoint may have and that it does not take, with the reason.

    `hnlpu.model.network.check` says whether it keeps the rules.
    """

    family: str
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    matrices: tuple[Matrix, ...]
    parameters: tuple[Parameter, ...]
    states: tuple[State, ...]
    steps: tuple[Step, ...]
    spans: tuple[Span, ...] = ()
    context: int | None = None
    left_out: tuple[LeftOut, ...] = ()

    def declared(self) -> Declared:
        """Matrices, parameters and states by name."""
        return Declared(
            {matrix.name: matrix for matrix in self.matrices},
            {parameter.name: parameter for parameter in self.parameters},
            {state.name: state for state in self.states},
        )


def span_ends(network: Network, span: Span) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a span's steps take from outside, parameters too, and what others take from them.

    In the order in which the steps take and define them.
    """
    inside = network.steps[span.start : span.stop]
    own = [name for step in inside for name in step.outs]
    taken = [arg for step in inside for arg in step.args if isinstance(arg, str)]
    wanted = set(network.outputs)
    for step in (*network.steps[: span.start], *network.steps[span.stop :]):
        wanted.update(arg for arg in step.args if isinstance(arg, str))
    args = tuple(name for name in dict.fromkeys(taken) if name not in set(own))
    return args, tuple(name for name in own if name in wanted)
