"""Small machines and models with round numbers, for schedules that can be done by hand."""

from __future__ import annotations

from typing import Any

from hnlpu.arithmetic.exchange import ExchangeFormats, Widths
from hnlpu.quantities import Quantity
from hnlpu.system.catalog import Attention, Dense, ExpertsShape, ModelShape, WeightFormat
from hnlpu.system.machine import Links, Specification

SIXTEEN = WeightFormat(
    format="bf16", bits=Quantity(16, 16, 16, "bit/weight", "a test's own number")
)


def make_model(
    *, layers: int = 1, hidden: int = 64, heads: int = 4, kv_heads: int = 2, head_dim: int = 64,
    vocabulary: int = 64, window: int | None = None, experts: tuple[int, int] | None = None,
    width: int = 64,
) -> ModelShape:  # fmt: skip
    groups = ["attention", "unembedding", "embedding"]
    groups += ["router", "experts"] if experts else ["dense"]
    return ModelShape(
        name="small", title="small", source="a test", layers=layers, hidden=hidden,
        vocabulary=vocabulary, positions=2**20,
        attention=Attention(
            heads=heads, kv_heads=kv_heads, head_dim=head_dim, window=window,
            pattern=["sliding", "full"] if window else ["full"],
        ),
        experts=ExpertsShape(count=experts[0], active=experts[1], width=width) if experts else None,
        dense=None if experts else Dense(width=width),
        formats=dict.fromkeys(groups, SIXTEEN),
    )  # fmt: skip


def make_machine(**changes: Any) -> Specification:
    values: dict[str, Any] = {
        "rows": 1, "columns": 1, "slots": 4, "clock": 1e9,
        "column_links": Links(1e9, 100e-9), "row_links": Links(1e9, 100e-9),
        "formats": ExchangeFormats.all_of("fp16"), "widths": Widths(), "collective": "direct",
        "sampling": "gather", "heads_per_cycle": 1, "attention_latency": 1.0,
        "vector_latency_cycles": 100, "pass_cycles": 50, "experts_per_bank": 0,
        "buffer_bytes": 1e9, "buffer_bandwidth": 1e15, "hbm_bytes": 1e9, "hbm_bandwidth": 1e12,
        "hbm_latency": 100e-9, "kv_bits": 16,
    }  # fmt: skip
    return Specification(**(values | changes))
