"""What a composite's span works on and gives, and how long its values are."""

from __future__ import annotations

from hnlpu.errors import DoesNotFit
from hnlpu.model.network import Span, span_ends
from hnlpu.silicon.rtl.chip._assembler import Assembler
from hnlpu.silicon.rtl.chip._uses import main_input


def ends(a: Assembler, span: Span) -> tuple[str, str]:
    """What a span works on, and what it gives."""
    _, given = span_ends(a.network, span)
    return main_input(a.network, span), given[0]


def sizes(a: Assembler, name: str) -> tuple[int, ...]:
    """The lengths of a value's axes."""
    return tuple(dim for dim in a.uses.types[name].shape if isinstance(dim, int))


def head(a: Assembler, span: Span, size: int) -> None:
    """All heads of a chip are of one size, which fills its lanes."""
    if size > a.code.width or a.code.width % size:
        raise DoesNotFit(
            f"hnlpu chip: {a.named(span.composite, span.start)}: heads of {size} numbers; the vector "
            f"unit has {a.code.width} lanes (`lanes`), which heads of a power of two up to that fill"
        )
    if a.head_dim not in (None, size):
        a.refuse(span.composite, span.start, f"rows of {size} numbers beside heads of {a.head_dim}")
    a.head_dim = size
