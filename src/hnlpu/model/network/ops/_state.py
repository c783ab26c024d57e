"""Steps that reach over positions.

The order is explicit.  A read says whether it comes `before` or `after` the position's write and
must stand on that side of it, so that neither a reader nor a pass that moves steps can mistake one
for the other.  A state is written once per position; what is written is there for the next
position, and for reads `after` it.  Every sequence starts from the state's initial value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

from hnlpu.errors import MalformedNetwork
from hnlpu.model.network._declare import Append, Declared, Replace, Ring
from hnlpu.model.network._types import Positions, ValueType, shape_text
from hnlpu.model.network.ops._rules import declared, expect_args, expect_kind


@dataclass(frozen=True)
class Read:
    """What a state holds, before or after this position's write.

    Replace: the value.  Ring: [length, ...], the oldest entry first.  Append: [T, ...], which is
    read after its write alone, so that it is never empty.
    """

    state: str
    when: Literal["before", "after"]

    def types(self, args: tuple[ValueType, ...], known: Declared) -> tuple[ValueType, ...]:
        """Reals, with an axis in front where the state keeps several entries."""
        expect_args(args, 0)
        state = declared(known.states, self.state, "state")
        match state.keeps:
            case Replace():
                return (ValueType(state.shape),)
            case Ring(length):
                return (ValueType((length, *state.shape)),)
            case Append(window):
                if self.when == "before":
                    raise MalformedNetwork(
                        "order", f"{state.name} grows: read it after its write, when it has entries"
                    )
                return (ValueType((Positions(window), *state.shape)),)
            case _:
                assert_never(state.keeps)


@dataclass(frozen=True)
class Write:
    """The entry of a state for this position, or its new value.  Gives nothing."""

    state: str

    def types(self, args: tuple[ValueType, ...], known: Declared) -> tuple[ValueType, ...]:
        """No values."""
        (x,) = expect_args(args, 1)
        state = declared(known.states, self.state, "state")
        expect_kind(x, "real")
        if x.shape != state.shape:
            raise MalformedNetwork(
                "state",
                f"{state.name} takes {shape_text(state.shape)}, is given {shape_text(x.shape)}",
            )
        return ()
