"""Signals that anyone can make: Mackey-Glass's equation, mixed tones, and four kinds of waves."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
MACKEY_AHEAD, TONES_AHEAD = 6, 4
"""Positions ahead that are foretold."""
WAVES = ("sine", "square", "saw", "triangle")


def mackey_glass(count: int, length: int, seed: int) -> tuple[Float32, Float32]:
    """Signals [count, length, 1] and what follows 6 positions later: dx/dt = 0.2 x(t-17) / (1 + x(t-17)^10) - 0.1 x.

    Steps of 0.1 by Runge and Kutta's fourth order, one position a unit of time (Mackey and Glass, 1977).
    Mean 0.93 and spread 0.23 are taken off.
    """
    random = np.random.default_rng([47, 1, seed])
    per, delay, lead = 10, 170, 300
    total = (lead + length + MACKEY_AHEAD) * per
    x = np.empty((count, delay + 1 + total))
    x[:, : delay + 1] = random.uniform(0.5, 1.3, (count, 1))

    def slope(
        value: npt.NDArray[np.float64], late: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        return np.asarray(0.2 * late / (1 + late**10) - 0.1 * value)

    for t in range(delay, delay + total):
        late, later = x[:, t - delay], x[:, t - delay + 1]
        middle, now = (late + later) / 2, x[:, t]
        a = slope(now, late)
        b = slope(now + 0.05 * a, middle)
        c = slope(now + 0.05 * b, middle)
        d = slope(now + 0.1 * c, later)
        x[:, t + 1] = now + 0.1 * (a + 2 * b + 2 * c + d) / 6
    sampled = (x[:, delay + 1 + lead * per :: per] - 0.93) / 0.23
    return _ahead(sampled, length, MACKEY_AHEAD)


def tones(count: int, length: int, seed: int) -> tuple[Float32, Float32]:
    """Signals [count, length, 1] of three tones with noise, and the tones alone 4 positions later."""
    random = np.random.default_rng([47, 2, seed])
    t = np.arange(length + TONES_AHEAD)
    clean = np.zeros((count, len(t)))
    for low, high in ((0.02, 0.05), (0.06, 0.1), (0.12, 0.18)):
        frequency, phase = (
            random.uniform(low, high, (count, 1)),
            random.uniform(0, 2 * np.pi, (count, 1)),
        )
        clean += random.uniform(0.3, 1.0, (count, 1)) * np.sin(2 * np.pi * frequency * t + phase)
    heard = clean[:, :length] + 0.05 * random.normal(size=(count, length))
    return heard[..., None].astype(np.float32), clean[:, TONES_AHEAD:, None].astype(np.float32)


def waves(count: int, length: int, seed: int) -> tuple[Float32, npt.NDArray[np.int64]]:
    """Signals [count, length, 1] of a wave with noise, and the number of its kind [count]."""
    random = np.random.default_rng([47, 3, seed])
    kinds = random.integers(0, len(WAVES), count)
    period, phase = random.uniform(8, 20, (count, 1)), random.uniform(0, 1, (count, 1))
    at = (np.arange(length) / period + phase) % 1
    forms = np.stack(
        [np.sin(2 * np.pi * at), np.sign(at - 0.5), 2 * at - 1, 4 * np.abs(at - 0.5) - 1]
    )
    made = forms[kinds, np.arange(count)] + 0.15 * random.normal(size=(count, length))
    return made[..., None].astype(np.float32), kinds


def _ahead(x: npt.NDArray[np.float64], length: int, ahead: int) -> tuple[Float32, Float32]:
    made = x.astype(np.float32)[..., None]
    return made[:, :length], made[:, ahead : ahead + length]
