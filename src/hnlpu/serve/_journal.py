"""What is told of every request: an id with its answer and, where a log is asked for, a line of JSON.

request ─► Record ─► filled by its jobs ─► one line when the answer has been sent
"""

from __future__ import annotations

import json
import logging
import re
import sys
import uuid
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from starlette.datastructures import Headers

from hnlpu.errors import InvalidInput

_log = logging.getLogger(__name__)
_FIT = re.compile(r"[A-Za-z0-9_.:\-]{1,128}")
STANDARD_ERROR = Path("-")


@dataclass
class Record:
    """What is known of a request: numbers of tokens are those of all its sequences together.

    `first_token_seconds` is the time to its first token, `ended` why each sequence did.
    """

    request_id: str
    method: str
    path: str
    client: str | None
    sequences: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    new_tokens: int = 0
    first_token_seconds: float | None = None
    ended: list[str] = field(default_factory=list)


RECORD: ContextVar[Record | None] = ContextVar("RECORD", default=None)
"""Of the request that is answered now."""


def request_id(headers: Headers) -> str:
    """The id that the client gave in X-Request-Id, where it is fit for one, or a new one."""
    given = headers.get("x-request-id", "")
    return given if _FIT.fullmatch(given) else uuid.uuid4().hex


class RequestLog:
    """Lines of JSON in a file, `-` for the standard error; nothing where there is no file.

    Raises InvalidInput for a file that cannot be opened.
    """

    def __init__(self, path: Path | None):
        self._file: TextIO | None = None
        self._failed = False
        if path == STANDARD_ERROR:
            self._file = sys.stderr
        elif path is not None:
            try:
                self._file = path.open("a", buffering=1, encoding="utf-8")
            except OSError as error:
                raise InvalidInput(
                    f"`request_log` {path}: cannot be written ({error.strerror}); give another file"
                ) from None

    def write(self, record: Record, status: int, seconds: float) -> None:
        """The line of an answer that has been sent; a full disk is told once and stops nobody."""
        if self._file is None:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"time": now, **asdict(record), "status": status, "seconds": round(seconds, 6)}
        try:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
            self._failed = False
        except (OSError, ValueError) as error:
            if not self._failed:
                _log.warning("the log of requests cannot be written: %s", error)
            self._failed = True
