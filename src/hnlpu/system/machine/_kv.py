"""Keys and values: how many bytes there are, what holds them, and what of them streams from HBM.

The attention buffer keeps the windows of sliding layers first (every token reads all of them), then
the share of the other layers that is left room for; the rest is read from HBM each time.
"""

from __future__ import annotations

from dataclasses import dataclass

from hnlpu.system.machine._specification import Specification
from hnlpu.system.machine._work import LayerWork, TokenWork

EMBEDDING_BYTES = 2  # a value of the embedding table, bfloat16


@dataclass(frozen=True)
class KvState:
    """Bytes of the whole machine; `spilled` shares of windowed and of other layers are in HBM."""

    bytes: float
    capacity_bytes: float
    spilled_full: float
    spilled_window: float

    @property
    def fits(self) -> bool:
        """Whether buffer and HBM hold everything."""
        return self.bytes <= self.capacity_bytes

    def spilled(self, work: LayerWork) -> float:
        """Share of a layer's keys and values that streams from HBM."""
        return self.spilled_full if work.window is None else self.spilled_window


def position_bytes(spec: Specification, work: LayerWork) -> float:
    """Bytes that all chips together keep for one position of a layer."""
    return spec.columns * work.kv_values * spec.kv_bits / 8


def capacity_bytes(spec: Specification, embedding_values: int) -> float:
    """Bytes for keys and values: all buffers and all HBM less the embedding table."""
    hbm = max(0.0, spec.chips * spec.hbm_bytes - EMBEDDING_BYTES * embedding_values)
    return spec.chips * spec.buffer_bytes + hbm


def sequence_bytes(spec: Specification, work: TokenWork, context: int) -> tuple[float, float]:
    """Bytes of one sequence of `context` positions in full layers, and in windowed ones."""
    full = windowed = 0.0
    for i, kind in enumerate(work.kinds):
        size = work.count(i) * kind.positions(context) * position_bytes(spec, kind)
        if kind.window is None:
            full += size
        else:
            windowed += size
    return full, windowed


def kv_state(
    spec: Specification, work: TokenWork, embedding_values: int, batch: int, context: int
) -> KvState:
    """The state with `batch` sequences of `context` positions each."""
    full, windowed = (batch * size for size in sequence_bytes(spec, work, context))
    buffers = spec.chips * spec.buffer_bytes
    spilled_full, spilled_window = spilled_shares(buffers, full, windowed)
    capacity = capacity_bytes(spec, embedding_values)
    return KvState(full + windowed, capacity, spilled_full, spilled_window)


def spilled_shares(buffers: float, full: float, windowed: float) -> tuple[float, float]:
    """Shares of full and of windowed layers beyond the buffers, windows served first."""
    left = max(0.0, buffers - windowed)
    spilled_full = 1 - left / full if full > left else 0.0
    spilled_window = 1 - buffers / windowed if windowed > buffers else 0.0
    return spilled_full, spilled_window
