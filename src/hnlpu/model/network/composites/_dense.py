"""A matrix times a vector, between numbers: quantise, project, from sums.

x ─► quantize ─┬► project ─► from_sums ─► y
               └► project ─► from_sums ─► z     matrices that share x share its digits
"""

from __future__ import annotations

from typing import Literal

from hnlpu.model.network._compose import Value
from hnlpu.model.network._declare import Matrix
from hnlpu.model.network.ops import FromSums, Project, Quantize


def dense_all(x: Value, *matrices: Matrix, chosen: Value | None = None) -> tuple[Value, ...]:
    """Each of several matrices times x [..., columns], plus bias: [..., rows] each.

    `chosen` [...] has the members' numbers where the matrices have several; where it is left out,
    member m takes row m.
    """
    b = x.builder
    with b.span("dense"):
        digits = b.step(Quantize(), x)
        return tuple(_one(digits, matrix, chosen) for matrix in matrices)


def dense(x: Value, matrix: Matrix, *, chosen: Value | None = None) -> Value:
    """A matrix times x [..., columns], plus bias: [..., rows]."""
    (y,) = dense_all(x, matrix, chosen=chosen)
    return y


def _one(digits: Value, matrix: Matrix, chosen: Value | None) -> Value:
    b, numbers = digits.builder, () if chosen is None else (chosen,)
    members: Literal["one", "chosen", "each"] = "one"
    if matrix.members is not None:
        members = "each" if chosen is None else "chosen"
    sums = b.step(Project(matrix.name, members), digits, *numbers)
    return b.step(FromSums(matrix.name), sums, *numbers)
