"""What models of several families share: names and forms of their tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.model.network import (
    Builder,
    Cut,
    Either,
    Given,
    Input,
    Matrix,
    Role,
    Slice,
    Tensor,
    Value,
)
from hnlpu.model.network.composites import Gate, dense, glu

Activation = Literal["silu", "gelu", "gelu_pytorch_tanh"]
GATES: Mapping[Activation, Gate] = {
    "silu": "silu", "gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh",
}  # fmt: skip
"""Activations as configs name them, and the gates that they make."""
GUESSES = "layers that guess the token after the next: no logits of the next one depend on them"
"""Why multi-token prediction is left out."""


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


def recurrence(
    b: Builder, name: str, gates: int, x: Value, hidden: int, *, bias: bool
) -> tuple[Matrix, Matrix]:
    """The two matrices of a recurrent layer as torch.nn names them: of x, and of its own output.

    `name` has places for "weight" or "bias" and for "ih" or "hh": gru.{}_{}_l0.
    """

    def one(of: str, columns: int) -> Matrix:
        rows = gates * hidden
        source = Tensor(name.format("weight", of), (rows, columns))
        biases = Tensor(name.format("bias", of), (rows,)) if bias else None
        return b.matrix(
            Matrix(
                source.name, rows, columns, "recurrence", Cut("rows"), source, biases,
                padding=-columns % BLOCK,
            )
        )  # fmt: skip

    return one("ih", x.sizes[0]), one("hh", hidden)


def signals(b: Builder, size: int) -> Value:
    """The input of a network of signals: `size` numbers at every position."""
    return b.input(Input("signals", "data", (size,), "real"))


def pieces(name: str, matrices: Sequence[Matrix]) -> list[Matrix]:
    """Matrices without bias whose rows lie one behind the other in the tensor `name`."""
    total = sum(matrix.rows for matrix in matrices)
    whole = Tensor(f"{name}.weight", (total, matrices[0].columns))
    made, start = [], 0
    for matrix in matrices:
        made.append(replace(matrix, source=Slice(whole, 0, start, start + matrix.rows)))
        start += matrix.rows
    return made


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


def gated(
    h: Value, prefix: str, inner: int, *, bias: bool = False, act: Activation = "silu",
    fused: bool = False,
) -> Value:  # fmt: skip
    """The feed-forward block down(act(gate(h)) * up(h)); `fused`: a tensor holds gate and up."""
    b, (width,) = h.builder, h.sizes
    gate, up, down = (
        linear(prefix + name, rows, columns, "feed_forward", Cut("rows"), bias=bias)
        for name, rows, columns in (
            ("gate_proj", inner, width), ("up_proj", inner, width), ("down_proj", width, inner),
        )
    )  # fmt: skip
    if fused:
        gate, up = pieces(prefix + "gate_up_proj", (gate, up))
    return glu(h, b.matrix(gate), b.matrix(up), b.matrix(down), by=GATES[act])


def times(x: Value, factor: float) -> Value:
    """x times a number; x itself where it is one."""
    return x if factor == 1.0 else x * factor


def capped(x: Value, cap: float | None, name: str) -> Value:
    """x bounded to cap * tanh(x / cap); x itself where there is no cap.

    The cap is kept under a name: times a number that is kept, what is finer than a value becomes one.
    """
    if cap is None:
        return x
    return (x / cap).table("tanh") * x.builder.parameter(name, (), Given((cap,), ()))
