"""A gated recurrent unit as torch.nn.GRU defines it (arXiv 1406.1078 with the reset behind W_n h).

r = sigmoid(Wr x + Ur h)   z = sigmoid(Wz x + Uz h)   n = tanh(Wn x + r * (Un h))
h = n + z * (h - n)
"""

from __future__ import annotations

from hnlpu.model.network._compose import Value
from hnlpu.model.network._declare import Matrix, Replace
from hnlpu.model.network.composites._dense import dense


def gru(x: Value, inputs: Matrix, hidden: Matrix) -> Value:
    """h [n] of x: `inputs` [3 n, columns of x] and `hidden` [3 n, n] have rows r, z, n."""
    b, n = x.builder, hidden.columns
    with b.span("gru"):
        state = b.state("hidden", (n,), Replace())
        from_x = dense(x, inputs)
        before = b.read(state, "before")
        from_h = dense(before, hidden)
        reset_x, keep_x, new_x = from_x.split(n, n, n)
        reset_h, keep_h, new_h = from_h.split(n, n, n)
        reset = (reset_x + reset_h).table("sigmoid")
        keep = (keep_x + keep_h).table("sigmoid")
        new = (new_x + reset * new_h).table("tanh")
        after = new + keep * (before - new)
        b.write(state, after)
        return after
