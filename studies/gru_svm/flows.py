"""Network flows that anyone can make: sequences of 24 features, some of them attacks.

A sequence is 16 flows of one source, each with the kind of features that connection logs have (durations,
bytes, rates of errors, ports, flags).  An attack is a slow scan: over some stretch of the flows the port
climbs, errors rise a little and answers get shorter.  Each feature alone says little at any one flow, since
quiet sources have noisy ports and errors too; what tells them apart is how features move together over time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FEATURES, FLOWS = 24, 16
Float32 = npt.NDArray[np.float32]

_MIX = np.random.default_rng(64)
_LOADINGS = _MIX.normal(size=(6, FEATURES))
"""What six hidden causes (load, hour, service, port, errors, answers) do to the features."""


def flows(count: int, seed: int) -> tuple[Float32, npt.NDArray[np.int64]]:
    """Features [count, 16, 24], each of mean near 0 and spread near 1, and labels [count]: 1 is an attack."""
    random = np.random.default_rng([64, seed])
    labels = random.integers(0, 2, count)
    causes = np.cumsum(random.normal(size=(count, FLOWS, 6)), 1) * 0.25
    length = random.integers(6, FLOWS + 1, count)
    start = random.integers(0, FLOWS - length + 1)
    at = np.arange(FLOWS)[None] - start[:, None]
    climb = np.clip(at / np.maximum(1, length[:, None] - 1), 0, 1)
    strength = random.uniform(0.6, 2.0, count)[:, None] * labels[:, None]
    causes[:, :, 3] += 1.6 * climb * strength
    causes[:, :, 4] += 0.8 * climb * strength
    causes[:, :, 5] -= 0.8 * climb * strength
    quiet = (1 - labels[:, None]) * random.uniform(0, 1.0, count)[:, None]
    causes[:, :, 3] += quiet * np.linspace(0, 1, FLOWS)[None]  # a climb of the port alone is none
    features = causes @ _LOADINGS / np.sqrt(6) + 0.7 * random.normal(size=(count, FLOWS, FEATURES))
    return np.clip(features / 1.3, -6, 6).astype(np.float32), labels
