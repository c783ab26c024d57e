"""Experts and what stands beside them: banks of one tensor per expert, and experts that always run."""

from __future__ import annotations

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.model.network import Builder, Cut, Given, Matrix, Stack, Tensor, Value
from hnlpu.model.network.composites import glu

GUESSES = "layers that guess the token after the next: no logits of the next one depend on them"
"""Why multi-token prediction is left out."""


def bank(name: str, count: int, rows: int, columns: int) -> Matrix:
    """Experts that lie as a tensor each: `name` has {} where the expert's number stands."""
    tensors = tuple(
        Tensor(f"{name.format(expert)}.weight", (rows, columns)) for expert in range(count)
    )
    return Matrix(
        name.replace(".{}", ""), rows, columns, "experts", Cut("members"), Stack(tensors),
        members=count, padding=-columns % BLOCK,
    )  # fmt: skip


class Experts:
    """The banks of gated experts under a prefix; called with x [n] and the chosen, it runs them."""

    def __init__(self, b: Builder, prefix: str, count: int, width: int, inner: int):
        self.gate, self.up, self.down = (
            b.matrix(bank(f"{prefix}experts.{{}}.{name}", count, rows, columns))
            for name, rows, columns in (
                ("gate_proj", inner, width), ("up_proj", inner, width), ("down_proj", width, inner),
            )
        )  # fmt: skip

    def __call__(self, x: Value, chosen: Value) -> Value:
        """Outputs [k, n]."""
        return glu(x, self.gate, self.up, self.down, chosen=chosen)


def group_numbers(b: Builder, groups: int) -> Value:
    """0, 1, 2 ... as a parameter, for `route_groups`."""
    return b.parameter(
        "route.groups", (groups,), Given(tuple(map(float, range(groups))), (groups,))
    )
