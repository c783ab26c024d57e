"""The next token from logits that lie on several chips, with the token that one chip would choose.

    1  each chip's largest logit and its number ─► the largest of all, the lower number among equals
    2  each chip's sum of exponentials ─► the chip in whose share the drawn number falls
    3  that chip's token

At temperature 0 the first round alone is enough.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.fixed_point import Random
from hnlpu.arithmetic.fixed_point._sampling import cumulative

Int64 = npt.NDArray[np.int64]


def choose(pieces: Sequence[Int64], inverse: int, random: Random) -> int:
    """The token of logits [n] each, in the order of their numbers; `fixed_point.chip_sample`'s.

    A chip may have none.
    """
    starts = np.cumsum([0, *map(len, pieces)])
    best = [
        (-int(piece.max()), int(start) + int(piece.argmax()))
        for start, piece in zip(starts, pieces, strict=False)
        if len(piece)
    ]
    largest, first = min(best)
    if inverse == 0:
        return first
    sums = [cumulative(piece, -largest, inverse) for piece in pieces]
    totals = [int(piece[-1]) if len(piece) else 0 for piece in sums]
    reach = random.next() * sum(totals) >> 32
    for start, piece, total in zip(starts, sums, totals, strict=False):
        if reach < total:
            return int(start) + int(np.searchsorted(piece, reach, side="right"))
        reach -= total
    raise AssertionError("a number below the sum falls into a share")
