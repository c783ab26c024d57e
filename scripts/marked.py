"""A page with tables between markers -> the page with these tables made anew.

<!-- NAME -->
what the table says now
<!-- end of NAME -->
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence


def remade(text: str, tables: Mapping[str, Callable[[], Sequence[str]]]) -> str:
    """`text` with what stands between its markers made anew, by the tables' names."""
    for name, table in tables.items():
        start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        assert text.count(start) == text.count(end) == 1, name
        before, behind = text.split(start)[0], text.split(end)[1]
        text = f"{before}{start}\n" + "\n".join(table()) + f"\n{end}{behind}"
    return text
