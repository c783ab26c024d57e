"""What models of several families share: names and forms of their tensors."""

from __future__ import annotations

from dataclasses import replace

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.model.network import Builder, Cut, Either, Matrix, Role, Tensor, Value
from hnlpu.model.network.composites import dense, glu


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
    table, shape = f"{name}.weight", (vocab, width)
    return b.lookup(b.parameter(table, shape, Tensor(table, shape)), b.token())


def unembed(x: Value, vocab: int, *, tied: str | None = None, bias: bool = False) -> Value:
    """Logits; where they are tied to the embedding `tied`, lm_head may be left out of the file."""
    (width,) = x.sizes
    matrix = linear("lm_head", vocab, width, "unembedding", Cut("rows"), bias=bias)
    if tied is not None:
        embedding = Tensor(f"{tied}.weight", (vocab, width))
        matrix = replace(matrix, source=Either((matrix.source, embedding)))
    return dense(x, x.builder.matrix(matrix))


def gated(h: Value, prefix: str, inner: int, *, bias: bool = False) -> Value:
    """The feed-forward block down(silu(gate(h)) * up(h))."""
    b, (width,) = h.builder, h.sizes
    gate, up, down = (
        b.matrix(linear(prefix + name, rows, columns, "feed_forward", Cut("rows"), bias=bias))
        for name, rows, columns in (
            ("gate_proj", inner, width), ("up_proj", inner, width), ("down_proj", width, inner),
        )
    )  # fmt: skip
    return glu(h, gate, up, down)
