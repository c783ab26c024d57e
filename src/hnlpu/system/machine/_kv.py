"""Keys and values and other states: how many bytes, what holds them, and what streams from HBM.

The attention buffer keeps states of fixed size first (a convolution's last inputs, the memory of a
recurrence: they never leave the chips), then the windows of sliding layers (every token reads all of
them), then the share of the other layers that is left room for; the rest is read from HBM each time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from hnlpu.system.machine._specification import Specification
from hnlpu.system.machine._tasks import CacheTraffic, TokenWork, memories

EMBEDDING_BYTES = 2  # a value of the embedding table, bfloat16
HELD_BYTES = 4  # a number of a state of fixed size, as the vector unit has it


@dataclass(frozen=True)
class KvState:
    """Bytes of the whole machine; `spilled` shares of windowed and of other layers are in HBM.

    `held_bytes` of them are of states of fixed size, which the buffers (`buffer_bytes`) must hold.
    """

    bytes: float
    capacity_bytes: float
    spilled_full: float
    spilled_window: float
    held_bytes: float = 0.0
    buffer_bytes: float = 0.0

    @property
    def fits(self) -> bool:
        """Whether buffer and HBM hold everything."""
        return self.bytes <= self.capacity_bytes and self.held_bytes <= self.buffer_bytes

    def spilled(self, memory: CacheTraffic) -> float:
        """Share of a layer's keys and values that streams from HBM."""
        return self.spilled_full if memory.window is None else self.spilled_window


def position_bytes(spec: Specification, memory: CacheTraffic) -> float:
    """Bytes that all chips together keep for one position of a layer."""
    return spec.columns * memory.kv_values * spec.kv_bits / 8


def held_bytes(spec: Specification, work: TokenWork) -> float:
    """Bytes that all chips together keep of one sequence in states of fixed size, copies too."""
    return float(spec.chips * work.kept_values * HELD_BYTES)


def held_sequences(spec: Specification, work: TokenWork) -> int | None:
    """Sequences whose states of fixed size the buffers hold; None where a model has none."""
    held = held_bytes(spec, work)
    return math.floor(spec.chips * spec.buffer_bytes / held) if held else None


def capacity_bytes(spec: Specification, work: TokenWork, embedding_values: int) -> float:
    """Bytes for states: all buffers and, for keys and values, all HBM less the embedding table."""
    if not any(memories(kind) for kind in work.kinds):
        return spec.chips * spec.buffer_bytes
    hbm = max(0.0, spec.chips * spec.hbm_bytes - EMBEDDING_BYTES * embedding_values)
    return spec.chips * spec.buffer_bytes + hbm


def sequence_bytes(spec: Specification, work: TokenWork, context: int) -> tuple[float, float]:
    """Bytes of one sequence of `context` positions in full layers, and in windowed ones."""
    full = windowed = 0.0
    for i, kind in enumerate(work.kinds):
        for memory in memories(kind):
            positions = memory.positions(context)
            size = work.count(i) * positions * position_bytes(spec, memory)
            if memory.window is None:
                full += size
            else:
                windowed += size
    return full, windowed


def kv_state(
    spec: Specification, work: TokenWork, embedding_values: int, batch: int, context: int
) -> KvState:
    """The state with `batch` sequences of `context` positions each."""
    full, windowed = (batch * size for size in sequence_bytes(spec, work, context))
    held, buffers = batch * held_bytes(spec, work), spec.chips * spec.buffer_bytes
    spilled_full, spilled_window = spilled_shares(max(0.0, buffers - held), full, windowed)
    capacity = capacity_bytes(spec, work, embedding_values)
    return KvState(full + windowed + held, capacity, spilled_full, spilled_window, held, buffers)


def spilled_shares(buffers: float, full: float, windowed: float) -> tuple[float, float]:
    """Shares of full and of windowed layers beyond the buffers, windows served first."""
    left = max(0.0, buffers - windowed)
    spilled_full = 1 - left / full if full > left else 0.0
    spilled_window = 1 - buffers / windowed if windowed > buffers else 0.0
    return spilled_full, spilled_window
