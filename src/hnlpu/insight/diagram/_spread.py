"""Places on a line that keep their distances and lie as near as can be to where they want to be."""

from __future__ import annotations

from collections.abc import Sequence


def spread(
    wanted: Sequence[float], gaps: Sequence[float], weights: Sequence[float] | None = None
) -> list[float]:
    """Places, each at least `gaps[n]` behind the one before (gaps[0] is not used).

    The weighted sum of squared distances to `wanted` is the least: regression to a rising sequence
    by pooling neighbours (M. Ayer et al., 1955), after the gaps are taken off.
    """
    offsets: list[float] = []
    for n, _ in enumerate(wanted):
        offsets.append(offsets[-1] + gaps[n] if n else 0.0)
    pools: list[tuple[float, float, int]] = []  # mean, weight and length
    heavy = weights or [1.0] * len(wanted)
    for want, offset, weight in zip(wanted, offsets, heavy, strict=True):
        mean, length = want - offset, 1
        while pools and pools[-1][0] > mean:
            other, more, longer = pools.pop()
            mean = (mean * weight + other * more) / (weight + more)
            weight, length = weight + more, length + longer
        pools.append((mean, weight, length))
    means = [mean for mean, _, length in pools for _ in range(length)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]
