"""What a network's matrices are as metal: `MatrixShape`, columns in whole blocks."""

from __future__ import annotations

from dataclasses import dataclass

from hnlpu.model.network import Cut, Given, Matrix, Network, Parameter, Role


@dataclass(frozen=True)
class MatrixShape:
    """Name, role and size of a stack of `count` matrices [rows, columns] of a network.

    A `bank` is a stack even where `count` is 1: its tensors have an axis for it.  The last
    `padding` columns are zero inputs, which fill the last block of 32.
    """

    name: str
    role: Role
    count: int
    rows: int
    columns: int
    has_bias: bool
    layer: int | None
    cut: Cut
    bank: bool
    padding: int = 0

    @property
    def weights(self) -> int:
        """Number of weights in the whole stack."""
        return self.count * self.rows * self.columns


def shape_of(m: Matrix) -> MatrixShape:
    """A matrix of a network as metal."""
    return MatrixShape(
        m.name, m.role, m.count, m.rows, m.columns + m.padding, m.bias is not None, m.block,
        m.cut, m.members is not None, m.padding,
    )  # fmt: skip


def shapes_of(network: Network) -> tuple[MatrixShape, ...]:
    """Every matrix that is hardwired, in the order in which data meets them."""
    return tuple(shape_of(matrix) for matrix in network.matrices)


def kept_parameters(network: Network) -> list[Parameter]:
    """Parameters that come from the checkpoint; those of no layer first."""
    kept = [p for p in network.parameters if not isinstance(p.source, Given)]
    return sorted(kept, key=lambda p: p.block is not None)
