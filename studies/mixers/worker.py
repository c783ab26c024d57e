"""A process that holds some positions' keys and values and says what they say to a query.

It reads pickled messages from standard input, one after the other, and answers each:

("keep", keys, values)            nothing
("part", q, scale, wait)          a part of attention in float64
("largest", queries)              the largest scores in fixed point
("exact", queries, largest, wait) sums in fixed point

`wait` seconds pass before the answer, so that processes can be made to answer in any order.
"""

from __future__ import annotations

import pickle
import sys
import time
from typing import Any

from hnlpu.arithmetic import fixed_point, sharded


def main() -> None:
    """Until standard input ends."""
    keys: Any = None
    values: Any = None
    while True:
        try:
            what, *args = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        answer: Any = None
        match what, args:
            case "keep", (keys, values):
                pass
            case "part", (q, scale, wait):
                answer = sharded.attend_part(q, keys, values, scale)
                time.sleep(wait)
            case "largest", (q,):
                answer = fixed_point.largest_scores(q, keys)
            case "exact", (q, largest, wait):
                answer = fixed_point.attend_part(q, keys, values, largest)
                time.sleep(wait)
        pickle.dump(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
