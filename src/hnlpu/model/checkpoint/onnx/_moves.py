"""Operators of ONNX that move numbers and change none."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hnlpu.model.checkpoint.onnx._graph import Graph, Node, Operand
from hnlpu.model.network import Value, ops

Made = Sequence[Operand]
Read = Callable[[Graph, Node], Made]


def _same(g: Graph, node: Node) -> Made:
    return [g.take(node, 0)]


def _dropout(g: Graph, node: Node) -> Made:
    if g.optional(node, 2) is not None and g.constant(node, 2).any():
        raise g.refusal(node, "drops numbers at random (training_mode); export for inference")
    return _same(g, node)


def _constant(g: Graph, node: Node) -> Made:
    from onnx import numpy_helper

    tensor = node.attributes.get("value")
    if tensor is not None:
        return [numpy_helper.to_array(tensor)]
    for name in ("value_float", "value_floats", "value_int", "value_ints"):
        if name in node.attributes:
            return [np.asarray(node.attributes[name])]
    raise g.refusal(node, "holds no numbers")


def _shape(g: Graph, node: Node) -> Made:
    x = g.take(node, 0)
    return [np.asarray(x.sizes if isinstance(x, Value) else x.shape, np.int64)]


def _cast(g: Graph, node: Node) -> Made:
    x, kind = g.take(node, 0), int(node.get("to", 1))
    if isinstance(x, Value):
        if kind not in (1, 10, 11, 16):
            raise g.refusal(node, "makes other than real numbers of values")
        return [x]
    from onnx.helper import tensor_dtype_to_np_dtype

    return [x.astype(tensor_dtype_to_np_dtype(kind))]


def _reshaped(g: Graph, node: Node, shape: Sequence[int]) -> Made:
    x = g.take(node, 0)
    return [x.reshape(*shape) if isinstance(x, Value) else x.reshape(tuple(shape))]


def _sizes(g: Graph, node: Node) -> tuple[int, ...]:
    x = g.take(node, 0)
    return x.sizes if isinstance(x, Value) else x.shape


def _reshape(g: Graph, node: Node) -> Made:
    wanted = g.numbers(node, 1, "shape") or ()
    sizes = _sizes(g, node)
    if node.get("allowzero", 0) and 0 in wanted:
        raise g.refusal(node, "asks for an axis without entries")
    shape = [sizes[n] if dim == 0 else dim for n, dim in enumerate(wanted)]
    if -1 in shape:
        rest = math.prod(dim for dim in shape if dim != -1)
        shape[shape.index(-1)] = math.prod(sizes) // rest
    return _reshaped(g, node, shape)


def _flatten(g: Graph, node: Node) -> Made:
    sizes, axis = _sizes(g, node), node.get("axis", 1)
    axis = axis if axis >= 0 else axis + len(sizes)
    return _reshaped(g, node, (math.prod(sizes[:axis]), math.prod(sizes[axis:])))


def _squeeze(g: Graph, node: Node) -> Made:
    sizes, axes = _sizes(g, node), g.numbers(node, 1, "axes")
    gone = (
        {n for n, dim in enumerate(sizes) if dim == 1}
        if axes is None
        else {a % len(sizes) for a in axes}
    )
    return _reshaped(g, node, [dim for n, dim in enumerate(sizes) if n not in gone])


def _unsqueeze(g: Graph, node: Node) -> Made:
    sizes, axes = list(_sizes(g, node)), g.numbers(node, 1, "axes") or ()
    rank = len(sizes) + len(axes)
    for axis in sorted(a % rank for a in axes):
        sizes.insert(axis, 1)
    return _reshaped(g, node, sizes)


def _transpose(g: Graph, node: Node) -> Made:
    x = g.take(node, 0)
    rank = len(_sizes(g, node))
    order = tuple(node.get("perm", tuple(reversed(range(rank)))))
    return [x.permute(*order) if isinstance(x, Value) else x.transpose(order)]


def _concat(g: Graph, node: Node) -> Made:
    parts = [g.take(node, n) for n in range(len(node.inputs))]
    arrays = [part for part in parts if not isinstance(part, Value)]
    axis = int(node.get("axis", 0))
    if len(arrays) == len(parts):
        return [np.concatenate(arrays, axis)]
    values = []
    for part in parts:
        side = part if isinstance(part, Value) else g.parameter(node, part)
        if not isinstance(side, Value):
            raise g.refusal(node, "joins a single constant number")
        values.append(side)
    return [g.builder.step(ops.Concat(axis), *values)]


def _split(g: Graph, node: Node) -> Made:
    sizes, axis = _sizes(g, node), int(node.get("axis", 0))
    length, count = sizes[axis], len(node.outputs)
    pieces = g.numbers(node, 1, "split")
    if pieces is None:
        each = -(-length // count)
        pieces = (*[each] * (count - 1), length - each * (count - 1))
    x = g.take(node, 0)
    if isinstance(x, Value):
        return x.split(*pieces, axis=axis)
    return np.split(x, np.cumsum(pieces)[:-1], axis)


def _slice(g: Graph, node: Node) -> Made:
    starts, ends = g.numbers(node, 1, "starts") or (), g.numbers(node, 2, "ends") or ()
    axes = g.numbers(node, 3, "axes") or tuple(range(len(starts)))
    steps = g.numbers(node, 4, "steps") or (1,) * len(starts)
    x = g.take(node, 0)
    if set(steps) - {1}:
        raise g.refusal(node, "takes other steps than 1")
    for start, end, axis in zip(starts, ends, axes, strict=True):
        length = (x.sizes if isinstance(x, Value) else x.shape)[axis]
        first, last, _ = slice(start, end).indices(length)
        if first >= last:
            raise g.refusal(node, "takes no entries")
        x = _part(x, first, last, axis)
    return [x]


def _part(x: Operand, first: int, last: int, axis: int) -> Operand:
    """Entries `first` to `last` along an axis."""
    if not isinstance(x, Value):
        return np.take(x, range(first, last), axis)
    length = x.sizes[axis]
    if (first, last) == (0, length):
        return x
    pieces = [first, last - first, length - last]
    made = x.split(*(size for size in pieces if size), axis=axis)
    return made[1 if first else 0]


def _gather(g: Graph, node: Node) -> Made:
    x, axis = g.take(node, 0), int(node.get("axis", 0))
    numbers = g.constant(node, 1)
    if not isinstance(x, Value):
        return [np.take(x, numbers, axis)]
    if numbers.size != 1:
        raise g.refusal(node, "takes several entries of what is computed; split it")
    length, number = x.sizes[axis], int(numbers.ravel()[0])
    part = _part(x, number % length, number % length + 1, axis)
    assert isinstance(part, Value)
    at = axis % len(x.sizes)
    return [part.reshape(*x.sizes[:at], *numbers.shape, *x.sizes[at + 1 :])]


MOVES: Mapping[str, Read] = {
    "Identity": _same, "Dropout": _dropout, "Constant": _constant, "Cast": _cast, "Shape": _shape,
    "Reshape": _reshape, "Flatten": _flatten, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze,
    "Transpose": _transpose, "Concat": _concat, "Split": _split, "Slice": _slice, "Gather": _gather,
}  # fmt: skip
