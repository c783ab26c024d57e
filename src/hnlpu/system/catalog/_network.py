"""A network -> `NetworkShape`: what is to be known of a model beside its tasks, in one place."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from hnlpu.model.checkpoint import NO_LIMIT, read_network, shapes_of
from hnlpu.model.network import (
    Append,
    Either,
    Matrix,
    Mxfp4,
    Network,
    Replace,
    Ring,
    Role,
    Source,
    State,
    ValueType,
    all_steps,
    check,
    ops,
)
from hnlpu.silicon.hardwire import MANIFEST, network_of_build, read_manifest
from hnlpu.silicon.place import grid_limits

MXFP4_BITS, PLAIN_BITS = 4.25, 16.0
"""Bits of a weight with its share of a scale, and of one in bfloat16."""


@dataclass(frozen=True)
class NetworkShape:
    """A model by its network; `name` is that of the folder that it lies in."""

    name: str
    title: str
    network: Network = field(repr=False)

    @cached_property
    def types(self) -> Mapping[str, ValueType]:
        """Types of all values."""
        return check(self.network)

    @property
    def layers(self) -> int:
        """Blocks of the network, 1 where it has none."""
        return max(1, len({step.block for step in self.network.steps} - {None}))

    @property
    def hidden(self) -> int:
        """Inputs of the last matrix, which makes the outputs."""
        return self.network.matrices[-1].columns

    @property
    def positions(self) -> int:
        """Positions that it was made for; `NO_LIMIT` where nothing limits them."""
        return self.network.context or NO_LIMIT

    # -- weights -------------------------------------------------------------------------------

    def weights(self) -> dict[Role, int]:
        """Weights of each role; tables and norms are memory, not metal."""
        total: dict[Role, int] = {}
        for matrix in self.network.matrices:
            total[matrix.role] = total.get(matrix.role, 0) + _weights(matrix)
        return total

    @property
    def hardwired_weights(self) -> int:
        """Weights that become metal."""
        return sum(self.weights().values())

    @property
    def active_weights(self) -> int:
        """Hardwired weights that one token meets: of a matrix with members, those chosen."""
        return sum(
            _weights(m) // m.count * self.chosen.get(m.name, m.count) for m in self.network.matrices
        )

    @property
    def embedding_weights(self) -> int:
        """Values of the tables in memory that tokens look up."""
        tables = {op.table for op in self._ops() if isinstance(op, ops.Lookup)}
        return sum(math.prod(p.shape) for p in self.network.parameters if p.name in tables)

    @cached_property
    def chosen(self) -> dict[str, int]:
        """Members that a token chooses, by the matrices that have members to choose."""
        return {
            step.op.matrix: _length(self.types[str(step.args[1])])
            for step in self.network.steps
            if isinstance(step.op, ops.Project) and step.op.members == "chosen"
        }

    @property
    def expert_count(self) -> int:
        """Members that a token chooses among, 0 where there are none."""
        return max((m.count for m in self.network.matrices if m.name in self.chosen), default=0)

    def stored(self) -> list[tuple[int, float]]:
        """Weights of each role, and bits of one: MXFP4 where it may be stored so, else bfloat16."""

        def bits(role: Role) -> float:
            matrices = [m for m in self.network.matrices if m.role == role]
            return max(MXFP4_BITS if _may_be_mxfp4(m.source) else PLAIN_BITS for m in matrices)

        return [(count, bits(role)) for role, count in self.weights().items()]

    def hardwired_bits(self) -> float:
        """Bits of all hardwired weights as the checkpoint stores them."""
        return sum(count * bits for count, bits in self.stored())

    # -- states and chips ------------------------------------------------------------------------

    @property
    def kv_values_per_position(self) -> int:
        """Values that all growing states together keep for one position inside every window."""
        return sum(_size(s) for s in self.network.states if isinstance(s.keeps, Append))

    @property
    def held_values(self) -> int:
        """Values of a sequence in all states of fixed size, however long it is."""
        return sum(map(_held, self.network.states))

    @property
    def has_windows(self) -> bool:
        """Whether layers see only a window."""
        keeps = [state.keeps for state in self.network.states]
        return any(isinstance(keep, Append) and keep.window for keep in keeps)

    @property
    def most_columns(self) -> int:
        """Columns of chips that its heads can be shared out to; 256 where nothing is cut by heads."""
        limits = grid_limits(shapes_of(self.network))
        return limits.columns if limits.groups else 256

    def _ops(self) -> Iterator[ops.Op]:
        return (step.op for step in all_steps(self.network.steps))


def shape_of_folder(folder: Path, name: str | None = None) -> NetworkShape:
    """The model of a build or of a checkpoint; `name` stands for the folder's.

    Raises NotABuild, DamagedBuild, CheckpointNotFound, InvalidConfig and their like.
    """
    if (folder / MANIFEST).exists():
        network = network_of_build(folder, read_manifest(folder))
    else:
        network = read_network(folder)
    return shape_of_network(network, name or folder.resolve().name)


def shape_of_network(network: Network, name: str) -> NetworkShape:
    """A network under a name, which may be that of any folder."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("._-")
    title = (name if name.isprintable() else ascii(name))[:200]
    return NetworkShape(plain[:64] or "checkpoint", title, network)


def _weights(matrix: Matrix) -> int:
    return matrix.count * matrix.rows * matrix.columns


def _length(numbers: ValueType) -> int:
    """Members that numbers choose."""
    return math.prod(dim for dim in numbers.shape[-1:] if isinstance(dim, int))


def _may_be_mxfp4(source: Source) -> bool:
    if isinstance(source, Either):
        return any(map(_may_be_mxfp4, source.of))
    return isinstance(source, Mxfp4)


def _size(state: State) -> int:
    return math.prod(state.shape)


def _held(state: State) -> int:
    match state.keeps:
        case Replace():
            return _size(state)
        case Ring(length):
            return length * _size(state)
        case Append():
            return 0
