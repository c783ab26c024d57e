"""Where the modules that PEFT adapts lie in a network's matrices.

    model.layers.0.self_attn.q_proj  ─►  tensor model.layers.0.self_attn.q_proj.weight
                                     ─►  rows and columns of the matrices that take it

A family may cut a tensor into several matrices, exchange its rows, or stack those of all experts:
the low-rank part of a module goes wherever its weights go.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hnlpu.errors import DamagedAdapter
from hnlpu.model.network import (
    Either,
    Matrix,
    Network,
    Source,
    Stack,
    Tensor,
    Transpose,
    all_leaves,
    ops,
    read_source,
)
from hnlpu.run.engine._adapter_config import AdapterConfig

Int64 = npt.NDArray[np.int64]
STACKS = ("gate_up_proj", "down_proj")
"""Parameters with an axis of experts, in the order in which PEFT wraps them."""


@dataclass(frozen=True)
class AdapterTarget:
    """A part of a module's weights [rows, columns] in a matrix, or in a `member` of it.

    Row i of the matrix is row `rows`[i] of the module, column j its column `columns`[j].
    """

    matrix: Matrix
    member: int
    shape: tuple[int, int]
    rows: Int64
    columns: Int64


class Targets:
    """The matrices of a network by the modules of the checkpoint."""

    def __init__(self, network: Network):
        self._matrices = network.declared().matrices
        tables = {
            leaf.name
            for parameter in network.parameters
            for leaf in all_leaves(parameter.source)
            if isinstance(leaf, Tensor)
        }
        self._of: dict[str, list[tuple[Matrix, int, Source, Tensor]]] = {}
        self.rounded = _rounded(network)
        for matrix in network.matrices:
            if matrix.name in self.rounded:
                continue
            for member, part in _members(matrix):
                for leaf in all_leaves(part):
                    if not isinstance(leaf, Tensor):
                        continue
                    module = leaf.name.removesuffix(".weight")
                    if leaf.name in tables and matrix.members is None:
                        module = matrix.name  # tied: the head's part does not change the table
                    elif module == leaf.name:
                        continue  # of a module with several weights, which PEFT does not wrap
                    self._of.setdefault(module, []).append((matrix, member, part, leaf))
        self.stacks = {m.name for m in network.matrices if _is_stack(m)}

    def places(self, module: str) -> list[AdapterTarget]:
        """Where a linear module's weights lie; none if it is none of the model.

        Raises DamagedAdapter where they are cut so that rows and columns do not stay together.
        """
        return [_place(module, *each) for each in self._of.get(module, [])]

    def stack(self, module: str, config: AdapterConfig) -> Matrix | None:
        """The bank of experts that a tensor of `module` is of; None if there is none.

        PEFT wraps the parameters that its config names one around the other, and puts `base_layer`
        into the name of those within.
        """
        name, levels = module, 0
        while name.endswith(".base_layer"):
            name, levels = name.removesuffix(".base_layer"), levels + 1
        stacks = [
            stack
            for stack in (f"{name}.{each}" for each in STACKS)
            if stack in self.stacks and config.targets_parameter(stack)
        ]
        return self._matrices[stacks[-1 - levels]] if levels < len(stacks) else None

    @property
    def modules(self) -> list[str]:
        """Linear modules that may be adapted, by name."""
        return list(self._of)

    @property
    def kinds(self) -> list[str]:
        """Last parts of the names of what may be adapted."""
        modules = {name.rpartition(".")[2] for name in self._of}
        return sorted(modules | {name.rpartition(".")[2] for name in self.stacks})


def linear_modules(network: Network) -> dict[str, tuple[int, int]]:
    """Modules of a network that adapters may change, by name: rows and columns of their weights."""
    targets = Targets(network)
    return {name: targets.places(name)[0].shape for name in targets.modules}


def _rounded(network: Network) -> set[str]:
    """Matrices whose inputs the network rounds itself: A must see them unrounded, and B's result
    must not be scaled with the matrix's.
    """
    makers = {name: step for step in network.steps for name in step.outs}
    found = set()
    for step in network.steps:
        if isinstance(step.op, ops.Project):
            source = makers.get(str(makers[str(step.args[0])].args[0]))
            op = None if source is None else source.op
            if isinstance(op, ops.Table) and op.function == "round":
                found.add(step.op.matrix)
    return found


def _members(matrix: Matrix) -> Iterator[tuple[int, Source]]:
    """Sources of a matrix's members that are tensors of their own."""
    if matrix.members is None:
        yield 0, matrix.source
    elif isinstance(matrix.source, Stack):
        yield from enumerate(matrix.source.of)


def _is_stack(matrix: Matrix) -> bool:
    """Whether a bank is one parameter [members, columns, rows] of the model, as gpt-oss has it."""
    source = matrix.source
    options = source.of if isinstance(source, Either) else (source,)
    return matrix.members is not None and any(
        isinstance(option, Transpose)
        and option.order == (0, 2, 1)
        and isinstance(option.of, Tensor)
        for option in options
    )


def _place(module: str, matrix: Matrix, member: int, source: Source, leaf: Tensor) -> AdapterTarget:
    if len(leaf.shape) != 2:
        raise DamagedAdapter(f"{module}: has weights {list(leaf.shape)}, not of a linear module")
    rows, columns = leaf.shape
    if source == leaf:
        return AdapterTarget(matrix, member, (rows, columns), np.arange(rows), np.arange(columns))
    by_row = _moved(source, leaf, np.arange(rows)[:, None])
    by_column = _moved(source, leaf, np.arange(columns)[None])
    if (by_row != by_row[:, :1]).any() or (by_column != by_column[:1]).any():
        raise DamagedAdapter(f"{module}: {matrix.name} takes its rows apart; no adapter fits that")
    return AdapterTarget(matrix, member, (rows, columns), by_row[:, 0], by_column[0])


def _moved(source: Source, leaf: Tensor, numbers: Int64) -> Int64:
    tensors = {leaf.name: np.broadcast_to(numbers, leaf.shape)}
    return np.asarray(read_source(source, tensors, lambda blocks, scales: blocks))
