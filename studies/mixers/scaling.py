"""How far attention over several processors goes, by a plain formula, beside what was claimed.

vanilla   scores and shares of a head lie in memory whole: written, read and written, read
shards    every processor has some of the positions; scores never lie in memory; parts are exchanged

Time is that of the slowest of arithmetic and memory, exchange comes on top.  No machine of this
project takes part.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path

BYTES = 4
"""Of a float32."""
SCORE_PASSES = 4
"""Times that scores or shares cross the memory's wires: Q K^T writes, softmax reads and writes, S V reads."""


@dataclass(frozen=True)
class Processor:
    """Rates of one processor: FLOPs and bytes per second, and bytes of memory."""

    flops_per_s: float
    memory_bytes_per_s: float
    link_bytes_per_s: float
    memory_bytes: float


def processor() -> Processor:
    """The processor of the claim, as processor.toml has it."""
    values = tomllib.loads((Path(__file__).parent / "processor.toml").read_text("utf-8"))
    return Processor(**{name: value["value"] for name, value in values.items()})


@dataclass(frozen=True)
class Attention:
    """Attention among all pairs of positions, as the claim has it: not causal."""

    positions: int
    heads: int = 16
    head_dim: int = 64

    @property
    def flops(self) -> float:
        """Two products of 2 * d FLOPs per pair and head."""
        return 4.0 * self.positions**2 * self.heads * self.head_dim

    @property
    def vector_bytes(self) -> float:
        """Of queries, or keys, values, outputs."""
        return float(self.positions * self.heads * self.head_dim * BYTES)


def vanilla_seconds(of: Attention, by: Processor) -> float:
    """On one processor, were its memory large enough."""
    moved = SCORE_PASSES * of.heads * of.positions**2 * BYTES + 4 * of.vector_bytes
    return max(of.flops / by.flops_per_s, moved / by.memory_bytes_per_s)


def sharded_seconds(of: Attention, by: Processor, shards: int) -> float:
    """On several, each with all queries and its share of the positions."""
    moved = (2 + 2 / shards) * of.vector_bytes
    part = max(of.flops / shards / by.flops_per_s, moved / by.memory_bytes_per_s)
    # each gives the others' rows of its parts away, and takes in those of its own rows
    numbers = of.positions * of.heads * (of.head_dim + 2) * (shards - 1) / shards
    return part + numbers * BYTES / by.link_bytes_per_s


def vanilla_pairs(by: Processor, of: Attention) -> float:
    """Pairs of positions whose scores and shares fit the memory of one processor."""
    return by.memory_bytes / (2 * of.heads * BYTES)


def sharded_pairs(by: Processor, of: Attention, shards: int) -> float:
    """Pairs where every shard keeps all queries and outputs, and its share of keys and values."""
    per_position = of.heads * of.head_dim * BYTES * (2 + 2 / shards)
    return (by.memory_bytes / per_position) ** 2


def figures(shards: int = 4, positions: int = 32_768) -> dict[str, float]:
    """Speed and span of shards over vanilla attention on one processor, and what each part adds."""
    by, of = processor(), Attention(positions)
    one = sharded_seconds(of, by, 1)
    return {
        "speedup": vanilla_seconds(of, by) / sharded_seconds(of, by, shards),
        "speedup by sharding alone": one / sharded_seconds(of, by, shards),
        "speedup by scores that do not lie in memory": vanilla_seconds(of, by) / one,
        "span": sharded_pairs(by, of, shards) / vanilla_pairs(by, of),
        "span where every shard keeps its scores": float(shards),
        "positions that fit one processor, vanilla": math.sqrt(vanilla_pairs(by, of)),
        "positions that fit the shards": math.sqrt(sharded_pairs(by, of, shards)),
    }
