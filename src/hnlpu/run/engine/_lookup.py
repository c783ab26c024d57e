"""Proposals for the next tokens by looking them up in the text so far.

    ... a b c d e ... a b c      ─►      d e ...

What stood behind the latest earlier occurrence of the last tokens is proposed (prompt lookup decoding,
github.com/apoorvumang/prompt-lookup-decoding).  The model checks proposals in one step, as rows of its
batch; those that it would have taken by itself are kept.  So they change nothing but the number of steps.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]

LONGEST, LEAST = 4, 2
"""Tokens that must have stood before, tried from the longest down."""
MOST = 8
"""Tokens that are proposed at once."""
NO_DRAFT: Int64 = np.zeros(0, np.int64)


def looked_up(tokens: Int64, most: int) -> Int64:
    """Up to `most` tokens that may follow `tokens` [n]; none where nothing alike stood before."""
    if most < 1:
        return NO_DRAFT
    for size in range(min(LONGEST, len(tokens) - 1), LEAST - 1, -1):
        alike = tokens[size - 1 : -1] == tokens[-1]  # of each window its last token first
        ends = np.flatnonzero(alike) + size
        for back in range(1, size):
            ends = ends[tokens[ends - 1 - back] == tokens[-1 - back]]
        if len(ends):
            return tokens[ends[-1] : ends[-1] + most].copy()
    return NO_DRAFT
