"""Operators of ONNX by their names, each as steps of a network, or refused with the reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hnlpu.model.checkpoint.onnx._graph import Array, Graph, Node, Operand
from hnlpu.model.checkpoint.onnx._moves import MOVES
from hnlpu.model.checkpoint.onnx._recurrent import RECURRENT
from hnlpu.model.network import Value, ops
from hnlpu.model.network.composites import layer_norm, softmax
from hnlpu.model.network.ops import Function

Made = Sequence[Operand]
Read = Callable[[Graph, Node], Made]


def _pair(op: ops.Op, fold: Callable[[Array, Array], Array]) -> Read:
    def read(g: Graph, node: Node) -> Made:
        a, b = g.take(node, 0), g.take(node, 1)
        if not isinstance(a, Value) and not isinstance(b, Value):
            return [np.asarray(fold(a, b))]
        return [g.builder.step(op, *(_side(g, node, x) for x in (a, b)))]

    return read


def _side(g: Graph, node: Node, x: Operand) -> Value | float:
    return x if isinstance(x, Value) else g.parameter(node, x)


def _function(function: Function) -> Read:
    return lambda g, node: [g.value(node, 0).table(function)]


def _gelu(g: Graph, node: Node) -> Made:
    kind: Function = "gelu_tanh" if node.get("approximate", "none") == "tanh" else "gelu"
    return [g.value(node, 0).table(kind)]


def _relu(g: Graph, node: Node) -> Made:
    return [g.builder.step(ops.Maximum(), g.value(node, 0), 0.0)]


def _leaky_relu(g: Graph, node: Node) -> Made:
    x, slope = g.value(node, 0), float(node.get("alpha", 0.01))
    if not 0 <= slope <= 1:
        raise g.refusal(node, f"has a slope of {slope:g}; from 0 to 1 it is the larger of two")
    return [g.builder.step(ops.Maximum(), x, x * slope)]


def _clip(g: Graph, node: Node) -> Made:
    x = g.value(node, 0)
    for number, name, op in ((1, "min", ops.Maximum()), (2, "max", ops.Minimum())):
        bound = node.attributes.get(name)
        if bound is None and g.optional(node, number) is not None:
            bound = g.constant(node, number).ravel()[0]
        if bound is not None and abs(float(bound)) < 3e38:
            x = g.builder.step(op, x, float(bound))
    return [x]


def _pow(g: Graph, node: Node) -> Made:
    x, power = g.value(node, 0), g.constant(node, 1)
    if power.size != 1 or float(power.ravel()[0]) != 2.0:
        raise g.refusal(node, "raises to other powers than 2")
    return [x * x]


def _matmul(g: Graph, node: Node) -> Made:
    a, b = g.take(node, 0), g.take(node, 1)
    if isinstance(a, Value) and not isinstance(b, Value):
        if b.ndim != 2:
            raise g.refusal(node, f"has a constant of {b.ndim} axes; a matrix has two")
        return [g.linear(node, a, b.T)]
    if isinstance(a, Value) and isinstance(b, Value):
        return [_products(g, node, a, b)]
    raise g.refusal(node, "has a constant on its left; turn both sides, so that it is on the right")


def _products(g: Graph, node: Node, a: Value, b: Value) -> Value:
    """Products of two values that are computed: [..., m, k] times [..., k, n]."""
    lead = a.sizes[:-2]
    if lead != b.sizes[:-2] or len(a.sizes) < 2 or len(lead) > 20:
        raise g.refusal(node, f"joins {list(a.sizes)} and {list(b.sizes)}, which differ in front")
    batch = "abcdefghijlopqrstuvw"[: len(lead)]
    return g.builder.step(ops.Dot(f"{batch}mk,{batch}kn->{batch}mn"), a, b)


def _gemm(g: Graph, node: Node) -> Made:
    x, weight, bias = g.value(node, 0), g.constant(node, 1), g.optional(node, 2)
    factors = (float(node.get("alpha", 1.0)), float(node.get("beta", 1.0)), node.get("transA", 0))
    if factors != (1.0, 1.0, 0):
        raise g.refusal(node, "has alpha, beta or transA; 1, 1 and 0 are read")
    if isinstance(bias, Value):
        raise g.refusal(node, "has its input 2 computed; it must be constant")
    rows = weight if node.get("transB", 0) else weight.T
    if (
        bias is not None
        and bias.size != 1
        and (bias.size, bias.shape[-1]) != (len(rows), len(rows))
    ):
        raise g.refusal(node, f"has a bias {list(bias.shape)} for {len(rows)} rows")
    return [g.linear(node, x, rows, None if bias is None else bias.reshape(-1))]


def _softmax(g: Graph, node: Node) -> Made:
    x = g.value(node, 0)
    older = g.opset < 13
    axis, rank = node.get("axis", 1 if older else -1), len(x.sizes)
    if older and axis % rank != rank - 1 and math.prod(x.sizes[axis % rank + 1 :]) != 1:
        raise g.refusal(
            node, f"goes over several axes at once in opset {g.opset}; export 13 or later"
        )
    if axis % rank == rank - 1:
        return [softmax(x)]
    order = [n for n in range(rank) if n != axis % rank] + [axis % rank]
    back = [order.index(n) for n in range(rank)]
    return [softmax(x.permute(*order)).permute(*back)]


def _layer_normalization(g: Graph, node: Node) -> Made:
    x, weight = g.value(node, 0), g.constant(node, 1)
    if node.get("axis", -1) % len(x.sizes) != len(x.sizes) - 1 or weight.ndim != 1:
        raise g.refusal(node, "goes over more than the last axis")
    bias = np.zeros_like(weight) if g.optional(node, 2) is None else g.constant(node, 2)
    sides = [g.parameter(node, one) for one in (weight, bias)]
    if not all(isinstance(side, Value) for side in sides):
        raise g.refusal(node, "goes over a single number")
    eps = float(node.get("epsilon", 1e-5))
    return [layer_norm(x, sides[0], sides[1], eps)]  # type: ignore[arg-type]  # said above


def _batch_normalization(g: Graph, node: Node) -> Made:
    x = g.value(node, 0)
    if node.get("training_mode", 0) or not node.get("spatial", 1):
        raise g.refusal(node, "takes statistics other than its constants (training_mode, spatial)")
    scale, shift, mean, variance = (g.constant(node, n).astype(np.float64) for n in range(1, 5))
    factor = scale / np.sqrt(variance + float(node.get("epsilon", 1e-5)))
    shape = (-1, *[1] * (len(x.sizes) - 2))
    sides = [
        g.parameter(node, one.astype(np.float32).reshape(shape))
        for one in (factor, shift - mean * factor)
    ]
    return [x * sides[0] + sides[1]]


def _reduce(*, mean: bool) -> Read:
    def read(g: Graph, node: Node) -> Made:
        x = g.value(node, 0)
        axes, keep = g.numbers(node, 1, "axes"), bool(node.get("keepdims", 1))
        if not axes:
            if node.get("noop_with_empty_axes", 0):
                raise g.refusal(node, "goes over no axis (noop_with_empty_axes)")
            axes = None
        rank = len(x.sizes)
        chosen = sorted({axis % rank for axis in (range(rank) if axes is None else axes)})
        count = math.prod(x.sizes[axis] for axis in chosen)
        for axis in reversed(chosen):
            x = x.sum(axis, keep=keep)
        return [x * (1.0 / count) if mean else x]

    return read


def _global_average(g: Graph, node: Node) -> Made:
    x = g.value(node, 0)
    count = math.prod(x.sizes[2:])
    for axis in reversed(range(2, len(x.sizes))):
        x = x.sum(axis, keep=True)
    return [x * (1.0 / count)]


def _conv(g: Graph, node: Node) -> Made:
    x, weight = g.value(node, 0), g.constant(node, 1)
    if node.get("group", 1) != 1:
        raise g.refusal(node, f"has {node.get('group', 1)} groups; 1 is read")
    windows = _windows(g, node, x, weight.shape[2:], padded=True)
    order = (0, *range(2, weight.ndim), 1)  # rows, places of the window, channels
    rows = weight.transpose(order).reshape(len(weight), -1)
    bias = None if g.optional(node, 2) is None else g.constant(node, 2)
    return [_channels_first(g.linear(node, windows, rows, bias))]


def _pool(*, largest: bool) -> Read:
    def read(g: Graph, node: Node) -> Made:
        x, sizes = g.value(node, 0), tuple(node.get("kernel_shape", ()))
        if node.get("ceil_mode", 0):
            raise g.refusal(node, "rounds up its places (ceil_mode)")
        windows = _windows(g, node, x, sizes, padded=False)
        each = windows.reshape(*windows.sizes[:-1], math.prod(sizes), x.sizes[1])
        made = each.max(-2) if largest else each.sum(-2) * (1.0 / math.prod(sizes))
        return [_channels_first(made)]

    return read


def _windows(g: Graph, node: Node, x: Value, sizes: Sequence[int], *, padded: bool) -> Value:
    """Windows of x [1, channels, n, ...] as [places, ..., sizes product * channels]."""
    rank = len(sizes)
    if len(x.sizes) != rank + 2 or x.sizes[0] != 1:
        raise g.refusal(node, f"goes over {list(x.sizes)}; [1, channels, ...] is read")
    if node.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise g.refusal(node, f"has auto_pad {node.get('auto_pad', '')}; give pads")
    pads = list(node.get("pads", [0] * 2 * rank))
    if any(pads) and not padded:
        raise g.refusal(node, "has pads, which are no numbers of the input")
    window = ops.Window(
        tuple(sizes), tuple(node.get("strides", [1] * rank)), tuple(node.get("dilations", [1] * rank)),
        tuple(zip(pads[:rank], pads[rank:], strict=True)),
    )  # fmt: skip
    last = x.reshape(*x.sizes[1:]).permute(*range(1, rank + 1), 0)
    return g.builder.step(window, last)


def _channels_first(x: Value) -> Value:
    rank = len(x.sizes)
    turned = x.permute(rank - 1, *range(rank - 1))
    return turned.reshape(1, *turned.sizes)


def _neg(g: Graph, node: Node) -> Made:
    return [-g.value(node, 0)]


OPERATORS: Mapping[str, Read] = {
    "Add": _pair(ops.Add(), np.add), "Sub": _pair(ops.Sub(), np.subtract),
    "Mul": _pair(ops.Mul(), np.multiply), "Div": _pair(ops.Divide(), np.divide),
    "Neg": _neg, "Relu": _relu, "LeakyRelu": _leaky_relu, "Clip": _clip, "Pow": _pow,
    "Sigmoid": _function("sigmoid"), "Tanh": _function("tanh"), "Exp": _function("exp"),
    "Softplus": _function("softplus"), "Gelu": _gelu, "Softmax": _softmax,
    "MatMul": _matmul, "Gemm": _gemm, "Conv": _conv, "MaxPool": _pool(largest=True),
    "AveragePool": _pool(largest=False), "GlobalAveragePool": _global_average,
    "LayerNormalization": _layer_normalization, "BatchNormalization": _batch_normalization,
    "ReduceMean": _reduce(mean=True), "ReduceSum": _reduce(mean=False), **MOVES, **RECURRENT,
}  # fmt: skip
"""What is read, by the operator's name."""
