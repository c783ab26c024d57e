"""Requests: all at once, at random times, or read from a trace (`_trace`)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hnlpu.errors import InvalidInput

MOST_TOKENS = 2**31
MOST_REQUESTS = 2_000_000


@dataclass(frozen=True)
class TraceFacts:
    """What a trace held: its kind, its rows, and how many of them are not simulated as they stand.

    `empty` rows have no prompt or no answer (failed requests), `too_long` ones do not fit the
    model's positions: both are left out.  `late` ones stood behind a later request and were put in
    order.  `unused` columns were not read.  `start` is the time, in the trace's own seconds, that
    arrivals count from.
    """

    layout: str
    rows: int
    empty: int
    too_long: int
    late: int
    unused: tuple[str, ...]
    start: float


@dataclass(frozen=True)
class Requests:
    """Requests in order of arrival (seconds): tokens of each prompt, and tokens to generate.

    `trace` says what of a trace file they are.
    """

    arrival: npt.NDArray[np.float64]
    prefill: npt.NDArray[np.int64]
    decode: npt.NDArray[np.int64]
    trace: TraceFacts | None = None

    def __len__(self) -> int:
        """Number of requests."""
        return len(self.arrival)

    @property
    def tokens(self) -> int:
        """Tokens that pass through the machine: the last one generated is not fed back."""
        return int((self.prefill + self.decode - 1).sum())

    @property
    def longest(self) -> int:
        """Positions of the longest prompt with its answer."""
        return int((self.prefill + self.decode).max())

    def within(self, positions: int) -> Requests:
        """Those of at most `positions`, prompt and answer together; the others are counted.

        Raises InvalidInput where none is left.
        """
        fits = self.prefill + self.decode <= positions
        if fits.all():
            return self
        if not fits.any():
            raise InvalidInput(
                f"each of the {len(self):,} requests is longer than the model's {positions:,} positions; "
                f"the shortest has {int((self.prefill + self.decode).min()):,} with its answer"
            )
        left_out = int((~fits).sum())
        facts = self.trace and replace(self.trace, too_long=self.trace.too_long + left_out)
        return Requests(self.arrival[fits], self.prefill[fits], self.decode[fits], facts)


def uniform_requests(count: int, prefill: int, decode: int) -> Requests:
    """`count` equal requests that are there from the start."""
    _check(count, prefill, decode)
    return Requests(
        np.zeros(count), np.full(count, prefill, np.int64), np.full(count, decode, np.int64)
    )


def poisson_requests(count: int, rate: float, prefill: int, decode: int, seed: int) -> Requests:
    """`count` equal requests that arrive independently, `rate` a second on average."""
    _check(count, prefill, decode)
    if not (rate > 0 and math.isfinite(rate)):
        raise InvalidInput(f"`rate` {rate:g}: give requests a second, above 0")
    gaps = np.random.default_rng(seed).exponential(1 / rate, count)
    return Requests(
        np.cumsum(gaps), np.full(count, prefill, np.int64), np.full(count, decode, np.int64)
    )


def _check(count: int, prefill: int, decode: int) -> None:
    if not 1 <= count <= MOST_REQUESTS:
        raise InvalidInput(f"`requests` {count}: give 1 to {MOST_REQUESTS}")
    for name, value in (("`prefill`", prefill), ("`decode`", decode)):
        if not 1 <= value < MOST_TOKENS:
            raise InvalidInput(f"{name} {value}: give 1 to {MOST_TOKENS - 1} tokens")
