"""What transformers of several families share: names and forms of their tensors."""

from __future__ import annotations

import math

from hnlpu.families._rope import AnyRope
from hnlpu.network import BLOCK, Builder, Cut, Either, Given, Matrix, Role, Tensor, Value
from hnlpu.network.composites import attend, dense, dense_all, glu, norm, rope, turns

EMBEDDING = "model.embed_tokens"
FINAL_NORM = "model.norm"
UNEMBEDDING = "lm_head"
Turns = tuple[Value, Value]


def weights(b: Builder, name: str, size: int) -> Value:
    """A vector kept in memory under its tensor's name."""
    return b.parameter(f"{name}.weight", (size,), Tensor(f"{name}.weight", (size,)))


def linear(
    name: str, rows: int, columns: int, role: Role, cut: Cut, *, bias: bool = False
) -> Matrix:
    """A matrix as torch.nn.Linear stores it, `columns` padded to whole blocks."""
    biases = Tensor(f"{name}.bias", (rows,)) if bias else None
    source = Tensor(f"{name}.weight", (rows, columns))
    return Matrix(name, rows, columns, role, cut, source, biases, padding=-columns % BLOCK)


def embed(b: Builder, name: str, vocab: int, width: int) -> Value:
    """The token's row of the embedding table."""
    table = f"{name}.weight"
    shape = (vocab, width)
    return b.lookup(b.parameter(table, shape, Tensor(table, shape)), b.token())


def unembed(x: Value, vocab: int, *, tied: str | None = None, bias: bool = False) -> Value:
    """Logits; where they are tied to the embedding `tied`, lm_head may be left out of the file."""
    (width,) = x.sizes
    shape = (vocab, width)
    matrix = linear(UNEMBEDDING, vocab, width, "unembedding", Cut("rows"), bias=bias)
    if tied is not None:
        source = Either((matrix.source, Tensor(f"{tied}.weight", shape)))
        matrix = Matrix(
            matrix.name, vocab, width, matrix.role, matrix.cut, source, matrix.bias,
            padding=matrix.padding,
        )  # fmt: skip
    return dense(x, x.builder.matrix(matrix))


def turned(b: Builder, by: AnyRope, head_dim: int) -> Turns:
    """Cosines and sines of the position, shared by all layers."""
    frequencies, factor = by.frequencies(head_dim)
    values = tuple(float(value) for value in frequencies)
    table = b.parameter("rope.frequencies", (len(values),), Given(values, (len(values),)))
    return turns(b.position(), table, factor)


def attention(
    h: Value, prefix: str, by: Turns, heads: int, kv_heads: int, size: int, *,
    biases: bool = False, output_bias: bool = False, window: int | None = None,
    sink: Value | None = None, qk_norm_eps: float | None = None,
) -> Value:  # fmt: skip
    """Attention of h through q, k, v and o, with a norm of each head where `qk_norm_eps` says so."""
    b, (width,) = h.builder, h.sizes
    group, together = heads // kv_heads * size, prefix.rstrip(".")
    q, k, v, o = (
        b.matrix(linear(prefix + name, rows, columns, "attention", cut, bias=bias))
        for name, rows, columns, cut, bias in (
            ("q_proj", heads * size, width, Cut("heads_out", group, together), biases),
            ("k_proj", kv_heads * size, width, Cut("heads_out", size, together), biases),
            ("v_proj", kv_heads * size, width, Cut("heads_out", size, together), biases),
            ("o_proj", width, heads * size, Cut("heads_in", group, together), output_bias),
        )
    )
    queries, keys, values = dense_all(h, q, k, v)
    queries, keys = queries.reshape(heads, size), keys.reshape(kv_heads, size)
    if qk_norm_eps is not None:
        queries = norm(queries, weights(b, prefix + "q_norm", size), qk_norm_eps)
        keys = norm(keys, weights(b, prefix + "k_norm", size), qk_norm_eps)
    mixed = attend(
        rope(queries, by), rope(keys, by), values.reshape(kv_heads, size),
        scale=1.0 / math.sqrt(size), window=window, sink=sink,
    )  # fmt: skip
    return dense(mixed, o)


def feed_forward(h: Value, prefix: str, inner: int, *, bias: bool = False) -> Value:
    """down(silu(gate(h)) * up(h))."""
    b, (width,) = h.builder, h.sizes
    gate, up, down = (
        b.matrix(linear(prefix + name, rows, columns, "feed_forward", Cut("rows"), bias=bias))
        for name, rows, columns in (
            ("gate_proj", inner, width), ("up_proj", inner, width), ("down_proj", width, inner),
        )
    )  # fmt: skip
    return glu(h, gate, up, down)
