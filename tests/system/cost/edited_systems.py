"""A system's file with one number changed: by as much as the file's own checks let pass."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from hnlpu.system.catalog import System


def numbers(values: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all numbers of a file: values with units, and counts."""
    if isinstance(values, dict):
        if "unit" in values and "value" in values:
            yield (*path, "value")
            return
        for key, inner in values.items():
            yield from numbers(inner, (*path, key))
    elif isinstance(values, list):
        for i, inner in enumerate(values):
            yield from numbers(inner, (*path, i))
    elif isinstance(values, (int, float)) and not isinstance(values, bool):
        yield path


def name_of(path: tuple[Any, ...]) -> str:
    """The dotted key of a number."""
    return ".".join(str(part) for part in path if part != "value")


def changed(given: dict[str, Any], path: tuple[Any, ...]) -> System | None:
    """The file with one number changed; None where its own checks let no change pass."""
    denser = path[:2] == ("array", "area_per_bit")  # the arrays hold the model and not a bit more
    for factor in (0.95,) if denser else (1.05, 0.95, 1.0005, 0.9995, None):
        values = copy.deepcopy(given)
        at = values
        for part in path[:-1]:
            at = at[part]
        old = at[path[-1]]
        new = old * factor if factor else old + 1
        if isinstance(old, int):
            new = old + (1 if factor is None or factor > 1 else -1)
        if new == old:
            new = old + 0.001
        if "edge_exclusion" in path:  # dies of a wafer are a whole number
            new = old + 5
        at[path[-1]] = new
        if path[-1] == "value":
            for end in ("low", "high"):
                if end in at:
                    at[end] = min(at[end], new) if end == "low" else max(at[end], new)
        try:
            return System.model_validate(values)
        except ValidationError:
            continue
    return None
