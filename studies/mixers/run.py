"""Mixers as instances of one form; attention over processes; what a longer context is worth."""

from __future__ import annotations

import numpy as np

from studies._frame import Figures, main
from studies.mixers import context, scaling, sharded
from studies.mixers.composed import normal
from studies.mixers.instances import HEADS, WIDTH, mixers, mixing_matrix

SHORT, LONG = 128, 1024
CONTEXTS = (128, 256, 1024)


def measure(full: bool) -> Figures:
    """All figures."""
    each = _mixers(64 if full else 12, range(5 if full else 1))
    if full:
        split = sharded.compare(range(5), range(2, 9), 4096, 8, 64)
        seen = context.losses(range(5), 2, 2048, CONTEXTS)
    else:
        split = sharded.compare([0], (2, 3), 60, 4, 8)
        seen = context.losses([0], 1, 320, (SHORT // 4, SHORT))
    modelled = scaling.figures()
    ends = (SHORT, LONG) if full else (SHORT // 4, SHORT)
    return {
        "mixers": len(each),
        "mixer_difference": max(row["difference"] for row in each.values()),
        "template_difference": max(row["template"] for row in each.values()),
        "future_weight": max(row["future"] for row in each.values()),
        "sharded_difference": split["difference"],
        "exact_bits_that_differ": split["exact_bits"],
        "order_bits_that_differ": split["order_bits"],
        "sharded_cases": split["cases"],
        "answers_in_another_order": split["orders"],
        "modelled_speedup": modelled["speedup"],
        "modelled_span": modelled["span"],
        "scaling": modelled,
        **context.figures(seen, *ends),
        "contexts_compared": list(ends),
        "seeds": list(range(5 if full else 1)),
        "each": each,
    }


def _mixers(n: int, seeds: range) -> dict[str, dict[str, float]]:
    """Of each mixer over n positions, the largest difference over seeds."""
    rows: dict[str, dict[str, float]] = {}
    for seed in seeds:
        random = np.random.default_rng([50, seed])
        for name, mixer in mixers(random, n).items():
            v = normal(random, n, HEADS, WIDTH)
            made, wanted, matrix = mixer.ours(v), mixer.theirs(v), mixing_matrix(mixer, n)
            by_matrix = np.einsum("hij,jhv->ihv", matrix.astype(np.float64), v)
            largest = np.abs(wanted).max()
            row = rows.setdefault(name, dict.fromkeys(("difference", "template", "future"), 0.0))
            row["difference"] = max(row["difference"], float(np.abs(made - wanted).max() / largest))
            row["template"] = max(row["template"], float(np.abs(made - by_matrix).max() / largest))
            row["future"] = max(row["future"], float(np.abs(np.triu(matrix, 1)).max()))
    return rows


if __name__ == "__main__":
    main("mixers", measure)
