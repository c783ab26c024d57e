"""Five architectures as networks: each takes the tensors of the torch model of the same name.

A picture is [height, width, channels] at one position; a convolution is `window`, then a matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.model.network import (
    Builder,
    Cut,
    Input,
    Matrix,
    Network,
    Reshaped,
    Tensor,
    Transpose,
    Value,
    ops,
)
from hnlpu.model.network.composites import attend, dense, dense_all, layer_norm, softmax

EPS = 1e-5


@dataclass(frozen=True)
class Sizes:
    """How large: pictures [side, side, 3] with `channels`, tokens of `width`, so many of them."""

    side: int
    channels: int
    width: int
    heads: int
    layers: int
    tokens: int
    vocabulary: int = 29
    classes: int = 10
    patch: int = 4


def transformer(s: Sizes) -> Network:
    """A causal decoder: one token per position, keys and values kept."""
    b = Builder("transformer", context=s.tokens)
    x = _lookup(b, "embedding", s.vocabulary, s.width, b.token())
    x = x + _lookup(b, "places", s.tokens, s.width, b.position())
    for layer in range(s.layers):
        with b.block(layer):
            name = f"layers.{layer}."
            q, k, v = _heads(b, _norm(b, name + "before", x), name, s)
            mixed = attend(q, k, v, scale=(s.width // s.heads) ** -0.5)
            x = x + dense(mixed, _linear(b, name + "out", s.width, s.width))
            x = x + _feed_forward(b, name, x, s.width)
    return b.finish(dense(_norm(b, "last", x), _linear(b, "head", s.vocabulary, s.width)))


def vision_transformer(s: Sizes) -> Network:
    """Patches of a picture as tokens, all of them at one position, and a class token before them."""
    b = Builder("vision_transformer")
    patches = b.step(
        ops.Window((s.patch,) * 2, (s.patch,) * 2, (1, 1), ((0, 0), (0, 0))), _picture(b, s)
    )
    made = dense(patches, _kernel(b, "patches", s.width, 3, s.patch))
    count = (s.side // s.patch) ** 2
    token = b.parameter("token", (1, s.width), Tensor("token", (1, s.width)))
    x = b.step(ops.Concat(0), token, made.reshape(count, s.width))
    x = x + b.parameter("places", (count + 1, s.width), Tensor("places", (count + 1, s.width)))
    for layer in range(s.layers):
        with b.block(layer):
            name = f"layers.{layer}."
            q, k, v = _heads(b, _norm(b, name + "before", x), name, s)
            scores = b.step(ops.Dot("nhd,mhd->hnm"), q, k) * (s.width // s.heads) ** -0.5
            mixed = b.step(ops.Dot("hnm,mhd->nhd"), softmax(scores), v)
            mixed = mixed.reshape(count + 1, s.width)
            x = x + dense(mixed, _linear(b, name + "out", s.width, s.width))
            x = x + _feed_forward(b, name, x, s.width)
    first, _ = _norm(b, "last", x).split(1, count, axis=0)
    return b.finish(dense(first.reshape(s.width), _linear(b, "head", s.classes, s.width)))


def convolutional(s: Sizes) -> Network:
    """Two convolutions with pooling, then two matrices."""
    b, c = Builder("convolutional"), s.channels
    x = _pool(_relu(_conv(_picture(b, s), "first", c)))
    x = _pool(_relu(_conv(x, "second", 2 * c)))
    flat = (s.side // 4) ** 2 * 2 * c
    # torch flattens channels first
    x = _relu(dense(x.permute(2, 0, 1).reshape(flat), _linear(b, "hidden", 4 * c, flat)))
    return b.finish(dense(x, _linear(b, "head", s.classes, 4 * c)))


def residual(s: Sizes) -> Network:
    """A residual network: two stages of two blocks, the second with a stride of 2."""
    b, c = Builder("residual"), s.channels
    x = _relu(_batch_norm("stem_norm", _conv(_picture(b, s), "stem", c, bias=False)))
    for stage, (channels, stride) in enumerate(((c, 1), (2 * c, 2))):
        for block in range(2):
            with b.block(2 * stage + block):
                name = f"stages.{stage}.{block}."
                x = _residual_block(x, name, channels, stride if block == 0 else 1)
    height, width, channels = x.sizes
    mean = x.sum(0, wide=False).sum(0) / float(height * width)
    return b.finish(dense(mean, _linear(b, "head", s.classes, channels)))


def u_net(s: Sizes) -> Network:
    """Down twice, up twice, with what was seen on the way down joined on the way up."""
    b, c = Builder("u_net"), s.channels
    first = _double(_picture(b, s), "down.0.", c)
    second = _double(_pool(first), "down.1.", 2 * c)
    x = _double(_pool(second), "bottom.", 4 * c)
    x = _double(b.step(ops.Concat(), second, _up(x, "up.1", 2 * c)), "join.1.", 2 * c)
    x = _double(b.step(ops.Concat(), first, _up(x, "up.0", c)), "join.0.", c)
    return b.finish(_conv(x, "head", s.classes, size=1))


NETWORKS = {
    "transformer": transformer,
    "convolutional net": convolutional,
    "ResNet": residual,
    "U-Net": u_net,
    "ViT": vision_transformer,
}


# parts


def _picture(b: Builder, s: Sizes) -> Value:
    return b.input(Input("picture", "data", (s.side, s.side, 3), "real"))


def _lookup(b: Builder, name: str, rows: int, width: int, number: Value) -> Value:
    table = b.parameter(name, (rows, width), Tensor(f"{name}.weight", (rows, width)))
    return b.lookup(table, number)


def _vector(b: Builder, name: str, size: int) -> Value:
    return b.parameter(name, (size,), Tensor(name, (size,)))


def _linear(b: Builder, name: str, rows: int, columns: int) -> Matrix:
    source, bias = Tensor(f"{name}.weight", (rows, columns)), Tensor(f"{name}.bias", (rows,))
    padding = -columns % BLOCK
    made = Matrix(name, rows, columns, "mixer", Cut("rows"), source, bias, padding=padding)
    return b.matrix(made)


def _kernel(
    b: Builder, name: str, rows: int, channels: int, size: int, bias: bool = True
) -> Matrix:
    """torch keeps [rows, channels, size, size]; a window has its channels last."""
    columns = channels * size * size
    kept = Tensor(f"{name}.weight", (rows, channels, size, size))
    source = Reshaped(Transpose(kept, (0, 2, 3, 1)), (rows, columns))
    biases = Tensor(f"{name}.bias", (rows,)) if bias else None
    padding = -columns % BLOCK
    made = Matrix(name, rows, columns, "mixer", Cut("rows"), source, biases, padding=padding)
    return b.matrix(made)


def _norm(b: Builder, name: str, x: Value) -> Value:
    size = x.sizes[-1]
    return layer_norm(x, _vector(b, f"{name}.weight", size), _vector(b, f"{name}.bias", size), EPS)


def _heads(b: Builder, x: Value, name: str, s: Sizes) -> list[Value]:
    matrices = [_linear(b, name + part, s.width, s.width) for part in ("query", "key", "value")]
    parts = dense_all(x, *matrices)
    return [part.reshape(*x.sizes[:-1], s.heads, s.width // s.heads) for part in parts]


def _feed_forward(b: Builder, name: str, x: Value, width: int) -> Value:
    inner = dense(_norm(b, name + "between", x), _linear(b, name + "up", 4 * width, width))
    return dense(inner.table("gelu"), _linear(b, name + "down", width, 4 * width))


def _relu(x: Value) -> Value:
    return x.builder.step(ops.Maximum(), x, 0.0)


def _conv(
    x: Value, name: str, rows: int, *, size: int = 3, stride: int = 1, bias: bool = True
) -> Value:
    edge = size // 2
    window = ops.Window((size,) * 2, (stride,) * 2, (1, 1), ((edge, edge),) * 2)
    matrix = _kernel(x.builder, name, rows, x.sizes[-1], size, bias)
    return dense(x.builder.step(window, x), matrix)


def _pool(x: Value) -> Value:
    """The largest of 2 x 2."""
    seen = x.builder.step(ops.Window((2, 2), (2, 2), (1, 1), ((0, 0), (0, 0))), x)
    height, width, _ = seen.sizes
    return seen.reshape(height, width, 4, x.sizes[-1]).max(2)


def _batch_norm(name: str, x: Value) -> Value:
    """As it stands after training: with the mean and the variance that were kept."""
    weight, bias, mean, variance = (
        _vector(x.builder, f"{name}.{part}", x.sizes[-1])
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) * (variance + EPS).inverse_root() * weight + bias


def _residual_block(x: Value, name: str, channels: int, stride: int) -> Value:
    y = _conv(x, name + "first", channels, stride=stride, bias=False)
    y = _relu(_batch_norm(name + "first_norm", y))
    y = _batch_norm(name + "second_norm", _conv(y, name + "second", channels, bias=False))
    if stride != 1:
        x = _conv(x, name + "short", channels, size=1, stride=stride, bias=False)
        x = _batch_norm(name + "short_norm", x)
    return _relu(x + y)


def _double(x: Value, name: str, channels: int) -> Value:
    x = _relu(_conv(x, name + "first", channels))
    return _relu(_conv(x, name + "second", channels))


def _up(x: Value, name: str, channels: int) -> Value:
    """A transposed convolution of 2 x 2 with stride 2: each pixel makes four of its own."""
    b, (height, width, given) = x.builder, x.sizes
    kept = Tensor(f"{name}.weight", (given, channels, 2, 2))
    source = Reshaped(Transpose(kept, (2, 3, 1, 0)), (4 * channels, given))
    made = Matrix(name, 4 * channels, given, "mixer", Cut("rows"), source, padding=-given % BLOCK)
    four = dense(x, b.matrix(made)).reshape(height, width, 2, 2, channels)
    placed = four.permute(0, 2, 1, 3, 4).reshape(2 * height, 2 * width, channels)
    return placed + _vector(b, f"{name}.bias", channels)
