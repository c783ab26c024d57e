"""What a span takes and gives, and what it is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hnlpu.model.network import Span, Step, all_steps
from hnlpu.run.kernels.tape._lowering import Lowering
from hnlpu.run.kernels.tape._views import Constant, View

Float32 = npt.NDArray[np.float32]


def ends(of: Lowering, span: Span) -> tuple[list[str], list[str]]:
    """What a span's steps take that they do not make, and what others take of what they make.

    Steps whose values others make count as others.
    """
    inside = of.inside(span)
    taken = Counter(a for s in all_steps(inside) for a in s.args if isinstance(a, str))
    own = [name for step in inside for name in step.outs]
    given = [name for name in own if of.uses[name] > taken[name]]
    return [name for name in taken if name not in set(own)], given


def is_made_of(steps: Sequence[Step], names: str) -> bool:
    """Whether steps have operations of these names, in this order."""
    return [type(step.op).__name__ for step in steps] == names.split()


def array(view: View) -> Float32 | None:
    """A constant view's array of float32."""
    if not isinstance(view.base, Constant) or not view.is_dense or view.first:
        return None
    return np.ascontiguousarray(view.base.array, np.float32).reshape(view.shape)
