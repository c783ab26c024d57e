"""ONNX's GRU and LSTM, one position at a time: their own state comes in and goes out by name.

GRU    z, r, h = rows of W, R      h' = (1 - z) tanh(Wh x + r (Rh h + b)) + z h
LSTM   i, o, f, c = rows of W, R   c' = f c + i tanh(...)        h' = o tanh(c')
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hnlpu.model.checkpoint.onnx._graph import Graph, Node, Operand
from hnlpu.model.network import Value

Made = Sequence[Operand]
Read = Callable[[Graph, Node], Made]


def _gates(g: Graph, node: Node, count: int) -> tuple[int, Value, Value, Value]:
    """The hidden size, the sums of x and of h [1, count * hidden], and h [1, hidden]."""
    x, weight, back = g.value(node, 0), g.constant(node, 1), g.constant(node, 2)
    if node.get("direction", "forward") != "forward" or len(weight) != 1:
        raise g.refusal(node, "goes backward too; what goes on forever goes forward")
    if x.sizes[:2] != (1, 1) or node.get("layout", 0):
        raise g.refusal(node, f"takes {list(x.sizes)}; export one position, [1, 1, n], in layout 0")
    for name in ("activations", "clip"):
        if name in node.attributes:
            raise g.refusal(node, f"has {name} of its own")
    if g.optional(node, 4) is not None:
        raise g.refusal(node, "has lengths of sequences")
    hidden = back.shape[2]
    biases = np.zeros((1, 2 * count * hidden), np.float32)
    if g.optional(node, 3) is not None:
        biases = g.constant(node, 3)
    of_x, of_h = np.split(biases[0], 2)
    before = g.optional(node, 5)
    if not isinstance(before, Value):
        raise g.refusal(node, "keeps its state inside; give it as an input and an output")
    h = before.reshape(1, hidden)
    n = x.sizes[2]
    from_x = g.linear(node, x.reshape(1, n), weight[0], of_x, "recurrence")
    from_h = g.linear(node, h, back[0], of_h, "recurrence")
    return hidden, from_x, from_h, h


def _gru(g: Graph, node: Node) -> Made:
    if not node.get("linear_before_reset", 0):
        raise g.refusal(
            node, "resets before its matrix; linear_before_reset 1, as torch's, is read"
        )
    n, from_x, from_h, h = _gates(g, node, 3)
    (keep_x, reset_x, new_x), (keep_h, reset_h, new_h) = (
        part.split(n, n, n) for part in (from_x, from_h)
    )
    keep = (keep_x + keep_h).table("sigmoid")
    reset = (reset_x + reset_h).table("sigmoid")
    new = (new_x + reset * new_h).table("tanh")
    after = new + keep * (h - new)
    return [after.reshape(1, 1, 1, n), after.reshape(1, 1, n)]


def _lstm(g: Graph, node: Node) -> Made:
    if g.optional(node, 7) is not None or node.get("input_forget", 0):
        raise g.refusal(node, "has peepholes or coupled gates")
    n, from_x, from_h, _ = _gates(g, node, 4)
    before = g.optional(node, 6)
    if not isinstance(before, Value):
        raise g.refusal(node, "keeps its cell inside; give it as an input and an output")
    entry, give, forget, cell = (from_x + from_h).split(n, n, n, n)
    kept = forget.table("sigmoid") * before.reshape(1, n)
    after = kept + entry.table("sigmoid") * cell.table("tanh")
    h = give.table("sigmoid") * after.table("tanh")
    return [h.reshape(1, 1, 1, n), h.reshape(1, 1, n), after.reshape(1, 1, n)]


RECURRENT: Mapping[str, Read] = {"GRU": _gru, "LSTM": _lstm}
