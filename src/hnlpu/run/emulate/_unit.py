"""What the layers ask of a vector unit: everything that is not a matrix, in one kind of numerics.

`Number` is float32 in `float` numerics and int64 (values, see `fixed_point`) in `chip`.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

Number = TypeVar("Number", np.float32, np.int64)


class VectorUnit(Protocol[Number]):
    """The steps of a layer between its matrices; the parameters of norms and sinks are its own."""

    def norm(self, x: npt.NDArray[Number], name: str) -> npt.NDArray[Number]:
        """RMSNorm of x [tokens, n] with the weights of tensor `name`."""
        ...

    def attend(
        self,
        layer: int,
        q: npt.NDArray[Number],
        k: npt.NDArray[Number],
        v: npt.NDArray[Number],
        turns: Any,
        cache: Any,
    ) -> npt.NDArray[Number]:
        """Attention's output [tokens, heads * d] of q, k, v [tokens, heads, d], which it may alter.

        The tokens stand after the `cache.length` positions that `cache` holds; it takes in
        their keys and values.  `turns` are RoPE's angles in the unit's own form.
        """
        ...

    def add(self, x: npt.NDArray[Number], y: npt.NDArray[Number]) -> None:
        """x + y into x [tokens, n]."""
        ...

    def route(
        self, logits: npt.NDArray[Number]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[Number]]:
        """Experts and shares [tokens, active] of a router's logits, best first."""
        ...

    def swiglu(self, gate_up: npt.NDArray[Number]) -> npt.NDArray[Number]:
        """[tokens, n] of [tokens, 2 n]."""
        ...

    def mix(
        self, x: npt.NDArray[Number], outputs: npt.NDArray[Number], shares: npt.NDArray[Number]
    ) -> None:
        """Add the experts' outputs [tokens, active, n], each times its share, to x [tokens, n]."""
        ...
