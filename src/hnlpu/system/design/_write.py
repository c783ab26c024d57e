"""The values of a system's file -> its text in TOML, with a comment above what has no source of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

HEAD = """\
# {title}, as `hnlpu design` sized it for {users:,} users with {context:,} positions each.
#
# A system's file like those of the catalog: edit a number and give the file's name in place of the
# system's to simulate, cost, audit and sweep. Each value's source says why it is what it is.
"""


def to_toml(values: Mapping[str, Any]) -> str:
    """The text of a file."""
    head = HEAD.format(title=values["title"], **values["target"])
    return head + "\n" + "\n".join(_table(values, ())).strip("\n") + "\n"


def _table(values: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Plain keys first, then tables, then lists of tables."""
    plain = {k: v for k, v in values.items() if not _is_table(v) and not _is_tables(v)}
    if path and plain:
        yield f"[{'.'.join(path)}]"
    for key, value in plain.items():
        yield f"{key} = {_inline(value)}"
    if plain:
        yield ""
    for key, value in values.items():
        if _is_table(value):
            yield from _table(value, (*path, key))
        elif _is_tables(value):
            for entry in value:
                yield f"[[{'.'.join((*path, key))}]]"
                for name, inner in entry.items():
                    yield f"{name} = {_inline(inner)}"
                yield ""


def _is_quantity(value: Any) -> bool:
    return isinstance(value, Mapping) and "value" in value and "unit" in value


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) and not _is_quantity(value)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_table, value))


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{k} = {_inline(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, str):
        # a TOML basic string escapes as JSON does, but for what lies beyond plain Unicode
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)
