"""Adapters beside the wires of a network of any family.

    network ─► with_low_rank ─► network with A and B as parameters ─► tape, or interpreter

An adapter changes the network, not what runs it: its requests go through a tape of their own, over
the same metal and the same memory.  The last projection, which makes logits, is apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from hnlpu.errors import NotFinite
from hnlpu.model.checkpoint import Architecture, ModelFacts
from hnlpu.model.network import Network
from hnlpu.model.network.composites import LowRankPart, down_name, up_name, with_low_rank
from hnlpu.run.emulate import HardwiredConstants, InterpretedModel
from hnlpu.run.engine._adapter import Adapter, LowRank
from hnlpu.run.engine._batch import Batched, Rows
from hnlpu.run.engine._memory import StateMemory

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
Make = Callable[[InterpretedModel], Batched]


class BatchedBeside:
    """A `Batched` that runs rows without an adapter, and others as adapters need them.

    `network` is the whole network of the build, `logits` the matrix that makes its logits, if one
    does; `make` runs a model.
    """

    def __init__(
        self, plain: Batched, network: Network, facts: Architecture | ModelFacts,
        constants: HardwiredConstants, make: Make, logits: str | None,
    ):  # fmt: skip
        self.plain, self._network, self._facts = plain, network, facts
        self._constants, self._make, self._logits = constants, make, logits
        self._adapted: WeakKeyDictionary[Adapter, Batched] = WeakKeyDictionary()

    def forward(self, rows: Rows, memory: StateMemory, wanted: Int64) -> tuple[Float32, Int64]:
        """As the `Batched` that has the adapter of these rows, or none."""
        run = self.plain if rows.adapter is None else self._with(rows.adapter)
        return run.forward(rows, memory, wanted)

    def logits_in_pieces(
        self, hidden: Float32, adapter: Adapter | None
    ) -> Iterator[tuple[int, Float32]]:
        """Logits of many rows as (first row, logits) pieces.  Raises NotFinite."""
        part = None if adapter is None else adapter.parts.get(self._logits or "")
        for first, logits in self.plain.logits_in_pieces(hidden, None):
            if part is not None:
                with np.errstate(over="ignore", invalid="ignore"):
                    add_low_rank(logits, hidden[first : first + len(logits)], part)
                if not np.isfinite(logits).all():
                    raise NotFinite(
                        "a logit is NaN or infinite; the adapter's values leave float32's range"
                    )
            yield first, logits

    def _with(self, adapter: Adapter) -> Batched:
        """What runs the network with an adapter; made when it is first met."""
        found = self._adapted.get(adapter)
        if found is None:
            constants = self._constants
            network, arrays = beside(self._network, adapter, self._logits)
            model = InterpretedModel(
                network, self._facts, constants.beside(arrays), constants.directory
            )
            found = self._adapted[adapter] = self._make(model)
        return found


def beside(
    network: Network, adapter: Adapter, but: str | None = None
) -> tuple[Network, dict[str, Float32]]:
    """A network with an adapter's parts, but for the matrix `but`, and their A and B by name."""
    matrices = network.declared().matrices
    parts: dict[str, LowRankPart] = {}
    arrays: dict[str, Float32] = {}
    for name, part in adapter.parts.items():
        if name == but:
            continue
        one = matrices[name].members is None
        parts[name] = LowRankPart(part.down.shape[2], part.scaling)
        arrays[down_name(name)] = part.down[0] if one else part.down
        arrays[up_name(name)] = part.up[0] if one else part.up
    return (with_low_rank(network, parts) if parts else network), arrays


def add_low_rank(y: Float32, x: Float32, part: LowRank) -> None:
    """y [n, rows] += its scaling * B (A x) for x [n, columns], in place.

    In the order of the composite `low_rank`: all is float32, sums run in the order of the index.
    """
    inner = _in_order(x, part.down[0])
    y += _in_order(inner, part.up[0]) * np.float32(part.scaling)


def _in_order(x: Float32, matrix: Float32) -> Float32:
    """x [n, m] times matrix [m, k], each product and each sum rounded once."""
    total: Float32 = x[:, :1] * matrix[0]
    for i in range(1, len(matrix)):
        total += x[:, i : i + 1] * matrix[i]
    return total
