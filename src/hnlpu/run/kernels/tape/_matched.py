"""What a span takes and gives, and what it is made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hnlpu.model.network import Span, Step, span_ends
from hnlpu.run.kernels.tape._lowering import Lowering
from hnlpu.run.kernels.tape._views import Constant, View

Float32 = npt.NDArray[np.float32]


def ends(of: Lowering, span: Span) -> tuple[list[str], list[str]]:
    """What a span's steps take that is not made by steps known before, and what others take."""
    inside = of.inside(span)
    own = {name for step in inside for name in step.outs}
    taken = [a for step in inside for a in step.args if isinstance(a, str) and a not in own]
    _, given = span_ends(of.network, span)
    wanted = [name for name in given if name in own and (of.uses[name] or name in of.outputs)]
    return list(dict.fromkeys(taken)), wanted


def is_made_of(steps: Sequence[Step], names: str) -> bool:
    """Whether steps have operations of these names, in this order."""
    return [type(step.op).__name__ for step in steps] == names.split()


def array(view: View) -> Float32 | None:
    """A constant view's array of float32."""
    if not isinstance(view.base, Constant) or not view.is_dense or view.first:
        return None
    return np.ascontiguousarray(view.base.array, np.float32).reshape(view.shape)
