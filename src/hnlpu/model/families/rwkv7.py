"""RWKV-7 (arXiv 2503.14456) as flash-linear-attention stores it: a memory instead of attention.

x ─► norm ─► mixed with the position before ─┬► r, k, v ──────────────────────┐
                                             └► low rank: decay, rate, gate ──┴► memory ─► norm ─► * gate ─► o ─► +
x ─► norm ─► mixed with the position before ─► key ─► square of what is above 0 ─► value ─► +
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.model.families._config import SIZE_LIMIT, Config
from hnlpu.model.families._family import Family
from hnlpu.model.families._parts import embed, linear, unembed
from hnlpu.model.families._state_space import vector
from hnlpu.model.network import (
    Builder,
    Cut,
    Matrix,
    Network,
    Reshaped,
    Ring,
    Tensor,
    Value,
    ops,
)
from hnlpu.model.network.composites import dense, layer_norm, unit_norm, wkv7

SLOWEST = -0.6065306597126334
"""-e^(-1/2): decays are e^(this * sigmoid), so from 0.545 to 1 (arXiv 2503.14456, section 4)."""


class Rwkv7(Config):
    """config.json of RWKV-7."""

    harmless: ClassVar[dict[str, str]] = {
        "attn_mode": "how another library runs it",
        "fuse_cross_entropy": "a loss: training only",
        "fuse_linear_cross_entropy": "a loss: training only",
        "hidden_ratio": "intermediate_size follows from it",
        "use_l2warp": "a loss: training only",
    }

    head_dim: int = Field(64, ge=1, le=4096)
    num_heads: int = Field(ge=1, le=SIZE_LIMIT)
    value_dim: tuple[int, ...]
    intermediate_size: int = Field(ge=1, le=SIZE_LIMIT)
    decay_low_rank_dim: int = Field(64, ge=1, le=SIZE_LIMIT)
    gate_low_rank_dim: int = Field(128, ge=1, le=SIZE_LIMIT)
    a_low_rank_dim: int = Field(64, ge=1, le=SIZE_LIMIT)
    v_low_rank_dim: int = Field(16, ge=1, le=SIZE_LIMIT)
    hidden_act: Literal["sqrelu"] = "sqrelu"
    norm_first: bool = True
    norm_bias: Literal[True] = True
    norm_eps: float = Field(1e-5, gt=0, lt=1)
    fuse_norm: bool = True

    @classmethod
    def normalise(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Widths follow from hidden_size where the file is silent."""
        width, layers = values.get("hidden_size"), values.get("num_hidden_layers")
        ratio, size = values.get("hidden_ratio", 4), values.setdefault("head_dim", 64)
        if isinstance(width, int) and isinstance(size, int) and 0 < size <= width <= SIZE_LIMIT:
            values.setdefault("num_heads", width // size)
            if isinstance(ratio, int | float) and 0 < ratio <= 64:
                values.setdefault("intermediate_size", BLOCK * -(-int(width * ratio) // BLOCK))
        if isinstance(values.get("value_dim", width), int) and isinstance(layers, int):
            values["value_dim"] = [values.get("value_dim", width)] * min(layers, 1024)
        return values

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        if self.num_heads * self.head_dim != self.hidden_size:
            raise ValueError(
                f"num_heads * head_dim is {self.num_heads * self.head_dim}, hidden_size is "
                f"{self.hidden_size}"
            )
        if (
            set(self.value_dim) != {self.hidden_size}
            or len(self.value_dim) != self.num_hidden_layers
        ):
            raise ValueError("value_dim is not hidden_size in every layer")
        return self


def network(c: Rwkv7) -> Network:
    """The network of a config."""
    b = Builder("rwkv7", context=c.max_position_embeddings)
    x = embed(b, "model.embeddings", c.vocab_size, c.hidden_size)
    first: Value | None = None
    for layer in range(c.num_hidden_layers):
        prefix = f"model.layers.{layer}."
        with b.block(layer):
            if layer == 0 and c.norm_first:
                x = _normed(x, prefix + "pre_norm", c)
            mixed, first = _mixer(_normed(x, prefix + "attn_norm", c), prefix + "attn.", first, c)
            x = x + mixed
            x = x + _feed_forward(_normed(x, prefix + "ffn_norm", c), prefix + "ffn.", c)
    tied = "model.embeddings" if c.tie_word_embeddings else None
    return b.finish(unembed(_normed(x, "model.norm", c), c.vocab_size, tied=tied))


def _normed(x: Value, name: str, c: Rwkv7) -> Value:
    weight, bias = (vector(x.builder, f"{name}.{of}", *x.sizes) for of in ("weight", "bias"))
    return layer_norm(x, weight, bias, c.norm_eps)


def _change(x: Value) -> Value:
    """The position before minus this one; nothing stands before the first."""
    (n,) = x.sizes
    before, _ = x.builder.keep("shift", x, Ring(2)).split(1, 1, axis=0)
    return before.reshape(n) - x


def _mixer(h: Value, prefix: str, first: Value | None, c: Rwkv7) -> tuple[Value, Value]:
    """What the memory adds, and the first layer's values, which later ones are mixed with."""
    b, n, heads, size = h.builder, c.hidden_size, c.num_heads, c.head_dim
    change = _change(h)

    def mixed(of: str) -> Value:
        tensor = Tensor(f"{prefix}x_{of}", (1, 1, n))
        return h + change * b.parameter(tensor.name, (n,), Reshaped(tensor, (n,)))

    def projected(of: str, x: Value) -> Value:
        return dense(x, b.matrix(_rows(f"{prefix}{of}_proj", n, n)))

    r, k, xv = projected("r", mixed("r")), projected("k", mixed("k")), mixed("v")
    v = projected("v", xv)
    decay = _low_rank(mixed("w"), prefix + "w_lora", c.decay_low_rank_dim, "tanh")
    decay = (decay.table("sigmoid", SLOWEST)).table("exp")
    if first is None:
        first = v
    else:
        share = _low_rank(xv, prefix + "v_lora", c.v_low_rank_dim).table("sigmoid")
        v = v + (first - v) * share
    rate = _low_rank(mixed("a"), prefix + "a_lora", c.a_low_rank_dim).table("sigmoid")
    gate = _low_rank(mixed("g"), prefix + "g_lora", c.gate_low_rank_dim, "sigmoid", bias=False)
    key = unit_norm(
        (k * vector(b, prefix + "k_k", n)).reshape(heads, size), 1e-6 if c.fuse_norm else 1e-24
    )
    k = k * ((rate - 1.0) * vector(b, prefix + "k_a", n) + 1.0)
    r, k, v_heads, decay, rate = (x.reshape(heads, size) for x in (r, k, v, decay, rate))
    y = wkv7(r, k, v_heads, decay, key, rate)
    weight, bias = (
        vector(b, f"{prefix}g_norm.{of}", n).reshape(heads, size) for of in ("weight", "bias")
    )
    y = layer_norm(y, weight, bias, size * c.norm_eps)
    bonus = (r * k * vector(b, prefix + "r_k", heads, size)).sum(keep=True)
    y = (y + v_heads * bonus).reshape(n) * gate
    return projected("o", y), first


def _low_rank(
    x: Value, name: str, rank: int, by: ops.Function | None = None, *, bias: bool = True
) -> Value:
    """Down to `rank` numbers, perhaps through a function, and up again."""
    b, (n,) = x.builder, x.sizes
    down, up = (
        b.matrix(_rows(f"{name}.lora.{of}", rows, columns, bias=biased))
        for of, rows, columns, biased in ((0, rank, n, False), (2, n, rank, bias))
    )
    low = dense(x, down)
    return dense(low if by is None else low.table(by), up)


def _feed_forward(h: Value, prefix: str, c: Rwkv7) -> Value:
    b, n = h.builder, c.hidden_size
    key, value = (
        b.matrix(linear(prefix + name, rows, columns, "feed_forward", Cut("rows")))
        for name, rows, columns in (("key", c.intermediate_size, n), ("value", n, c.intermediate_size))
    )  # fmt: skip
    x = dense(h + _change(h) * vector(b, prefix + "x_k", n), key)
    x = b.step(ops.Maximum(), x, 0.0)
    return dense(x * x, value)


def _rows(name: str, rows: int, columns: int, *, bias: bool = False) -> Matrix:
    return linear(name, rows, columns, "mixer", Cut("rows"), bias=bias)


FAMILY = Family(
    ("rwkv7",), Rwkv7, network, models="RWKV-7, as flash-linear-attention stores it",
    reader="a definition in torch from its paper (tests/rwkv7_by_hand.py)",
    gaps=(
        "layers of attention among the others (`attn`)", "norms without bias",
        "checkpoints whose six `x_` vectors lie in one tensor `x_x`",
    ),
)  # fmt: skip
