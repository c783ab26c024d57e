"""Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): heads share one key, the latent.

h ─► q_a ─► norm ─► q_b ─► heads ─┬ content ─► keys of kv_b, turned round ─┬► q ─┐
                                  └ angles ─► rope ────────────────────────┘     ├► attention ─┐
h ─► kv_a ─┬ latent ─► norm ─┬─► k (and values) ─────────────────────────────────┘             │
           └ angles ─► rope ─┘                                values of kv_b ◄─────────────────┘
                                                                    └─► o
What is kept of a position is the latent, not the keys and values of every head: a head's part of
kv_b that would make keys is applied to its query instead, the part that would make values to the
mixture.  The products are the same, in another order (section 2.1.2 there).
"""

from __future__ import annotations

from dataclasses import dataclass

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.model.families._parts import linear, weights
from hnlpu.model.network import (
    Cut,
    Matrix,
    Reshaped,
    Slice,
    Source,
    Tensor,
    Transpose,
    Value,
    ops,
)
from hnlpu.model.network.composites import attend, dense, dense_all, norm, rope

LATENT_EPS = 1e-6
"""Of the norms of latents, whatever the config says of others; transformers, `DeepseekV3RMSNorm`."""


@dataclass(frozen=True)
class LatentSizes:
    """Sizes and switches: numbers of a head without and with angles, of its values; ranks.

    `query_rank` is None where queries have no latent of their own.
    """

    heads: int
    content: int
    angles: int
    value: int
    rank: int
    query_rank: int | None
    bias: bool
    interleaved: bool
    scale: float


def latent_attention(h: Value, prefix: str, by: tuple[Value, Value], a: LatentSizes) -> Value:
    """What attention adds to the residual stream, of normed values h [n]."""
    b, (width,) = h.builder, h.sizes
    down, out = (
        b.matrix(_rows(prefix + name, rows, columns, bias=a.bias))
        for name, rows, columns in (
            ("kv_a_proj_with_mqa", a.rank + a.angles, width), ("o_proj", width, a.heads * a.value),
        )
    )  # fmt: skip
    flat, kept = _queries_and_latent(h, prefix, down, a)
    content, angles = flat.reshape(a.heads, a.content + a.angles).split(a.content, a.angles)
    latent, shared = kept.split(a.rank, a.angles)
    latent = norm(latent, weights(b, prefix + "kv_a_layernorm", a.rank), LATENT_EPS)
    keys, values = (b.matrix(m) for m in _of_heads(prefix + "kv_b_proj", a))
    queries = b.step(ops.Concat(), dense(content, keys), _turned(angles, by, a))
    one_head = latent.reshape(1, a.rank), _turned(shared.reshape(1, a.angles), by, a)
    key, value = (b.step(ops.Concat(), *one_head) for _ in range(2))  # kept as both
    mixed = attend(queries, key, value, scale=a.scale).reshape(a.heads, a.rank + a.angles)
    mixed, _ = mixed.split(a.rank, a.angles)
    return dense(dense(mixed, values).reshape(a.heads * a.value), out)


def _queries_and_latent(h: Value, prefix: str, down: Matrix, a: LatentSizes) -> tuple[Value, Value]:
    """Queries of all heads one behind the other, and what is kept of the position."""
    b, (width,), rows = h.builder, h.sizes, a.heads * (a.content + a.angles)
    if a.query_rank is None:
        return dense_all(h, b.matrix(_rows(prefix + "q_proj", rows, width)), down)  # type: ignore[return-value]  # two matrices, two values
    first = b.matrix(_rows(prefix + "q_a_proj", a.query_rank, width, bias=a.bias))
    second = b.matrix(_rows(prefix + "q_b_proj", rows, a.query_rank))
    low, kept = dense_all(h, first, down)
    low = norm(low, weights(b, prefix + "q_a_layernorm", a.query_rank), LATENT_EPS)
    return dense(low, second), kept


def _rows(name: str, rows: int, columns: int, *, bias: bool = False) -> Matrix:
    return linear(name, rows, columns, "attention", Cut("rows"), bias=bias)


def _of_heads(name: str, a: LatentSizes) -> tuple[Matrix, Matrix]:
    """The two parts of kv_b, a member for each head: for keys [rank, content], values [value, rank]."""
    each = a.content + a.value
    whole = Tensor(f"{name}.weight", (a.heads * each, a.rank))
    by_head = Reshaped(whole, (a.heads, each, a.rank))
    keys = Transpose(Slice(by_head, 1, 0, a.content), (0, 2, 1))
    values = Slice(by_head, 1, a.content, each)

    def bank(what: str, rows: int, columns: int, source: Source) -> Matrix:
        return Matrix(
            f"{name}.{what}", rows, columns, "attention", Cut("members"), source,
            members=a.heads, padding=-columns % BLOCK,
        )  # fmt: skip

    return bank("keys", a.rank, a.content, keys), bank("values", a.value, a.rank, values)


def _turned(x: Value, by: tuple[Value, Value], a: LatentSizes) -> Value:
    """Heads [..., angles] turned; where pairs are neighbours, their first numbers come to stand first."""
    rows, size = x.sizes
    if a.interleaved:
        x = x.reshape(rows, size // 2, 2).permute(0, 2, 1).reshape(rows, size)
    return rope(x, by)
