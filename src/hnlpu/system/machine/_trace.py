"""Trace files -> `Requests`: our own CSV, and those that clouds and serving systems publish.

    arrival_s,prefill,decode           TIMESTAMP,ContextTokens,GeneratedTokens
    0.000,1024,256                     2023-11-16 18:17:03.9799600,374,44
    0.013,87,1024                      ...

Columns are found by name, in any order and case; JSON lines by their keys.  What is left out or put
into another order is counted in `TraceFacts`.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from hnlpu.errors import InvalidData
from hnlpu.quantities import shown
from hnlpu.system.machine._requests import MOST_REQUESTS, MOST_TOKENS, Requests, TraceFacts

LARGEST_TRACE = 2**27
UNIX_EPOCHS = 1e8, 1e11
"""Times between are seconds since 1970 (from 1973 on); beyond, they are no seconds."""
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:[.,](\d{1,12}))?\s*(Z|UTC|[+-]\d\d:?\d\d)?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class TraceColumns:
    """Names of the columns of a kind of trace; `scale` makes its times seconds.

    `mark` is a column that only this kind has.  `public` traces hold failed requests, and their
    times begin anywhere.
    """

    name: str
    arrival: str
    prefill: str
    decode: str
    scale: float = 1.0
    mark: str = ""
    public: bool = True

    @property
    def columns(self) -> tuple[str, str, str]:
        """The three columns that are read."""
        return self.arrival, self.prefill, self.decode

    def fits(self, names: set[str]) -> bool:
        """Whether a trace with columns `names` (lower case) is of this kind."""
        needed = {name.lower() for name in (*self.columns, self.mark) if name}
        return needed <= names


LAYOUTS = (
    TraceColumns("hnlpu", "arrival_s", "prefill", "decode", public=False),
    TraceColumns("Azure LLM inference", "TIMESTAMP", "ContextTokens", "GeneratedTokens"),
    TraceColumns("Vidur", "arrived_at", "num_prefill_tokens", "num_decode_tokens"),
    TraceColumns("BurstGPT", "Timestamp", "Request tokens", "Response tokens"),
    TraceColumns("Qwen-Bailian", "timestamp", "input_length", "output_length", mark="chat_id"),
    TraceColumns("Mooncake", "timestamp", "input_length", "output_length", scale=1e-3),
)
"""The first that fits a header is taken."""


@dataclass
class _Rows:
    """What has been read so far."""

    arrival: list[float] = field(default_factory=list)
    prefill: list[int] = field(default_factory=list)
    decode: list[int] = field(default_factory=list)
    empty: int = 0

    def __len__(self) -> int:
        return len(self.arrival) + self.empty


def read_trace(path: Path) -> Requests:
    """The requests of a trace file in order of arrival, with what was left out in `.trace`.

    Raises InvalidData naming file, line and column.
    """
    text = _text_of(path)
    lines = text.lstrip("\ufeff \t\r\n")
    table = _json_lines(path, text) if lines.startswith("{") else _csv_lines(path, text)
    header = next(table, (1, []))[1]
    layout = _layout_of(path, header)
    lower = [name.lower() for name in header]
    places = [lower.index(name.lower()) for name in layout.columns]
    rows = _Rows()
    for line, fields in table:
        if len(rows) == MOST_REQUESTS:
            raise InvalidData(f"{path}: more than {MOST_REQUESTS} requests; split the trace")
        if len(fields) != len(header):
            raise InvalidData(f"{path}:{line}: {len(fields)} fields; the header has {len(header)}")
        _read_row(f"{path}:{line}", layout, [fields[place] for place in places], rows)
    if not len(rows):
        raise InvalidData(f"{path}: holds no request below its header")
    if not rows.arrival:
        raise InvalidData(f"{path}: none of its {len(rows)} requests has a prompt and an answer")
    unused = tuple(name for place, name in enumerate(header) if place not in places)
    return _sorted(rows, layout, unused)


def _text_of(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():
            raise InvalidData(f"{path}: cannot be read (it is no file)")
        if path.stat().st_size > LARGEST_TRACE:
            raise InvalidData(f"{path}: larger than {LARGEST_TRACE} bytes; split the trace")
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InvalidData(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise InvalidData(f"{path}: is not UTF-8 text (byte {error.start})") from None


def _csv_lines(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and fields; blank lines are passed over."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    try:
        for fields in reader:
            if any(part.strip() for part in fields):
                yield reader.line_num, [part.strip() for part in fields]
    except csv.Error as error:
        raise InvalidData(f"{path}:{reader.line_num}: is not CSV ({error})") from None


def _json_lines(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """The same for one JSON object a line: the first one's keys are the header."""
    keys: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise InvalidData(f"{path}:{number}: is no JSON object; give one request a line")
        if not keys:
            keys = list(found)
            yield number, keys
        if missing := [key for key in keys if key not in found]:
            raise InvalidData(f"{path}:{number}: lacks {shown(missing[0])}")
        yield number, [_plain(found[key]) for key in keys]


