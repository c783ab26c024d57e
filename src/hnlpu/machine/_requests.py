"""Requests: all at once, at random times, or from a trace file.

A trace is CSV with a header, one request a line, in order of arrival:

    arrival_s,prefill,decode
    0.000,1024,256
    0.013,87,1024
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hnlpu.errors import InvalidData, InvalidInput

COLUMNS = ("arrival_s", "prefill", "decode")
MOST_TOKENS = 2**31
MOST_REQUESTS = 2_000_000
LARGEST_TRACE = 2**27


@dataclass(frozen=True)
class Requests:
    """Requests in order of arrival (seconds): tokens of each prompt, and tokens to generate."""

    arrival: npt.NDArray[np.float64]
    prefill: npt.NDArray[np.int64]
    decode: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Number of requests."""
        return len(self.arrival)

    @property
    def tokens(self) -> int:
        """Tokens that pass through the machine: the last one generated is not fed back."""
        return int((self.prefill + self.decode - 1).sum())


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
        raise InvalidInput(f"--rate {rate:g}: give requests a second, above 0")
    gaps = np.random.default_rng(seed).exponential(1 / rate, count)
    return Requests(
        np.cumsum(gaps), np.full(count, prefill, np.int64), np.full(count, decode, np.int64)
    )


def _check(count: int, prefill: int, decode: int) -> None:
    if not 1 <= count <= MOST_REQUESTS:
        raise InvalidInput(f"--requests {count}: give 1 to {MOST_REQUESTS}")
    for name, value in (("--prefill", prefill), ("--decode", decode)):
        if not 1 <= value < MOST_TOKENS:
            raise InvalidInput(f"{name} {value}: give 1 to {MOST_TOKENS - 1} tokens")


def read_trace(path: Path) -> Requests:
    """The requests of a trace file; raises InvalidData naming file, line and column."""
    try:
        if path.stat().st_size > LARGEST_TRACE:
            raise InvalidData(f"{path}: larger than {LARGEST_TRACE} bytes; split the trace")
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise InvalidData(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise InvalidData(f"{path}: is not UTF-8 text (byte {error.start})") from None
    lines = csv.reader(io.StringIO(text))
    header = [name.strip() for name in next(lines, [])]
    if tuple(header) != COLUMNS:
        raise InvalidData(f"{path}:1: the header must be {','.join(COLUMNS)}")
    rows: list[tuple[float, int, int]] = []
    for fields in lines:
        if fields:
            rows.append(_row(f"{path}:{lines.line_num}", fields, rows[-1][0] if rows else 0.0))
        if len(rows) > MOST_REQUESTS:
            raise InvalidData(f"{path}: more than {MOST_REQUESTS} requests; split the trace")
    if not rows:
        raise InvalidData(f"{path}: holds no request below its header")
    arrival, prefill, decode = zip(*rows, strict=True)
    return Requests(
        np.array(arrival, np.float64), np.array(prefill, np.int64), np.array(decode, np.int64)
    )


def _row(place: str, fields: list[str], before: float) -> tuple[float, int, int]:
    if len(fields) != len(COLUMNS):
        raise InvalidData(f"{place}: {len(fields)} fields; allowed: {','.join(COLUMNS)}")
    try:
        arrival = float(fields[0])
    except ValueError:
        arrival = math.nan
    if not 0 <= arrival < math.inf:
        raise InvalidData(f"{place}: arrival_s {fields[0].strip()!r} is no time in s, 0 or later")
    if arrival < before:
        raise InvalidData(
            f"{place}: arrival_s {arrival:g} is before {before:g} of the line above; "
            "sort the trace by arrival"
        )
    counts = []
    for name, field in zip(COLUMNS[1:], fields[1:], strict=True):
        try:
            count = int(field)
        except ValueError:
            count = 0
        if not 1 <= count < MOST_TOKENS:
            raise InvalidData(
                f"{place}: {name} {field.strip()!r}; give whole tokens, 1 to {MOST_TOKENS - 1}"
            )
        counts.append(count)
    return arrival, counts[0], counts[1]
