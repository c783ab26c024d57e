"""What commands print: JSON for machines, text for people, progress on a terminal only."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from hnlpu.errors import InvalidInput

# paths and tokens may look like markup: print them as they are
out = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)


def print_json(values: Any) -> None:
    """One JSON document on standard output."""
    json.dump(_finite(values), sys.stdout, indent=1, allow_nan=False)
    sys.stdout.write("\n")


def _finite(values: Any) -> Any:
    """Infinite and undefined numbers as null: JSON has no others."""
    if isinstance(values, dict):
        return {key: _finite(value) for key, value in values.items()}
    if isinstance(values, list):
        return [_finite(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def parse_tokens(text: str) -> list[int]:
    """Token ids from "1,2,3"; raises InvalidInput."""
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise InvalidInput(
            f"--tokens {text!r}: give whole numbers separated by commas, as in 1,2,3"
        ) from None


@contextlib.contextmanager
def progress_bar(title: str) -> Iterator[Callable[[str, int, int], None] | None]:
    """A progress callback (what, done, in all) that draws on a terminal, else None."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[item]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None, item="")

        def update(item: str, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, item=item)

        yield update


def waiting(what: str) -> AbstractContextManager[object]:
    """A sign of life on a terminal while something runs that cannot tell how far it is."""
    if not sys.stderr.isatty():
        return contextlib.nullcontext()
    return Console(stderr=True).status(what)