def _plain(value: object) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if isinstance(value, str) else str(value) if number else shown(value)


def _layout_of(path: Path, header: Sequence[str]) -> TraceColumns:
    names = [name.lower() for name in header]
    if twice := next((name for name in header if names.count(name.lower()) > 1), ""):
        raise InvalidData(f"{path}:1: column {shown(twice)} is there twice")
    for layout in LAYOUTS:
        if layout.fits(set(names)):
            return layout
    known = "; ".join(f"{','.join(kind.columns)} ({kind.name})" for kind in LAYOUTS[1:])
    found = ", ".join(shown(name) for name in header[:12]) if header else "nothing"
    raise InvalidData(
        f"{path}:1: the header must be {','.join(LAYOUTS[0].columns)}, or have the columns of a public "
        f"trace: {known}; found {found}"
    )


def _read_row(place: str, layout: TraceColumns, fields: Sequence[str], rows: _Rows) -> None:
    arrival = _seconds(place, layout, fields[0])
    least = 0 if layout.public else 1
    prefill, decode = (
        _count(place, name, text, least)
        for name, text in zip(layout.columns[1:], fields[1:], strict=True)
    )
    if not (prefill and decode):
        rows.empty += 1
        return
    rows.arrival.append(arrival)
    rows.prefill.append(prefill)
    rows.decode.append(decode)


def _seconds(place: str, layout: TraceColumns, text: str) -> float:
    """A time in seconds: a number, or a date and a time of day (UTC where it does not say)."""
    try:
        number = math.nan if "_" in text else float(text) * layout.scale
    except ValueError:
        number = _date(text) if layout.scale == 1 else math.nan
    if not 0 <= number < math.inf:
        unit = "s" if layout.scale == 1 else "ms"
        dated = ", or a date such as 2024-05-10 00:00:00.5" if layout.scale == 1 else ""
        raise InvalidData(
            f"{place}: {layout.arrival} {shown(text)} is no time in {unit}, 0 or later{dated}"
        )
    if number >= UNIX_EPOCHS[1]:
        raise InvalidData(
            f"{place}: {layout.arrival} {shown(text)} is beyond the year 5000; give seconds, not ms or us"
        )
    return number


def _date(text: str) -> float:
    found = _ISO.fullmatch(text)
    if not found:
        return math.nan
    day, clock, fraction, zone = found.groups()
    if zone is None or zone.upper() in ("Z", "UTC"):
        zone = "+00:00"
    try:
        whole = datetime.fromisoformat(f"{day} {clock}{zone}").astimezone(UTC).timestamp()
    except (ValueError, OverflowError):
        return math.nan
    return whole + float(f"0.{fraction or 0}")


def _count(place: str, name: str, text: str, least: int) -> int:
    """Tokens: a whole number, or one that a table of floats wrote with .0."""
    try:
        count = int(re.sub(r"\.0+$", "", text, count=1)) if len(text) < 30 else -1
    except ValueError:
        count = -1
    if not least <= count < MOST_TOKENS or "_" in text:
        raise InvalidData(
            f"{place}: {name} {shown(text)}; give whole tokens, {least} to {MOST_TOKENS - 1}"
        )
    return count


def _sorted(rows: _Rows, layout: TraceColumns, unused: tuple[str, ...]) -> Requests:
    """By arrival; times of public traces and dates count from the first request."""
    arrival = np.array(rows.arrival, np.float64)
    order = np.argsort(arrival, kind="stable")
    late = int((arrival < np.maximum.accumulate(arrival)).sum())
    first = float(arrival[order[0]])
    start = first if layout.public or first >= UNIX_EPOCHS[0] else 0.0
    facts = TraceFacts(layout.name, len(rows), rows.empty, 0, late, unused, start)
    return Requests(
        arrival[order] - start,
        np.array(rows.prefill, np.int64)[order],
        np.array(rows.decode, np.int64)[order],
        facts,
    )
